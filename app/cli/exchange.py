"""`jobwright export`, `import`, `plan` and `apply`: jobs as a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from app.cli.client import Client
from app.cli.completion import complete_templates
from app.cli.connect import with_client
from app.cli.failures import ExitCode
from app.cli.groups import examples
from app.cli.look_up import JOBS
from app.cli.options import JSON
from app.cli.output import echo, json_line, note, print_json
from app.errors import field_name

MEDIA = {"yaml": "application/yaml", "json": "application/json"}
FILE = click.argument("file", type=click.File(encoding="utf-8"))
# What a plan does with a job, and what became of it: the words of REST, and those of the last line.
PLANNED = {"create": "to create", "update": "to change", "delete": "to delete", "invalid": "invalid", "unchanged": "unchanged"}
DONE = {"create": "created", "update": "changed", "delete": "deleted"}
RESULTS = {"approval": "waiting for approval", "failed": "failed"}


@click.command("export", epilog=examples("jobwright export --output jobs.yaml", "jobwright export --tag shop --format json"))
@click.option("--format", "file_format", type=click.Choice(list(MEDIA)), default="yaml", show_default=True, help="The format of the file.")
@click.option(
    "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="The file to write. Default: standard output."
)
@click.option("--template", "template_type", metavar="TYPE", shell_complete=complete_templates, help="Only jobs of this template.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--group", help="Only jobs of this group.")
@with_client
def export_jobs(client: Client, file_format: str, output: Path | None, **filters: str | None) -> None:
    """Write jobs as a file for version control.

    Default values are left out, and secrets are masked.
    """
    from templates_lib import private  # noqa: PLC0415 - `--help` does without it

    text = client.text(f"{JOBS}/export", MEDIA[file_format], format=file_format, **filters)
    if output is None:
        echo(text, nl=False) if sys.stdout.isatty() else click.echo(text, nl=False)
    else:
        with output.open("wb") if output.exists() else private.create(output) as stream:
            stream.write(text.encode())


@click.command("import")
@FILE
@with_client
def import_file(client: Client, file: TextIO) -> None:
    """Create the jobs of a file that do not exist yet.

    Jobs that exist already are not changed.
    """
    _carry_out(client, _text(file), as_json=False, only_new="true")


@click.command("plan", epilog=examples("jobwright plan jobs.yaml", "jobwright export | jobwright plan -"))
@FILE
@click.option("--prune", is_flag=True, help="Also plan to delete jobs that were created from a file but are no longer in this one.")
@JSON
@with_client
def plan_file(client: Client, file: TextIO, prune: bool, as_json: bool) -> None:
    """Print what `apply` would change, without changing anything.

    The exit code is 1 if the file has an invalid job, 10 if `apply` would change something, and otherwise 0.
    """
    plan = client.send_file(f"{JOBS}/plan", "steps", _text(file), **_pruning(prune))
    print_json(plan) if as_json else _print_plan(plan)
    if not plan.get("valid"):
        sys.exit(ExitCode.FAILED)
    if any(step.get("action") != "unchanged" for step in plan["steps"]):
        sys.exit(ExitCode.CHANGES)


@click.command("apply", epilog=examples("jobwright apply jobs.yaml", "jobwright apply jobs.yaml --prune"))
@FILE
@click.option("--prune", is_flag=True, help="Also delete jobs that were created from a file but are no longer in this one.")
@JSON
@with_client
def apply_file(client: Client, file: TextIO, prune: bool, as_json: bool) -> None:
    """Make the registry match a file.

    Creates the jobs that are missing and changes those that differ. If the file has an invalid job, nothing is changed. The exit code is 1
    if the file has an invalid job or a step fails.
    """
    _carry_out(client, _text(file), as_json=as_json, **_pruning(prune))


def _text(file: TextIO) -> str:
    """Returns the text of a file. Raises UsageError if it is not UTF-8."""
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file.name} is not UTF-8: the byte at position {error.start} is wrong. Convert it with iconv.") from error


def _pruning(prune: bool) -> dict[str, str]:
    return {"prune": "true"} if prune else {}


def _carry_out(client: Client, text: str, *, as_json: bool, **options: str) -> None:
    plan = client.send_file(f"{JOBS}/plan", "steps", text, **options)
    outcome = client.send_file(f"{JOBS}/apply", "steps", text, **options) if plan.get("valid") else plan
    print_json(outcome) if as_json else _print_plan(outcome)
    if not plan.get("valid"):
        if not as_json:
            note("Nothing was changed.")
        sys.exit(ExitCode.FAILED)
    if any(step.get("result") == "failed" for step in outcome["steps"]):
        sys.exit(ExitCode.FAILED)


def _print_plan(plan: Mapping[str, Any]) -> None:
    """Prints a line for each job, below it what is wrong with it or what changes, and how many there are of each kind."""
    for step in plan["steps"]:
        name = step.get("name") or f"Job {(step.get('place') or 0) + 1} of the file"
        word, detail = _word(step), step.get("detail")
        echo(f"{word:<10}{name}{f': {detail}' if detail and word == 'failed' else ''}")
        if detail and word == "waits":
            echo(f"  A super-admin must approve it (request {detail}).")
        for error in step.get("errors") or ():
            echo(f"  {field_name(str(error.get('pointer', ''))) or 'job'}: {error.get('detail')}")
        for warning in step.get("warnings") or ():
            echo(f"  warning: {field_name(str(warning.get('pointer', '')))}: {warning.get('detail')}")
        for change in step.get("diff") or () if step.get("action") == "update" else ():
            before, after = (json_line(change[side]) if side in change else "–" for side in ("before", "after"))
            echo(f"  {field_name(str(change.get('field', '')))}: {before} -> {after}")
    echo(_closing_line(plan["steps"]))


def _word(step: Mapping[str, Any]) -> str:
    """Returns what the plan does with a job, or what became of it."""
    action, result = str(step.get("action")), step.get("result")
    if result == "done":
        return DONE.get(action, action)
    return {"approval": "waits"}.get(str(result), str(result)) if result else action


def _closing_line(steps: list[Mapping[str, Any]]) -> str:
    """Returns how many jobs are created, changed and so on: `1 to create, 2 unchanged.`"""
    words = [
        RESULTS.get(str(step.get("result"))) or (DONE if step.get("result") else PLANNED).get(str(step.get("action")), "") for step in steps
    ]
    ordered = [*PLANNED.values(), *DONE.values(), *RESULTS.values()]
    counts = [f"{words.count(word)} {word}" for word in sorted(set(words), key=ordered.index)]
    return f"{', '.join(counts)}." if counts else "The file has no jobs."

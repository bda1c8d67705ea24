"""`jobwright export`, `import`, `plan` and `apply`: jobs as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from app.cli.output import echo, json_line
from app.cli.session import cli_actor, open_services
from templates_lib import private

if TYPE_CHECKING:
    from app.exchange.service import ExchangePlan


@click.command("export")
@click.option(
    "--format", "file_format", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="The format of the file."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="The file to write. Default: standard output."
)
def export_jobs(file_format: str, output: Path | None) -> None:
    """Write all jobs as a file for version control.

    The file omits default values, and its secrets are masked.
    """
    with open_services(existing=True) as (services, _):
        text = services.exchange.export(cli_actor(), file_format)
    if output is None:
        click.echo(text, nl=False)
    else:
        with output.open("wb") if output.exists() else private.create(output) as stream:
            stream.write(text.encode())


@click.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
def import_file(file: TextIO) -> None:
    """Create the jobs of a file that do not exist yet.

    Jobs that exist already are not changed.
    """
    _carry_out(file, only_new=True)


@click.command("plan")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Also plan to delete jobs that were created from a file but are no longer in this one.")
def plan_file(file: TextIO, prune: bool) -> None:
    """Print what `apply` would change, without changing anything.

    The exit code is 1 if the file has an invalid job, 2 if `apply` would change something, and otherwise 0.
    """
    from app.exchange.service import StepAction  # noqa: PLC0415 - `--help` does without it

    with open_services(existing=True) as (services, _):
        plan = services.exchange.plan(cli_actor(), file.read(), prune=prune)
        _print_plan(plan)
    if not plan.valid:
        sys.exit(1)
    if any(step.action is not StepAction.KEEP for step in plan.steps):
        sys.exit(2)


@click.command("apply")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Also delete jobs that were created from a file but are no longer in this one.")
def apply_file(file: TextIO, prune: bool) -> None:
    """Make the registry match a file.

    Creates the jobs that are missing and changes those that differ. If the file has an invalid job, nothing is changed. The exit code is 1
    if the file has an invalid job or a step fails.
    """
    _carry_out(file, prune=prune)


def _carry_out(file: TextIO, **options: bool) -> None:
    from app.exchange.service import StepResult  # noqa: PLC0415 - `--help` does without it

    with open_services() as (services, _):
        plan = services.exchange.plan(cli_actor(), file.read(), **options)
        if not plan.valid:
            _print_plan(plan)
            sys.exit(1)
        done = services.exchange.carry_out(cli_actor(), plan)
        _print_plan(done)
        if any(step.result is StepResult.FAILED for step in done.steps):
            sys.exit(1)


def _print_plan(plan: ExchangePlan) -> None:
    from app.exchange.service import StepAction  # noqa: PLC0415 - `--help` does without it

    for step in plan.steps:
        echo(f"{step.result or step.action:<10}{step.name}{f': {step.detail}' if step.detail else ''}")
        for error in step.errors:
            echo(f"  {error.pointer or '/'}: {error.message}")
        for warning in step.warnings:
            echo(f"  warning {warning.pointer}: {warning.message}")
        for change in step.diff if step.action is StepAction.UPDATE else ():
            echo(f"  {change['field']}: {json_line(change.get('before'))} -> {json_line(change.get('after'))}")

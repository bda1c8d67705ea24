"""`jobwright import`: jobs of a file, and jobs of other schedulers."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.client import Client, Waits
from app.cli.connect import Server, open_client, with_client, with_server
from app.cli.exchange import import_file
from app.cli.failures import ExitCode, Failed
from app.cli.groups import OrderedGroup, examples
from app.cli.import_cut_over import IMPORTS, active_entries, cut_over, perhaps_changed
from app.cli.import_roll_back import roll_back
from app.cli.import_source import ADDRESS, ONLY, PLAN, of_source, read_plan_file, read_source, source_of
from app.cli.options import JSON
from app.cli.output import echo, note, print_json

if TYPE_CHECKING:
    from app.imports.plan import Plan, PlanEntry

FILE_COMMAND = "file"
PAUSED, SHADOW, MANUAL, ON = "paused", "shadow", "manual", "on"  # how the job of an entry is
_DISABLE = {
    PAUSED: "These jobs are paused. Before you resume one (jobwright job resume NAME), disable its original:",
    SHADOW: "These jobs are in shadow mode. Before you end that (jobwright job shadow NAME --end), disable the original:",
    MANUAL: "These jobs have no schedule, so nothing starts them and they are not paused. Disable their originals when you start the jobs:",
    ON: "These jobs are switched on. Disable their originals, or both run:",
}
_FORMS = {".html": "html", ".htm": "html", ".txt": "text"}  # of a plan, by the end of the name of its file


class ImportGroup(OrderedGroup):
    """A group whose first word may also be the file of `jobwright import FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the name of the command for files before a first word that names no command."""
        if args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = [FILE_COMMAND, *args]
        return super().parse_args(ctx, args)


@click.group(
    "import",
    cls=ImportGroup,
    epilog=examples(
        "jobwright import jobs.yaml",
        "jobwright import plan /etc/crontab --zone Europe/Berlin --output plan.json",
        "jobwright import apply plan.json",
    ),
)
def import_jobs() -> None:
    """Import jobs from a file or another scheduler.

    `jobwright import FILE` creates the jobs of a file that do not exist yet. The commands below import from another scheduler: scan it,
    make a plan, apply the plan, cut over, verify, and roll back.
    """


import_jobs.add_command(import_file, FILE_COMMAND)

DECIDE = click.option(
    "--decide",
    "decisions",
    multiple=True,
    metavar="ENTRY=CHOICE",
    help="A decision; ENTRY is the id of an entry or of a decision of the plan, or all.",
)
CALLS = click.option(
    "--calls",
    default="",
    metavar="WAY",
    help="What functions, tasks and events become: service:CONNECTION, command:PROGRAM or bus:CONNECTION.",
)


@import_jobs.command(
    "scan", epilog=examples("jobwright import scan /etc/crontab", "jobwright import scan crontab:/var/spool/cron/crontabs")
)
@of_source
@JSON
def scan(source: str, as_json: bool, **values: Any) -> None:
    """Print the entries of another scheduler, with all their fields.

    SOURCE is TYPE:PLACE, such as crontab:/etc/crontab. Without a type it is a crontab. Nothing is written, and no registry is needed. The
    address of a store must not contain a password: give it with --address-file.
    """
    kind, place, options = source_of(source, values)
    reading = kind.read(place, options)
    rows: list[dict[str, Any]] = [
        {
            "id": entry.id,
            "where": entry.where,
            "kind": entry.kind.value,
            "raw": entry.raw,
            "name": entry.name,
            "fields": dict(entry.values),
            "environment": dict(entry.command.environment) if entry.command else {},
            "call": entry.call.name if entry.call else "",
            "disabled": entry.disabled,
            "secrets": list(entry.secrets),
            "reason": entry.reason,
        }
        for entry in reading.entries
    ]
    if as_json:
        print_json({"source": reading.name, "digest": reading.digest, "entries": rows, "remarks": list(reading.remarks)})
        return
    for row in rows:
        echo(f"{row['kind']:<8}{row['id']}  ({row['where']})")
        echo(f"  {row['raw']}")
        for name, value in {**row["fields"], **row["environment"], **{name: row[name] for name in ("name", "disabled", "reason")}}.items():
            if value and name != "layout":
                echo(f"    {name}: {value}")
    for remark in reading.remarks:
        note(remark)


@import_jobs.command("plan", epilog=examples("jobwright import plan /etc/crontab --zone Europe/Berlin --output plan.json"))
@of_source
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="A file to write the plan to; it can be given several times. NAME.html is a page to read, NAME.txt a text.",
)
@click.option(
    "--format", "view", type=click.Choice(["text", "json", "html"]), default="text", show_default=True, help="How to print the plan."
)
@click.option("--offline", is_flag=True, help="Do not ask the registry which templates there are.")
@CALLS
@DECIDE
@with_server
def plan(
    server: Server | None,
    source: str,
    outputs: Sequence[Path],
    view: str,
    offline: bool,
    calls: str,
    decisions: Sequence[str],
    **values: Any,
) -> None:
    """Plan an import: what becomes of each entry and of each of its fields.

    Nothing is changed. With --output, the plan is written to a file for apply, verify and roll-back, which only you can read. Decisions are
    made with --decide, or in the file, as the value of "chosen".
    """
    from app.imports.plan import decide, make_plan  # noqa: PLC0415 - `--help` does without it
    from app.imports.views import connections_of, summary  # noqa: PLC0415 - the same

    kind, place, options = source_of(source, values, calls=calls)
    templates = None if offline else _templates(server)
    made = make_plan(kind, place, options, datetime.now(UTC), templates=templates)
    decide(made, decisions)
    for output in outputs:
        _write(output, _in_form(made, _FORMS.get(output.suffix.lower(), "json")))
    if not outputs or view != "text":
        click.echo(_in_form(made, view), nl=False)
        return
    for remark in made["remarks"]:
        note(remark)
    for need in connections_of(made):
        note(f"needs the connection {need}")
    note(f"{summary(made)} The plan is in {' and '.join(map(str, outputs))}.")


@import_jobs.command("apply", epilog=examples("jobwright import apply plan.json", "jobwright import apply plan.json --decide all=approve"))
@PLAN
@DECIDE
@ONLY
@click.option("--shadow", is_flag=True, help="Create the jobs in shadow mode, not paused: what they would run is recorded.")
@ADDRESS
@JSON
@with_client
def apply_plan(
    client: Client,
    plan_file: Path,
    address_file: Path | None,
    decisions: Sequence[str],
    only: Sequence[str],
    shadow: bool,
    as_json: bool,
) -> None:
    """Create the jobs of a plan, paused or in shadow mode, and print the commands that disable the originals.

    The plan is refused if the source has changed since. Entries that were imported before are left as they are, so the command can be
    repeated. The exit code is 1 if a job could not be created.
    """
    from app.imports.plan import State, decide, refuse_changed, state_of  # noqa: PLC0415 - `--help` does without it

    planned, source = read_plan_file(plan_file)
    decide(planned, decisions)
    refuse_changed(planned, read_source(planned, source, address_file))
    rows = []
    for entry in planned["entries"]:
        if only and entry["id"] not in only:
            continue
        state = state_of(entry, planned)
        ready = state is State.READY
        made = _create(client, planned, entry, shadow=shadow) if ready else _row(state.value, _why_not(planned, entry, state))
        rows.append({"entry": entry["id"], "where": entry["where"], **made, "disable": "" if entry["disabled"] else entry["disable"]})
    if as_json:
        print_json({"entries": rows})
    else:
        _print_results(rows)
        _print_decisions(planned, {row["entry"] for row in rows if row["result"] == State.OPEN.value})
    if any(row["result"] == "failed" for row in rows):
        sys.exit(ExitCode.FAILED)


@import_jobs.command("verify", epilog=examples("jobwright import verify plan.json"))
@PLAN
@ADDRESS
@JSON
@with_client
def verify(client: Client, plan_file: Path, address_file: Path | None, as_json: bool) -> None:
    """Compare the registry with a plan and with its source.

    Reports jobs that are missing or changed, and entries that run twice because the job is on and the original is not disabled. The exit
    code is 1 if there are any.
    """
    from app.imports.plan import State, state_of  # noqa: PLC0415 - `--help` does without it

    planned, source = read_plan_file(plan_file)
    entries = read_source(planned, source, address_file).entries
    active, changed = active_entries(entries), perhaps_changed(planned["entries"], entries)
    imported = {row["entry"]: row for row in client.get(IMPORTS, "imports", source=planned["source"]["name"])["imports"]}
    rows = []
    for entry in planned["entries"]:
        if state_of(entry, planned) is State.READY or entry["id"] in imported:
            row = imported.get(entry["id"], {"standing": "missing", "name": (entry["job"] or {}).get("name", "")})
            original = "active" if entry["id"] in active else "changed" if entry["id"] in changed else "disabled"
            rows.append({"entry": entry["id"], "name": row["name"], "original": original, "finding": _finding(entry, row, original)})
    for row in rows if not as_json else ():
        echo(f"{row['finding'] or 'as planned':<14}{row['name']}  ({row['entry']}, original {row['original']})")
    if as_json:
        print_json({"entries": rows})
    if any(row["finding"] for row in rows):
        sys.exit(ExitCode.FAILED)


import_jobs.add_command(cut_over)
import_jobs.add_command(roll_back)


# -- steps -------------------------------------------------------------------------------------------------------------


def _templates(server: Server | None) -> set[str]:
    with open_client(server) as client:
        return {template["id"] for template in client.get("/job-templates", "templates")["templates"] if not template.get("closed")}


def _in_form(planned: Plan, form: str) -> str:
    """Returns a plan as text, as a page or as JSON. Nothing in it can steer a terminal."""
    from app.imports.views import as_html, as_text  # noqa: PLC0415 - `--help` does without it
    from app.validation.terminal import escaped, printable  # noqa: PLC0415 - the same

    if form == "json":
        return escaped(json.dumps(planned, indent=2, ensure_ascii=False)) + "\n"
    return printable(as_html(planned) if form == "html" else as_text(planned))


def _write(path: Path, text: str) -> None:
    """Writes a plan so that only its owner can read it, also to a file that others could read before: commands of a machine are nobody
    else's. Raises UsageError for a file of somebody else."""
    from templates_lib import private  # noqa: PLC0415 - `--help` does without it

    if path.is_file():
        try:
            path.chmod(private.FILE_MODE)
        except OSError as error:
            raise click.UsageError(f"{path} cannot be made private: {error.strerror}. Name a new file.") from error
    with path.open("wb") if path.exists() else private.create(path) as stream:
        stream.write(text.encode())


def _row(result: str, detail: str, state: str = "") -> dict[str, str]:
    """Returns what has become of an entry. `state` says how its job is now, or is "" if there is none."""
    return {"result": result, "detail": detail, "state": state}


def _create(client: Client, planned: Plan, entry: PlanEntry, *, shadow: bool) -> dict[str, str]:
    """Creates the job of an entry, and returns what has become of it. Raises Failed if the server is not there."""
    body = {"source": planned["source"]["name"], "entry": entry["id"], "plan": planned["hash"], "job": entry["job"]}
    body |= {"disabled": True} if entry["disabled"] else {}
    body |= {"shadow": True} if shadow else {}
    try:
        imported = client.post(IMPORTS, "import", body)["import"]
    except Waits as waits:
        return _row("approval", waits.message)
    except Failed as failed:
        if failed.exit_code == ExitCode.UNREACHABLE:
            raise
        return _row("failed", f"{failed.message}{_missing(entry, failed.message)}")
    if imported["standing"] == "deleted":
        return _row("deleted", f"{imported['name']}. Somebody has deleted the job since, so it is not created again.")
    state = PAUSED if imported["paused"] else SHADOW if imported["shadow"] else MANUAL if imported["schedule"] == "manual" else ON
    return _row("created" if imported.get("created") else "exists", imported["name"], state)


def _missing(entry: PlanEntry, message: str) -> str:
    """Returns what to create first, of the connections that an error names; empty if it names none."""
    from app.imports.views import need_in_words  # noqa: PLC0415 - a plan in words is not needed to complete a command line

    return "".join(f"\n  Create the connection {need_in_words(need)} first." for need in entry["needs"] if repr(need["name"]) in message)


def _why_not(planned: Plan, entry: PlanEntry, state: str) -> str:
    if entry["reason"]:
        return str(entry["reason"])
    if state == "waits":
        return f"waits for: {entry['waits_for']}"
    shared = [f"{entry['plan_decisions'][name]} Decide {name}." for name in _open_decisions(planned) if name in entry["plan_decisions"]]
    return " ".join([*(decision["question"] for decision in entry["decisions"] if decision["chosen"] is None), *shared])


def _open_decisions(planned: Plan) -> dict[str, Any]:
    """Returns the decisions of the whole plan that nobody has made, by id."""
    return {decision["id"]: decision for decision in planned["decisions"] if decision["chosen"] is None}


def _print_decisions(planned: Plan, waiting: Collection[str]) -> None:
    """Prints the open decisions of the plan that entries wait for, with what to type for each choice."""
    names = {name for entry in planned["entries"] if entry["id"] in waiting for name in entry["plan_decisions"]}
    for name, decision in _open_decisions(planned).items():
        if name in names:
            echo(f"\n{decision['question']}")
            for choice, meaning in decision["choices"].items():
                echo(f"  --decide {name}={choice}: {meaning}")


def _result_line(result: str, name: str, detail: str) -> str:
    return f"{result:<10}{name}: {detail}" if detail else f"{result:<10}{name}"


def _print_results(rows: Sequence[Mapping[str, str]]) -> None:
    """Prints what has become of each entry, and the commands that disable the originals, by how the jobs are now."""
    for row in rows:
        echo(_result_line(row["result"], f"{row['entry']} ({row['where']})", row["detail"]))
    for state, words in _DISABLE.items():
        commands = [row["disable"] for row in rows if row["state"] == state and row["disable"]]
        if commands:
            echo("\n".join([f"\n{words}", *(f"  {command}" for command in commands)]))


def _finding(entry: PlanEntry, row: Mapping[str, Any], original: str) -> str:
    """Returns what is wrong with an imported entry; "" if it is as planned."""
    if row["standing"] != "as imported":
        return str(row["standing"])
    from app.imports.fires import trigger_of  # noqa: PLC0415 - `--help` does without it

    trigger = trigger_of(entry["job"]["schedule"])
    if row["schedule"] != (trigger.notation or trigger.type):
        return "other schedule"
    if original != "disabled" and not (row["paused"] or row.get("shadow")) and trigger.is_timed:
        return "runs twice" if original == "active" else "may run twice"
    return ""

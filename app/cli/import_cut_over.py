"""`jobwright import cut-over`: switches imported jobs on, one batch at a time, once their originals are disabled."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from app.cli.client import Client, Waits, segment
from app.cli.connect import with_client
from app.cli.failures import ExitCode, Failed
from app.cli.groups import examples
from app.cli.import_source import ADDRESS, ONLY, PLAN, read_plan_file, read_source
from app.cli.options import JSON
from app.cli.output import echo, note, print_json

IMPORTS, JOBS = "/imports", "/scheduler-jobs"
BATCH = 10
CHANGED = "Its original is gone, and the source has new entries: perhaps it was edited. If it is disabled, add --disabled --only ENTRY."


@click.command(
    "cut-over", epilog=examples("jobwright import cut-over plan.json --count 5", "jobwright import cut-over plan.json --only ENTRY")
)
@PLAN
@click.option("--count", type=click.IntRange(1, 10_000), default=BATCH, show_default=True, help="How many jobs at once.")
@ONLY
@click.option("--disabled", is_flag=True, help="The originals are disabled, although the source still shows them, as a copy does.")
@ADDRESS
@JSON
@with_client
def cut_over(
    client: Client, plan_file: Path, address_file: Path | None, count: int, only: Sequence[str], disabled: bool, as_json: bool
) -> None:
    """Switch on the next imported jobs of a plan whose originals are disabled.

    For each job whose original is still active, the command that disables the original is printed, and the job stays as it is: it would run
    twice. Run these commands and then this one again. Entries that the old scheduler had disabled are left alone. If an original is gone
    and the source has entries that the plan does not know, the original may have been edited: its job stays as it is, too. The exit code is
    1 if an original is, or may be, still active.
    """
    planned, source = read_plan_file(plan_file)
    entries = () if disabled else read_source(planned, source, address_file).entries
    changed = perhaps_changed(planned["entries"], entries)
    running = active_entries(entries)
    active = {entry.id: source.disable(entry) for entry in entries if entry.id in running}  # the plan may have another line
    imported = {row["entry"]: row for row in client.get(IMPORTS, "imports", source=planned["source"]["name"])["imports"]}
    chosen = [entry for entry in planned["entries"] if entry["id"] in imported and (not only or entry["id"] in only)]
    rows: list[dict[str, str]] = []
    for entry in chosen:
        row = imported[entry["id"]]
        if len(rows) == count:
            break
        if _is_waiting(entry, row):
            if entry["id"] in active:
                result, detail = "active", active[entry["id"]]
            elif entry["id"] in changed:
                result, detail = "changed", CHANGED
            else:
                result, detail = _switch_on(client, row)
            rows.append({"entry": entry["id"], "name": row["name"], "result": result, "detail": detail})
    if as_json:
        print_json({"entries": rows})
    else:
        _print(rows)
    if any(row["result"] not in {"on", "approval"} for row in rows):
        sys.exit(ExitCode.FAILED)


def active_entries(entries: Collection[Any]) -> set[str]:
    """Returns the ids of the entries that the old scheduler still runs."""
    return {entry.id for entry in entries if entry.kind == "job" and not entry.disabled}


def perhaps_changed(planned: Collection[Mapping[str, Any]], entries: Collection[Any]) -> set[str]:
    """Returns the ids of planned entries that may run under another id: they are gone, and there are active ones that the plan does not
    know. Somebody may have edited an original in place of disabling it."""
    known, present = {entry["id"] for entry in planned}, {entry.id for entry in entries}
    return known - present if active_entries(entries) - known else set()


def to_enable(planned: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the command that enables the original of each planned entry by its id, without those that were disabled before."""
    return {entry["id"]: entry["enable"] for entry in planned if entry["enable"] and not entry["disabled"]}


def _is_waiting(entry: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a job is still as the import has left it: paused or in shadow mode."""
    there = row["standing"] in {"as imported", "changed"}
    return there and (row["paused"] or row["shadow"]) and not entry["disabled"]


def _switch_on(client: Client, row: Mapping[str, Any]) -> tuple[str, str]:
    place = f"{JOBS}/{segment(row['job_id'])}"
    try:
        if row["shadow"]:
            client.delete(f"{place}/shadow", "job")
        if row["paused"]:
            client.post(f"{place}/resume", "job", None)
    except Waits as waits:
        return "approval", waits.message
    except Failed as failed:
        if failed.exit_code == ExitCode.UNREACHABLE:
            raise
        return "failed", failed.message
    return "on", ""


def _print(rows: Sequence[Mapping[str, str]]) -> None:
    for row in rows:
        echo(f"{row['result']:<10}{row['name']}" + (f": {row['detail']}" if row["detail"] and row["result"] != "active" else ""))
    active = [row["detail"] for row in rows if row["result"] == "active"]
    if active:
        echo("\nThese originals are still active. Disable them, and then run this command again:")
        for command in active:
            echo(f"  {command}")
    if not rows:
        note("No job waits to be switched on.")

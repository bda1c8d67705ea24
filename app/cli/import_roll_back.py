"""`jobwright import roll-back`: deletes the jobs that a plan has created, and names those that stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.client import Client, Waits, segment
from app.cli.connect import with_client
from app.cli.failures import ExitCode, Failed
from app.cli.groups import examples
from app.cli.import_cut_over import IMPORTS, to_enable
from app.cli.import_source import PLAN, read_plan_file
from app.cli.options import JSON
from app.cli.output import echo, note, print_json

DELETED, OF_ANOTHER_PLAN = "deleted", "other plan"


@click.command("roll-back", epilog=examples("jobwright import roll-back plan.json", "jobwright import roll-back plan.json --all-plans"))
@PLAN
@click.option("--all-plans", is_flag=True, help="Also delete the jobs that other plans of the same source have created.")
@JSON
@with_client
def roll_back(client: Client, plan_file: Path, all_plans: bool, as_json: bool) -> None:
    """Delete the jobs that this plan has created, and print the commands that enable the originals.

    Jobs that somebody has changed since are kept and named, and the exit code is 1. Jobs of the same source that another plan has created
    are named and stay, unless --all-plans is given.
    """
    planned, _ = read_plan_file(plan_file)
    imports = client.get(IMPORTS, "imports", source=planned["source"]["name"])["imports"]
    enable, known = to_enable(planned["entries"]), {entry["id"] for entry in planned["entries"]}
    rows: list[dict[str, str]] = []
    try:
        for row in _removed(client, imports, "" if all_plans else planned["hash"]):
            rows.append(row)  # one at a time: what was deleted is printed, also if the server goes away meanwhile
            if not as_json:
                _print(row, enable.get(row["entry"], ""), known=row["entry"] in known)
    finally:
        if as_json:
            print_json({"entries": rows})
    if all(row["result"] == OF_ANOTHER_PLAN for row in rows):
        note("Nothing of this plan was applied.")
    if any(row["result"] == OF_ANOTHER_PLAN for row in rows):
        note("To delete the jobs of other plans too, add --all-plans.")
    if any(row["result"] not in {DELETED, OF_ANOTHER_PLAN} for row in rows):
        sys.exit(ExitCode.FAILED)


def _removed(client: Client, imports: list[dict[str, Any]], plan: str) -> Iterator[dict[str, str]]:
    """Removes the imports of a plan (of all plans for ""), and yields what has become of each. Raises Failed if the server is away."""
    for imported in imports:
        result, detail = DELETED, ""
        if plan and imported["plan"] != plan:
            result, detail = OF_ANOTHER_PLAN, f"the plan {imported['plan'][:16]} has created it. It stays."
        else:
            try:
                client.delete(f"{IMPORTS}/{segment(imported['id'])}", "import")
            except Waits as waits:
                result, detail = "approval", waits.message
            except Failed as failed:
                if failed.exit_code == ExitCode.UNREACHABLE:
                    raise
                result, detail = "kept", failed.message
        yield {"entry": imported["entry"], "name": imported["name"], "result": result, "detail": detail}


def _print(row: Mapping[str, str], enable: str, *, known: bool) -> None:
    echo(f"{row['result']:<11}{row['name']}" + (f": {row['detail']}" if row["detail"] else ""))
    if row["result"] == DELETED and enable:
        echo(f"  to enable the original again: {enable}")
    elif row["result"] == DELETED and not known:
        echo(f"  its original {row['entry']} is not in this plan. Enable it yourself if it was disabled.")

"""`jobwright migrate-jobs`: from the old, hard-coded scheduler to Jobwright, one job at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.connect import with_client
from app.cli.failures import ExitCode, Failed
from app.cli.groups import OrderedGroup, examples
from app.cli.options import JSON
from app.cli.output import echo, moment, note, print_json

MIGRATED = "/migrated-jobs"
POLL_SECONDS = 0.2

CONNECTION = click.option("--connection", required=True, metavar="NAME", help="The connection to the database of the old scheduler.")
TICKETS = click.option(
    "--tickets",
    type=click.Choice(["cron", "interval"]),
    default="cron",
    show_default=True,
    help="The schedule of auto_delete_resolved_tickets: at 19:00, or every day from the old time.",
)
ONLY = click.option("--job", "jobs", multiple=True, metavar="NAME", help="Only this job of the old scheduler. Default: all of them.")


@click.group(
    "migrate-jobs",
    cls=OrderedGroup,
    epilog=examples(
        "jobwright migrate-jobs plan --connection old-scheduler",
        "jobwright migrate-jobs apply --connection old-scheduler --job test_scheduler",
        "jobwright migrate-jobs cut-over --connection old-scheduler --job test_scheduler",
    ),
)
def migrate_jobs() -> None:
    """Migrate the jobs of the old scheduler.

    Plan it, run both side by side, compare them, cut over, and roll back if you want the old state again.
    """


@migrate_jobs.command("plan", epilog=examples("jobwright migrate-jobs plan --connection old-scheduler"))
@CONNECTION
@TICKETS
@ONLY
@JSON
@with_client
def plan(client: Client, connection: str, tickets: str, jobs: Sequence[str], as_json: bool) -> None:
    """Say what each old job becomes, how it differs, and how far its migration is. Nothing is changed."""
    answer = _plan(client, connection, tickets, jobs)
    if as_json:
        print_json(answer)
        return
    if not answer["old_is_alive"]:
        note("The old scheduler has not given a sign of life lately.")
    for row in answer["jobs"]:
        _print_planned(row)


@migrate_jobs.command("apply", epilog=examples("jobwright migrate-jobs apply --connection old-scheduler --job data_cleanup"))
@CONNECTION
@TICKETS
@ONLY
@JSON
@with_client
def apply(client: Client, connection: str, tickets: str, jobs: Sequence[str], as_json: bool) -> None:
    """Begin parallel operation: the old scheduler runs the jobs, and Jobwright records what it would run.

    A job that was applied before is left as it is.
    """
    done = []
    for name in _names(client, connection, tickets, jobs):
        answer = client.post(f"{MIGRATED}/{segment(name)}", "migration", {"connection": connection, "tickets": tickets})
        done.append(answer["migration"])
    _print_stages(done, as_json)


@migrate_jobs.command("compare", epilog=examples("jobwright migrate-jobs compare --connection old-scheduler --job test_scheduler"))
@CONNECTION
@ONLY
@JSON
@with_client
def compare(client: Client, connection: str, jobs: Sequence[str], as_json: bool) -> None:
    """Compare what the old scheduler ran with what Jobwright would have run, since parallel operation began.

    The exit code is 1 if a due time was run by both.
    """
    reports = [client.get(f"{MIGRATED}/{segment(name)}/comparison", "rows") for name in _begun(client, connection, jobs)]
    if as_json:
        print_json({"comparisons": reports})
    else:
        for report in reports:
            _print_comparison(report)
    if any(report["counts"].get("double") for report in reports):
        sys.exit(ExitCode.FAILED)


@migrate_jobs.command("cut-over", epilog=examples("jobwright migrate-jobs cut-over --connection old-scheduler --job test_scheduler"))
@CONNECTION
@ONLY
@click.option("--timeout", type=click.IntRange(1), default=60, show_default=True, metavar="SECONDS", help="How long to wait for old runs.")
@JSON
@with_client
def cut_over(client: Client, connection: str, jobs: Sequence[str], timeout: int, as_json: bool) -> None:
    """Hand jobs to Jobwright, each at its next due time. The old scheduler begins no run of them from then on.

    A run of the old scheduler that goes on is waited for. If that takes longer than --timeout, the nodes complete the cut-over later.
    """
    done, waits = [], False
    for name in _begun(client, connection, jobs):
        deadline = time.monotonic() + timeout
        answer = client.post(f"{MIGRATED}/{segment(name)}/cut-over", "migration")
        while answer["migration"]["stage"] == "moving" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            answer = client.post(f"{MIGRATED}/{segment(name)}/cut-over", "migration")
        waits = waits or answer["migration"]["stage"] == "moving"
        done.append(answer["migration"])
    _print_stages(done, as_json)
    if waits:
        note("A run of the old scheduler goes on. The nodes complete the cut-over after it.")
        sys.exit(ExitCode.FAILED)


@migrate_jobs.command("roll-back", epilog=examples("jobwright migrate-jobs roll-back --connection old-scheduler --job test_scheduler"))
@CONNECTION
@ONLY
@click.option("--remove", is_flag=True, help="Also delete the jobs, and forget their migration.")
@JSON
@with_client
def roll_back(client: Client, connection: str, jobs: Sequence[str], remove: bool, as_json: bool) -> None:
    """Give jobs back to the old scheduler, each from the first due time on that Jobwright has not run. The jobs stay in shadow mode."""
    began, done = time.monotonic(), []
    for name in _begun(client, connection, jobs):
        answer = client.post(f"{MIGRATED}/{segment(name)}/roll-back", "migration", {"remove": remove})
        done.append(answer["migration"] or {"name": name, "stage": "removed"})
    _print_stages(done, as_json)
    note(f"This took {time.monotonic() - began:.1f} s.")


# -- steps ------------------------------------------------------------------------------------------------------------


def _plan(client: Client, connection: str, tickets: str, jobs: Sequence[str]) -> dict[str, Any]:
    answer = client.get(MIGRATED, "jobs", connection=connection, tickets=tickets)
    known = [row["name"] for row in answer["jobs"]]
    for name in jobs:
        if name not in known:
            raise Failed(f"The old scheduler has no job {name!r}. Its jobs are {', '.join(known)}.", ExitCode.NOT_FOUND)
    return {**answer, "jobs": [row for row in answer["jobs"] if not jobs or row["name"] in jobs]}


def _names(client: Client, connection: str, tickets: str, jobs: Sequence[str]) -> list[str]:
    return [row["name"] for row in _plan(client, connection, tickets, jobs)["jobs"] if row["job"] is not None]


def _begun(client: Client, connection: str, jobs: Sequence[str]) -> list[str]:
    """Returns the names of the jobs whose migration has begun. Raises Failed for a named one that has not, and if there is none."""
    rows = _plan(client, connection, "cron", jobs)["jobs"]
    begun = [row["name"] for row in rows if row["stage"]]
    missing = [row["name"] for row in rows if not row["stage"]] if jobs else []
    if missing or not begun:
        raise Failed(f"Not migrated yet: {', '.join(missing) or 'all jobs'}. Use jobwright migrate-jobs apply first.", ExitCode.NOT_FOUND)
    return begun


def _print_planned(row: Mapping[str, Any]) -> None:
    runs = {"old": "the old scheduler", "moving": "nobody for the moment", "jobwright": "Jobwright"}.get(row["owner"], row["owner"])
    echo(f"{row['name']}: every {row['interval_seconds']} s, next {moment(row['next_due_at'])}, run by {runs}")
    job = row["job"]
    if job is None:
        echo("  Jobwright does not know this job. Create a job for it yourself.")
        return
    schedule = job["schedule"]
    when = schedule.get("expression") or f"every {schedule['interval_seconds']} s"
    echo(f"  becomes template {job['template_type']}, {when}")
    for words in row["differences"]:
        echo(f"  differs: {words}")
    if row["stage"]:
        echo(f"  stage: {row['stage']}")


def _print_stages(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"migrations": list(rows)})
        return
    for row in rows:
        echo(f"{row['name']}: {row['stage']}")


def _print_comparison(report: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{count} {match}" for match, count in report["counts"].items()) or "no due times yet"
    echo(f"{report['name']}, {moment(report['since'])} to {moment(report['until'])}: {counts}")
    for row in report["rows"]:
        late = "" if row["seconds"] is None else f"  {row['seconds']:+.1f} s"
        ran = "  run by Jobwright" if row["ran"] else ""
        echo(f"  {row['match']:<10}{row['old'] or '–':<26}{row['ours'] or '–':<26}{late}{ran}")

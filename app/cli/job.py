"""`jobwright job`: list, run, pause, enable and disable jobs."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import click

from app.cli.client import Client
from app.cli.completion import complete_jobs, complete_templates
from app.cli.connect import with_client
from app.cli.failures import ExitCode, Failed
from app.cli.follow import Following, print_log, report_run
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import JOBS, began_at, find_job, id_of, outcome_of, schedule_of, state_of
from app.cli.options import JSON, LEVEL, LIMIT, PAGE, Instant, follow_options
from app.cli.output import Column, echo, moment, note, print_fields, print_json, print_page, print_table, print_values, say_zone, span
from app.errors import field_name
from templates_lib.messages import amount

JOB = click.argument("job", metavar="JOB", shell_complete=complete_jobs)
SEVERAL_JOBS = click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs)
STATES = {
    "enabled": {"enabled": True, "paused": False},
    "disabled": {"enabled": False},
    "paused": {"paused": True},
    "shadow": {"shadow": True},
    "broken": {"broken": True},
    "ended": {"ended": True},
}
RECENT = 5  # executions that `job show` lists


@click.group(cls=OrderedGroup)
def job() -> None:
    """List, run, pause, enable and disable jobs.

    JOB is the name or the id of a job.
    """


@job.command(
    "list",
    epilog=examples("jobwright job list --status failed", "jobwright job list --template webhook_trigger --tag shop --json"),
)
@click.option("--status", type=click.Choice(["success", "failed", "timeout", "cancelled", "never"]), help="How the last run ended.")
@click.option("--state", type=click.Choice(list(STATES)), help="Whether the job starts by itself.")
@click.option("--template", metavar="TYPE", shell_complete=complete_templates, help="The template of the job.")
@click.option("--tag", help="A tag of the job.")
@click.option("--group", help="The group of the job.")
@click.option("--owner", metavar="EMAIL", help="Who created the job.")
@click.option("--search", metavar="TEXT", help="A text in the name, the description or a tag.")
@click.option(
    "--sort",
    type=click.Choice(["name", "next_run_at", "last_run_at", "created_at", "updated_at"]),
    default="name",
    show_default=True,
    help="The order of the list.",
)
@click.option("--descending", is_flag=True, help="Reverse the order.")
@LIMIT
@PAGE
@JSON
@with_client
def list_jobs(client: Client, state: str | None, sort: str, descending: bool, as_json: bool, **filters: Any) -> None:
    """List jobs."""
    query = {"last_status": filters.pop("status"), "template_type": filters.pop("template"), **filters}
    words = {name: str(value).lower() for name, value in STATES[state].items()} if state else {}
    answer = client.get(JOBS, "jobs", **query, **words, sort=f"-{sort}" if descending else sort)
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Name", cut=True, least=16),
        Column("Template", cut=True, spare=True),
        Column("Schedule", cut=True, least=14),
        Column("State"),
        Column("Last run", spare=True),
        Column("Result"),
        Column("Next run"),
        Column("Id", spare=True),
    ]
    rows = [
        (
            row.get("name"),
            row.get("template_type"),
            schedule_of(row),
            state_of(row),
            moment(row.get("last_run_at"), otherwise="never"),
            row.get("last_status") or "–",
            moment(row.get("next_run_at")),
            id_of(row),
        )
        for row in answer["jobs"]
    ]
    print_page(columns, rows, answer, singular="job", plural="jobs")


@job.command("show")
@JOB
@JSON
@with_client
def show(client: Client, job: str, as_json: bool) -> None:
    """Show a job, its parameters and its last runs."""
    row = find_job(client, job)
    if as_json:
        print_json({"job": row})
        return
    print_fields(
        [
            ("Name", row.get("name")),
            ("Id", id_of(row)),
            ("Description", row.get("description")),
            ("Template", row.get("template_type")),
            ("Schedule", schedule_of(row)),
            ("State", state_of(row)),
            ("Schedule error", row.get("schedule_error")),
            ("Paused", _pause_words(row.get("paused"))),
            ("Shadow mode", _pause_words(row.get("shadow"))),
            ("Next run", moment(row.get("next_run_at"))),
            ("Last run", moment(row.get("last_run_at"), otherwise="never")),
            ("Last result", row.get("last_status")),
            ("Group", row.get("group")),
            ("Tags", ", ".join(row.get("tags") or ())),
            ("Needs labels", ", ".join(row.get("needs") or ())),
            ("Timeout", span(row.get("timeout_seconds"))),
            ("Limit of runs", _limit_words(row.get("run_limit"))),
            ("Created", f"{moment(row.get('created_at'))} by {row.get('created_by')}"),
            ("Changed", f"{moment(row.get('updated_at'))} by {row.get('updated_by')}"),
        ]
    )
    print_values("Parameters", row.get("parameters") or {})
    recent = client.get(f"{JOBS}/{id_of(row)}/executions", "executions", limit=RECENT)["executions"]
    if recent:
        click.echo("\nLast runs")
        columns = [Column("Started"), Column("Status"), Column("Took", right=True), Column("Outcome", cut=True), Column("Id", spare=True)]
        print_table(columns, [(began_at(r), r.get("status"), span(r.get("duration_seconds")), outcome_of(r), id_of(r)) for r in recent])
    say_zone()


def _limit_words(limit: Any) -> str:
    if not limit or not limit.get("runs"):
        return ""
    rest = "are skipped" if limit.get("excess") == "skip" else "wait"
    return f"{amount(limit['runs'], 'run')} within {span(limit.get('seconds'))}; more {rest}"


def _pause_words(pause: Any) -> str:
    if not isinstance(pause, dict):
        return ""
    until = f", until {moment(pause['until'])}" if pause.get("until") else ""
    reason = f": {pause['reason']}" if pause.get("reason") else ""
    return f"by {pause.get('by')} since {moment(pause.get('at'))}{until}{reason}"


@job.command(
    "run",
    epilog=examples(
        'jobwright job run "Nightly cleanup" --follow',
        'jobwright job run "Nightly cleanup" --set dryRun=true --wait --timeout 300',
    ),
)
@JOB
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="The value of a parameter in this run only, as JSON or text.")
@follow_options
@JSON
@with_client
def run(client: Client, job: str, values: tuple[str, ...], how: Following | None, as_json: bool) -> None:
    """Run a job now.

    Prints the id of the execution. With --follow or --wait, the exit code says how the run ended.
    """
    parameters = dict(_parameter(text) for text in values)
    row = find_job(client, job)
    body = {"parameters": parameters} if parameters else {}
    answer = client.post(f"{JOBS}/{id_of(row)}/run", "execution_id", body, key=str(uuid.uuid4()))
    report_run(client, answer, how, as_json=as_json)


@job.command(
    "logs", epilog=examples('jobwright job logs "Nightly cleanup"', 'jobwright job logs "Nightly cleanup" --follow --level WARNING')
)
@JOB
@click.option("--follow", "-f", "follows", is_flag=True, help="Print new lines as they come, until the run ends.")
@LEVEL
@with_client
def logs(client: Client, job: str, follows: bool, level: str) -> None:
    """Print the log of the last run of a job."""
    row = find_job(client, job)
    runs = client.get(f"{JOBS}/{id_of(row)}/executions", "executions", limit=1)["executions"]
    if not runs:
        raise Failed(f"{row.get('name')!r} has not run yet.", ExitCode.NOT_FOUND)
    print_log(client, id_of(runs[0]), level=level, follows=follows)


@job.command(
    "pause",
    epilog=examples(
        'jobwright job pause "Nightly cleanup" --until "2 h"',
        'jobwright job pause "Nightly cleanup" --reason "Move of the shop" --until "tomorrow 8:00"',
    ),
)
@SEVERAL_JOBS
@click.option("--reason", default="", help="The reason, which people see on the page of the job.")
@click.option(
    "--until",
    type=Instant(),
    help="When the pause ends, in the local time zone: a time, a day such as 'tomorrow 8:00', or a duration such as '2 h'. "
    "Default: when the job is resumed.",
)
@with_client
def pause(client: Client, jobs: tuple[str, ...], reason: str, until: str | None) -> None:
    """Pause jobs: their scheduled runs are skipped.

    A paused job can still be run by hand.
    """
    body = {"reason": reason.strip(), **({"until": until} if until else {})}
    end = f"until {moment(until)}" if until else "until someone resumes it"
    _for_each(client, jobs, "pause", lambda name, _: f"Paused {name} {end}.", body)
    if until:
        say_zone()


@job.command("resume")
@SEVERAL_JOBS
@with_client
def resume(client: Client, jobs: tuple[str, ...]) -> None:
    """End the pause of jobs.

    Runs that were skipped during the pause are not run later.
    """
    _for_each(client, jobs, "resume", lambda name, before: f"Resumed {name}." if before.get("paused") else f"{name} is not paused.")


@job.command("shadow", epilog=examples('jobwright job shadow "Nightly cleanup"', 'jobwright job shadow "Nightly cleanup" --end'))
@SEVERAL_JOBS
@click.option("--reason", default="", metavar="TEXT", help="Shown on the page of the job.")
@click.option("--end", is_flag=True, help="End shadow mode: the jobs run from their next due time on.")
@with_client
def shadow(client: Client, jobs: tuple[str, ...], reason: str, end: bool) -> None:
    """Put jobs in shadow mode: what they would run is recorded, and nothing runs.

    A job in shadow mode can still be run by hand.
    """
    if end:
        _for_each(client, jobs, "shadow", _ended_shadow, delete=True)
    else:
        _for_each(client, jobs, "shadow", lambda name, _: f"{name} is in shadow mode.", {"reason": reason} if reason else {})


@job.command("shadow-runs", epilog=examples('jobwright job shadow-runs "Nightly cleanup"'))
@JOB
@LIMIT
@JSON
@with_client
def shadow_runs(client: Client, job: str, limit: int | None, as_json: bool) -> None:
    """List what a job in shadow mode would have run, newest first."""
    answer = client.get(f"{JOBS}/{id_of(find_job(client, job))}/shadow-runs", "shadow_runs", limit=limit)
    if as_json:
        print_json(answer)
        return
    columns = [Column("Due"), Column("Would have"), Column("Reason"), Column("Due times", right=True)]
    rows = [
        (
            moment(row.get("due_at")),
            "run" if row.get("outcome") == "run" else row.get("outcome"),
            row.get("reason") or "–",
            row.get("count"),
        )
        for row in answer["shadow_runs"]
    ]
    print_table(columns, rows)


@job.command("enable")
@SEVERAL_JOBS
@with_client
def enable(client: Client, jobs: tuple[str, ...]) -> None:
    """Enable jobs: they follow their schedules from now on."""
    _for_each(client, jobs, "enable", lambda name, _: f"Enabled {name}.")


@job.command("disable")
@SEVERAL_JOBS
@with_client
def disable(client: Client, jobs: tuple[str, ...]) -> None:
    """Disable jobs: their schedules are ignored until they are enabled again."""
    _for_each(client, jobs, "disable", lambda name, _: f"Disabled {name}.")


def _ended_shadow(name: str, before: Mapping[str, Any]) -> str:
    return f"{name} is no longer in shadow mode." if before.get("shadow") else f"{name} is not in shadow mode."


def _for_each(
    client: Client,
    jobs: tuple[str, ...],
    action: str,
    told: Callable[[str, Mapping[str, Any]], str],
    body: Any = None,
    *,
    delete: bool = False,
) -> None:
    """Does the same to several jobs, one after the other. One that is refused does not stop the others; the command then fails.

    `told` returns the sentence for the name of a job and the job as it was before. With `delete`, the action is ended instead of begun.
    """
    failed: Failed | None = None
    for name in jobs:
        try:
            row = find_job(client, name)
            path = f"{JOBS}/{id_of(row)}/{action}"
            answer = client.delete(path, "job") if delete else client.post(path, "job", body)
        except Failed as refused:
            failed = failed or refused
            note(f"jobwright: {name}: {refused.message}")
            continue
        echo(told(str(row.get("name")), row))
        for warning in answer.get("warnings") or ():
            note(f"  warning: {field_name(str(warning.get('pointer', '')))}: {warning.get('detail', '')}")
    if failed is not None:
        sys.exit(failed.exit_code)


def _parameter(text: str) -> tuple[str, Any]:
    """Returns the name and the value of `NAME=VALUE`. A value that is not JSON is text. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value

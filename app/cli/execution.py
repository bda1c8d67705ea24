"""`jobwright execution`: the records of runs."""

from __future__ import annotations

import json
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.completion import complete_executions, complete_jobs, complete_templates, complete_unended
from app.cli.connect import with_client
from app.cli.follow import Following, print_log, read_execution, report_run
from app.cli.groups import OrderedGroup, examples
from app.cli.look_up import EXECUTIONS, began_at, find_job, id_of, outcome_of
from app.cli.options import JSON, LEVEL, LIMIT, PAGE, follow_options
from app.cli.output import Column, echo, moment, print_fields, print_json, print_page, print_table, print_values, say_zone, span

STATUSES = ("queued", "running", "retrying", "success", "failed", "timeout", "cancelled", "skipped", "missed")
EXECUTION = click.argument("execution", metavar="ID", shell_complete=complete_executions)
UNENDED = click.argument("execution", metavar="ID", shell_complete=complete_unended)


@click.group(cls=OrderedGroup)
def execution() -> None:
    """List, show, cancel and retry executions.

    An execution is the record of one run of a job. ID is its id, as `execution list` shows it.
    """


@execution.command("list", epilog=examples("jobwright execution list --status failed", 'jobwright execution list --job "Nightly cleanup"'))
@click.option("--job", metavar="JOB", shell_complete=complete_jobs, help="The name or the id of the job.")
@click.option("--status", type=click.Choice(STATUSES), help="The status of the execution.")
@click.option("--template", "template_type", metavar="TYPE", shell_complete=complete_templates, help="The template of the job.")
@click.option("--correlation-id", metavar="ID", help="The X-Request-Id of the request that caused the executions.")
@click.option("--search", metavar="TEXT", help="A text in the name of the job, the result or the error.")
@LIMIT
@PAGE
@JSON
@with_client
def list_executions(client: Client, job: str | None, as_json: bool, **filters: Any) -> None:
    """List executions, the newest first."""
    job_id = id_of(find_job(client, job)) if job else None
    answer = client.get(EXECUTIONS, "executions", job_id=job_id, **filters)
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Id"),
        Column("Job", cut=True),
        Column("Status"),
        Column("Started"),
        Column("Took", right=True, spare=True),
        Column("Triggered by", spare=True),
        Column("Outcome", cut=True, spare=True),
    ]
    rows = [
        (
            id_of(row),
            row.get("job_name"),
            row.get("status"),
            began_at(row),
            span(row.get("duration_seconds")),
            row.get("triggered_by_user") or row.get("triggered_by"),
            outcome_of(row),
        )
        for row in answer["executions"]
    ]
    print_page(columns, rows, answer, singular="execution", plural="executions")


@execution.command("show")
@EXECUTION
@JSON
@with_client
def show(client: Client, execution: str, as_json: bool) -> None:
    """Show an execution: its times, attempts, result and error."""
    row = read_execution(client, execution)
    if as_json:
        print_json({"execution": row})
        return
    person = f" by {row['triggered_by_user']}" if row.get("triggered_by_user") else ""
    print_fields(
        [
            ("Job", row.get("job_name")),
            ("Id", id_of(row)),
            ("Template", row.get("template_type")),
            ("Status", row.get("status")),
            ("Outcome", outcome_of(row)),
            ("Triggered by", f"{row.get('triggered_by')}{person}"),
            ("Due", moment(row.get("scheduled_for"), seconds=True, otherwise="")),
            ("Queued", moment(row.get("queued_at"), seconds=True)),
            ("Started", moment(row.get("started_at"), seconds=True, otherwise="not yet")),
            ("Ended", moment(row.get("completed_at"), seconds=True, otherwise="not yet")),
            ("Took", span(row["duration_seconds"]) if row.get("duration_seconds") is not None else None),
            ("Host", row.get("execution_host")),
            ("Retry of", row.get("retry_of")),
            ("Correlation id", row.get("correlation_id")),
        ]
    )
    attempts = row.get("attempts") or []
    if attempts:
        click.echo("\nAttempts")
        columns = [Column("No.", right=True), Column("Started"), Column("Status"), Column("Error", cut=True)]
        print_table(
            columns,
            [
                (a.get("number"), moment(a.get("started_at"), seconds=True), a.get("status"), (a.get("error") or {}).get("message"))
                for a in attempts
            ],
        )
    print_values("Parameters", row.get("parameters") or {})
    result = row.get("result")
    if isinstance(result, dict):
        print_values("Result", {name: value for name, value in result.items() if name != "message"})
    elif result is not None:
        echo(f"\nResult\n  {json.dumps(result, ensure_ascii=False)}")
    say_zone()


@execution.command("logs", epilog=examples("jobwright execution logs ID --follow"))
@EXECUTION
@click.option("--follow", "-f", "follows", is_flag=True, help="Print new lines as they come, until the run ends.")
@LEVEL
@with_client
def logs(client: Client, execution: str, follows: bool, level: str) -> None:
    """Print the log of an execution."""
    print_log(client, execution, level=level, follows=follows)


@execution.command("cancel")
@UNENDED
@with_client
def cancel(client: Client, execution: str) -> None:
    """Cancel an execution that is waiting or running."""
    row = client.post(f"{EXECUTIONS}/{segment(execution)}/cancel", "execution")["execution"]
    echo("Cancelled." if row.get("status") == "cancelled" else "The run is being cancelled.")


@execution.command("retry")
@EXECUTION
@follow_options
@JSON
@with_client
def retry(client: Client, execution: str, how: Following | None, as_json: bool) -> None:
    """Run an ended execution again, with the same parameters.

    Prints the id of the new execution. With --follow or --wait, the exit code says how the run ended.
    """
    answer = client.post(f"{EXECUTIONS}/{segment(execution)}/retry", "execution_id")
    report_run(client, answer, how, as_json=as_json)

"""/api/jobs: jobs by their names. The list and one record are shared with the routes of job types, which show executions there."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from flask import Response, jsonify

from app.accounts.permissions import May
from app.api.base_schemas import Message
from app.api.compat.blueprint import CompatBlueprint, WaitsForApproval
from app.api.compat.job_types.answers import list_of_executions, show_typed_execution
from app.api.compat.named_jobs.answers import cron_expression, show_named_execution, show_named_jobs, show_stats
from app.api.compat.named_jobs.schemas import (
    CRON_SCHEMA,
    JOB_OR_EXECUTION_OUT,
    JOBS_OUT,
    TRIGGER_SCHEMA,
    CronOut,
    HistoryOut,
    HistoryQuery,
    JobsQuery,
    StatsEnvelope,
    StatsQuery,
    SwitchedOut,
    TriggeredOut,
)
from app.api.compat.people import acting_for
from app.api.compat.words import job_result, status_word, statuses_of
from app.api.current import actor, services
from app.api.executions.schemas import WaitQuery
from app.api.jobs.answers import client_locale
from app.api.waiting import when_ended
from app.errors import FieldError, NotFound, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.execution.sums import Sums
from app.instants import as_text
from app.jobs.body import as_request
from app.jobs.filters import EVERY_JOB
from app.jobs.model import Job
from app.queue.execution import Execution

blueprint = CompatBlueprint(
    "Jobs by name",
    __name__,
    url_prefix="/api/jobs",
    description="Routes of another scheduler service, for its clients: jobs by their names (docs/reference/compatibility.md)",
)

JOBS_LISTED, EXECUTIONS_LISTED = 200, 50  # by default
MOST_EXECUTIONS = 200
APPROVAL = {"schema": WaitsForApproval, "description": "The request waits for approval; nothing has changed"}


@blueprint.get("")
@blueprint.arguments(JobsQuery, location="query")
@blueprint.response(200, JOBS_OUT)
def list_named_jobs(query: dict[str, Any]) -> Response:
    """List jobs; with `type`, `status` or `page`, list executions, newest first"""
    if query.keys() & {"type", "status", "page"}:
        limit = min(query.get("limit", EXECUTIONS_LISTED), MOST_EXECUTIONS)
        return jsonify(list_of_executions(query.get("type"), query.get("status"), page=query.get("page", 1), limit=limit))
    limit = query.get("limit", JOBS_LISTED)
    jobs, total = services().directory.part(actor(), EVERY_JOB, skip=query["offset"], limit=limit)
    return jsonify({"jobs": show_named_jobs(jobs), "total": total, "limit": limit, "offset": query["offset"]})


@blueprint.get("/<job_name>")
@blueprint.response(200, JOB_OR_EXECUTION_OUT)
def get_named_job(job_name: str) -> Response:
    """Read a job; if no job has this name, read the execution with this id"""
    try:
        return jsonify(show_named_jobs([services().directory.named(actor(), job_name)])[0])
    except NotFound:
        if not _is_execution_id(job_name):
            raise
    return jsonify(show_typed_execution(services().history.get(actor(), job_name)))


@blueprint.post("/<job_name>/trigger")
@blueprint.arguments(WaitQuery, location="query")
@blueprint.body(TRIGGER_SCHEMA, required=False)
@blueprint.response(202, TriggeredOut)
@blueprint.alt_response(200, schema=TriggeredOut, description="The run has ended while the request waited for it")
@blueprint.idempotent
def run_named_job(query: dict[str, Any], job_name: str, body: dict[str, Any], idempotency_key: str | None) -> Response:
    """Run a job now; with `wait`, answer once the run has ended"""
    job = services().directory.named(actor(), job_name, May.RUN_JOBS)
    user = acting_for(body.get("userId") or "", name="userId", pointer="/userId")

    def show(execution: Execution) -> Response:
        answer = jsonify(
            {
                "message": f"Job {job_name} triggered",
                "executionId": execution.id,
                "status": status_word(execution.status),
                "result": job_result(execution),
            }
        )
        answer.status_code = 200 if query["wait"] and not execution.is_live else 202
        return answer

    return when_ended(services().runs.run_now(user, job.id, idempotency_key=idempotency_key), query["wait"], show)


@blueprint.post("/<job_name>/enable")
@blueprint.response(200, SwitchedOut)
@blueprint.alt_response(202, **APPROVAL)
def enable_named_job(job_name: str) -> dict[str, Any]:
    """Enable a job: it follows its schedule from now on"""
    return {"message": f"Job {job_name} enabled", "job": _switched(job_name, enabled=True)}


@blueprint.post("/<job_name>/disable")
@blueprint.response(200, SwitchedOut)
def disable_named_job(job_name: str) -> dict[str, Any]:
    """Disable a job: it ignores its schedule until it is enabled again"""
    return {"message": f"Job {job_name} disabled", "job": _switched(job_name, enabled=False)}


@blueprint.put("/<job_name>/cron")
@blueprint.body(CRON_SCHEMA)
@blueprint.response(200, CronOut)
@blueprint.alt_response(202, **APPROVAL)
def change_cron_of_named_job(job_name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change the cron expression of a job; an expression that is refused leaves the schedule as it is"""
    before = services().directory.named(actor(), job_name, May.CHANGE_JOBS)
    schedule = {**as_request(before.definition)["schedule"], "type": "cron", "expression": body["cronExpression"]}
    try:
        after = services().jobs.update(actor(), before.id, {"schedule": schedule}, version=before.version)
    except ValidationFailed as failed:
        raise ValidationFailed([_at_cron(error) for error in failed.errors]) from failed
    return {
        "message": f"Cron expression of job {job_name} changed",
        "cronExpression": cron_expression(after),
        "previousCronExpression": cron_expression(before),
        "schedule": after.definition.schedule.trigger.words(client_locale()),
        "nextRunAt": as_text(after.next_run_at) if after.next_run_at else None,
    }


@blueprint.delete("/<job_name>")
@blueprint.response(200, Message)
@blueprint.alt_response(202, **APPROVAL)
def delete_named_job(job_name: str) -> dict[str, str]:
    """Delete a job; its history stays, and it can be restored"""
    services().runs.delete_job(actor(), services().directory.named(actor(), job_name, May.CHANGE_JOBS).id)
    return {"message": f"Job {job_name} deleted"}


@blueprint.get("/<job_name>/history")
@blueprint.arguments(HistoryQuery, location="query")
@blueprint.response(200, HistoryOut)
def list_history_of_named_job(query: dict[str, Any], job_name: str) -> dict[str, Any]:
    """List the executions of a job, newest first, by `page` or by `offset`"""
    job, limit = services().directory.named(actor(), job_name, May.SEE_EXECUTIONS), query["limit"]
    skip = query.get("offset", (query["page"] - 1) * limit)
    wanted = ExecutionFilter(job_id=job.id, statuses=statuses_of(query.get("status")))
    rows, total = services().history.part(actor(), wanted, skip=skip, limit=limit)
    return {
        "executions": [show_named_execution(row) for row in rows],
        "pagination": {"limit": limit, "offset": skip, "total": total, "hasMore": skip + limit < total},
        "total": total,
        "page": skip // limit + 1,
        "limit": limit,
    }


@blueprint.get("/<job_name>/stats")
@blueprint.arguments(StatsQuery, location="query")
@blueprint.response(200, StatsEnvelope)
def get_stats_of_named_job(query: dict[str, Any], job_name: str) -> dict[str, Any]:
    """Read figures of the executions of the last days"""
    job, now = services().directory.named(actor(), job_name, May.SEE_EXECUTIONS), services().clock.now()
    since = now - timedelta(days=query["days"])
    sums = services().history.sums(actor(), [job.id], since=since)
    return {
        "job_name": job.definition.name,
        "stats": show_stats(None if sums is None else sums.get(job.id, Sums())),
        "period": {"days": query["days"], "from": as_text(since), "to": as_text(now)},
    }


def _switched(job_name: str, *, enabled: bool) -> dict[str, Any]:
    """Enables or disables a job, and returns it as a member of an answer."""
    job = services().directory.named(actor(), job_name, May.CHANGE_JOBS)
    after: Job = services().jobs.set_enabled(actor(), job.id, enabled=enabled)
    return show_named_jobs([after])[0]


def _at_cron(error: FieldError) -> FieldError:
    """Returns an error of the expression at the member of the body that holds it."""
    return FieldError("/cronExpression", error.message) if error.pointer == "/schedule/expression" else error


def _is_execution_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False

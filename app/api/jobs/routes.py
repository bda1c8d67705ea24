"""/api/admin/scheduler-jobs"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for

from app.api.approvals.schemas import ApprovalEnvelope
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import idempotency_key, if_match, json_body
from app.api.current import actor, services
from app.api.executions.schemas import ExecutionList, ExecutionQuery
from app.api.jobs.schemas import BackfillOut, JobChanges, JobEnvelope, JobList, JobQuery, RunBody, RunEnvelope, Validated
from app.api.present import errors_json, execution_json, instant, job_json, jsonable
from app.errors import ValidationFailed
from app.execution.store import ExecutionFilter
from app.jobs.filters import JobFilter
from app.jobs.model import Job, JobDefinition, to_plain
from app.jobs.reading import judge_of
from app.jobs.schema import JobDefinitionSchema, PauseSchema
from app.scheduling.backfill import BODY_SCHEMA as BACKFILL_BODY_SCHEMA
from app.scheduling.words import LOCALES, in_words
from app.validation.together import beside, sound
from app.validation.words import DEFAULT_LOCALE, locales

blueprint = ApiBlueprint("jobs", __name__, url_prefix="/api/admin/scheduler-jobs", description="The registry of jobs")

JOB_BODY = {"required": True, "content": {"application/json": {"schema": JobDefinitionSchema}}}
JOB_CHANGES = {"required": True, "content": {"application/json": {"schema": JobChanges}}}
PAUSE_BODY = {"required": True, "content": {"application/json": {"schema": PauseSchema}}}
BACKFILL_BODY = {"required": True, "content": {"application/json": {"schema": BACKFILL_BODY_SCHEMA}}}
RUN_BODY = {"content": {"application/json": {"schema": RunBody}}}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag that the change is for",
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A second request with the same key answers as the first and does nothing",
}
PREVIEWED_RUNS = 5
_run = judge_of(RunBody())
NARROWING = ("template_type", "enabled", "paused", "broken", "ended", "last_status", "owner", "tag", "group", "search")


def tagged(answer: Any, job: Job) -> Response:
    response: Response = jsonify(answer)
    response.headers["ETag"] = f'"{job.version}"'
    return response


def _locale() -> str:
    """The language that the client wants words in (Accept-Language)."""
    return request.accept_languages.best_match(locales(LOCALES)) or DEFAULT_LOCALE


def shown(job: Job) -> dict[str, Any]:
    return job_json(job, now=services().clock.now(), locale=_locale())


def _warnings(definition: JobDefinition) -> list[dict[str, str]]:
    return errors_json(services().outlook.warnings(definition))


@blueprint.get("")
@blueprint.arguments(JobQuery, location="query")
@blueprint.response(200, JobList)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """List jobs, filtered, searched, sorted, in pages"""
    filters = JobFilter(**{key: query[key] for key in NARROWING if key in query})
    page = services().jobs.page(actor(), filters, sort=query["sort"], page=query["page"], limit=query["limit"])
    return {"jobs": [shown(job) for job in page.jobs], "total": page.total, "page": page.page, "pages": page.pages}


@blueprint.post("")
@blueprint.doc(requestBody=JOB_BODY, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(201, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def create_job() -> Any:
    """Create a job"""
    job, _ = services().jobs.create(actor(), json_body(request), idempotency_key=idempotency_key(request))
    response = tagged({"job": shown(job), "message": "Job created successfully", "warnings": _warnings(job.definition)}, job)
    response.headers["Location"] = url_for("jobs.get_job", job_id=job.id)
    return response, 201


@blueprint.post("/validate")
@blueprint.doc(requestBody=JOB_BODY)
@blueprint.response(200, Validated)
def validate_job() -> dict[str, Any]:
    """Say what creating this job would do, and do nothing"""
    definition = services().jobs.validate(actor(), json_body(request))
    runs = []
    for moment in services().triggers.iter_after(definition.schedule, services().clock.now()):
        runs.append(instant(moment))
        if len(runs) == PREVIEWED_RUNS:
            break
    plain = to_plain(definition)
    plain["schedule"] = {key: instant(v) if hasattr(v, "isoformat") else v for key, v in plain["schedule"].items() if v is not None}
    words, warnings = in_words(definition.schedule, _locale()), _warnings(definition)
    return {"valid": True, "job": plain, "schedule_words": words, "next_runs": runs, "warnings": warnings}


@blueprint.get("/<job_id>")
@blueprint.response(200, JobEnvelope)
def get_job(job_id: str) -> Any:
    """Read one job; 304 where If-None-Match names its ETag"""
    job = services().jobs.get(actor(), job_id)
    if request.headers.get("If-None-Match") == f'"{job.version}"':
        return Response(status=304, headers={"ETag": f'"{job.version}"'})
    return tagged({"job": shown(job)}, job)


@blueprint.put("/<job_id>")
@blueprint.doc(requestBody=JOB_CHANGES, parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def update_job(job_id: str) -> Any:
    """Change the fields that are sent; `schedule` and `parameters` are replaced whole, the others of a policy stay"""
    job = services().jobs.update(actor(), job_id, json_body(request), version=if_match(request))
    return tagged({"job": shown(job), "message": "Job updated", "warnings": _warnings(job.definition)}, job)


@blueprint.delete("/<job_id>")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.response(200, Message)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def delete_job(job_id: str) -> dict[str, str]:
    """Retire a job; its history stays"""
    services().executions.delete_job(actor(), job_id, version=if_match(request))
    return {"message": "Job deleted"}


@blueprint.post("/<job_id>/enable")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def enable_job(job_id: str) -> Any:
    """Honour the schedule from now on"""
    job = services().jobs.set_enabled(actor(), job_id, enabled=True, version=if_match(request))
    return tagged({"job": shown(job), "message": "Job enabled", "warnings": _warnings(job.definition)}, job)


@blueprint.post("/<job_id>/disable")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
def disable_job(job_id: str) -> Any:
    """Ignore the schedule until the job is enabled again"""
    job = services().jobs.set_enabled(actor(), job_id, enabled=False, version=if_match(request))
    return tagged({"job": shown(job), "message": "Job disabled"}, job)


@blueprint.post("/<job_id>/pause")
@blueprint.doc(requestBody=PAUSE_BODY, parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
def pause_job(job_id: str) -> Any:
    """Let due times go by until an instant, or until the job is resumed; they end in one skipped record"""
    job = services().jobs.pause(actor(), job_id, json_body(request), version=if_match(request))
    return tagged({"job": shown(job), "message": "Job paused"}, job)


@blueprint.post("/<job_id>/resume")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def resume_job(job_id: str) -> Any:
    """End a pause; what was due meanwhile is not made up for"""
    job = services().jobs.resume(actor(), job_id, version=if_match(request))
    return tagged({"job": shown(job), "message": "Job resumed"}, job)


@blueprint.post("/<job_id>/run")
@blueprint.doc(requestBody=RUN_BODY, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(202, RunEnvelope)
def run_job(job_id: str) -> Any:
    """Run a job now, with other values for some parameters if `parameters` is sent"""
    body = json_body(request, optional=True)
    errors = _run.errors(body)
    if errors:
        given = sound(body, errors).get("parameters", {})
        raise ValidationFailed(beside(errors, services().executions.wrong_parameters(actor(), job_id, given)))
    key = idempotency_key(request)
    execution = services().executions.run_now(actor(), job_id, overrides=body.get("parameters", {}), idempotency_key=key)
    response = jsonify({"execution_id": execution["_id"], "message": services().executions.standing(execution)})
    response.headers["Location"] = url_for("executions.get_execution", execution_id=execution["_id"])
    return response, 202


@blueprint.post("/<job_id>/backfill")
@blueprint.doc(requestBody=BACKFILL_BODY)
@blueprint.response(202, BackfillOut)
def backfill_job(job_id: str) -> dict[str, Any]:
    """Run the job for due times of a range that has passed; with `dry_run`, only say which"""
    body = json_body(request)
    backfill = services().backfills.plan if isinstance(body, dict) and body.get("dry_run") is True else services().backfills.start
    plan = backfill(actor(), job_id, body)
    return {"runs": len(plan.due_times), "due_times": jsonable(plan.due_times), "done": plan.done, "blackout": plan.blackout}


@blueprint.delete("/<job_id>/backfill")
@blueprint.response(200, Message)
def cancel_backfill(job_id: str) -> dict[str, str]:
    """Cancel what waits of the job's backfills; what runs goes on"""
    return {"message": f"{services().executions.cancel_backfill(actor(), job_id)} runs cancelled"}


@blueprint.get("/<job_id>/executions")
@blueprint.arguments(ExecutionQuery, location="query")
@blueprint.response(200, ExecutionList)
def list_job_executions(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """List the executions of a job, newest first"""
    services().jobs.get(actor(), job_id)
    page = services().executions.page(
        actor(), ExecutionFilter(job_id=job_id, status=query.get("status")), page=query["page"], limit=query["limit"]
    )
    rows = [execution_json(row) for row in page.executions]
    return {"executions": rows, "total": page.total, "page": page.page, "pages": page.pages}

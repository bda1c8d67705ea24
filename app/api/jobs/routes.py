"""/api/admin/scheduler-jobs"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.api.approvals.schemas import ApprovalEnvelope
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.executions.answers import asked_run
from app.api.executions.schemas import ExecutionList, ExecutionQuery, RunEnvelope, WaitQuery
from app.api.jobs.answers import client_locale, created_job, job_answer, show_job, warnings_json
from app.api.jobs.schemas import BackfillOut, JobChanges, JobEnvelope, JobList, JobQuery, RunBody, SettleBody, Validated
from app.api.paging import page_json
from app.api.present import execution_json, jsonable
from app.errors import FieldError
from app.execution.filters import ExecutionFilter
from app.instants import as_text
from app.jobs.filters import JobFilter
from app.jobs.model import to_plain
from app.jobs.schema import JobDefinitionSchema, PauseSchema, ShadowSchema
from app.scheduling.backfill import BODY_SCHEMA as BACKFILL_BODY_SCHEMA
from app.validation.together import sound
from templates_lib.messages import amount

blueprint = ApiBlueprint("Jobs", __name__, url_prefix="/api/admin/scheduler-jobs", description="Create, read, change, run and pause jobs")

PREVIEWED_RUNS = 5


@blueprint.get("")
@blueprint.arguments(JobQuery, location="query")
@blueprint.response(200, JobList)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """List jobs, with filters, search, sorting and pages"""
    where = {name: query.pop(name) for name in ("sort", "page", "limit")}
    page = services().directory.page(actor(), JobFilter(**query), **where)
    return page_json("jobs", [show_job(job) for job in page.items], page)


@blueprint.post("")
@blueprint.body(JobDefinitionSchema, validate=False)
@blueprint.response(201, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.idempotent
@blueprint.etag()
def create_job(body: Any, idempotency_key: str | None) -> Versioned:
    """Create a job"""
    job, _ = services().jobs.create(actor(), body, idempotency_key=idempotency_key)
    return created_job(job, "Job created successfully", warnings=True)


@blueprint.post("/validate")
@blueprint.body(JobDefinitionSchema, validate=False)
@blueprint.response(200, Validated)
def validate_job(body: Any) -> dict[str, Any]:
    """Check a job without creating it; the answer has its schedule in words, its next runs and warnings"""
    definition = services().jobs.validate(actor(), body)
    trigger = definition.schedule.trigger
    job = jsonable(to_plain(definition))
    job["schedule"] = {name: value for name, value in job["schedule"].items() if value is not None}
    return {
        "valid": True,
        "job": job,
        "schedule_words": trigger.words(client_locale()),
        "next_runs": [as_text(run) for run in trigger.preview(services().clock.now(), PREVIEWED_RUNS)],
        "warnings": warnings_json(definition),
    }


@blueprint.get("/<job_id>")
@blueprint.response(200, JobEnvelope)
@blueprint.etag()
def get_job(job_id: str) -> Versioned:
    """Read one job; 304 where If-None-Match names its ETag"""
    return job_answer(services().jobs.get(actor(), job_id))


@blueprint.put("/<job_id>")
@blueprint.body(JobChanges, validate=False)
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def update_job(job_id: str, body: Any, version: int | None) -> Versioned:
    """Change the fields that are sent; `schedule` and `parameters` are replaced as a whole, other fields of a policy keep their values"""
    return job_answer(services().jobs.update(actor(), job_id, body, version=version), "Job updated", warnings=True)


@blueprint.delete("/<job_id>")
@blueprint.response(200, Message)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def delete_job(job_id: str, version: int | None) -> dict[str, str]:
    """Delete a job; its history stays, and it can be restored"""
    services().runs.delete_job(actor(), job_id, version=version)
    return {"message": "Job deleted"}


@blueprint.post("/<job_id>/enable")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def enable_job(job_id: str, version: int | None) -> Versioned:
    """Enable a job: it follows its schedule from now on"""
    return job_answer(services().jobs.set_enabled(actor(), job_id, enabled=True, version=version), "Job enabled", warnings=True)


@blueprint.post("/<job_id>/disable")
@blueprint.response(200, JobEnvelope)
@blueprint.etag(if_match=True)
def disable_job(job_id: str, version: int | None) -> Versioned:
    """Disable a job: it ignores its schedule until it is enabled again"""
    return job_answer(services().jobs.set_enabled(actor(), job_id, enabled=False, version=version), "Job disabled")


@blueprint.post("/<job_id>/pause")
@blueprint.body(PauseSchema, validate=False)
@blueprint.response(200, JobEnvelope)
@blueprint.etag(if_match=True)
def pause_job(job_id: str, body: Any, version: int | None) -> Versioned:
    """Pause a job until an instant, or until it is resumed; one `skipped` record stands for the due times in between"""
    return job_answer(services().pausing.pause(actor(), job_id, body, version=version), "Job paused")


@blueprint.post("/<job_id>/resume")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def resume_job(job_id: str, version: int | None) -> Versioned:
    """Resume a paused job; runs that the pause skipped are not made up for"""
    return job_answer(services().pausing.resume(actor(), job_id, version=version), "Job resumed")


@blueprint.post("/<job_id>/shadow")
@blueprint.body(ShadowSchema, validate=False)
@blueprint.response(200, JobEnvelope)
@blueprint.etag(if_match=True)
def begin_shadow(job_id: str, body: Any, version: int | None) -> Versioned:
    """Put a job in shadow mode: its due times are recorded as shadow runs, and nothing runs"""
    return job_answer(services().shadowing.begin(actor(), job_id, body, version=version), "Shadow mode on")


@blueprint.delete("/<job_id>/shadow")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def end_shadow(job_id: str, version: int | None) -> Versioned:
    """End the shadow mode of a job: it runs from its next due time on"""
    return job_answer(services().shadowing.end(actor(), job_id, version=version), "Shadow mode off")


@blueprint.put("/<job_id>/overrides")
@blueprint.body(SettleBody)
@blueprint.response(200, JobEnvelope)
@blueprint.etag(if_match=True)
def settle_override(job_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Keep or drop a value that an admin put in place of the one that the job's service declares"""
    job = services().registrations.settle(actor(), job_id, body["field"], keep=body["keep"], version=version)
    return job_answer(job, "Job updated")


def _errors_of_run(body: Any, errors: Sequence[FieldError], job_id: str) -> Sequence[FieldError]:
    """Returns what is wrong with the parameters, where the body is invalid anyway; those of a valid one are checked by the run."""
    if not errors:
        return ()
    return services().runs.wrong_parameters(actor(), job_id, sound(body, errors).get("parameters", {}))


@blueprint.post("/<job_id>/run")
@blueprint.arguments(WaitQuery, location="query")
@blueprint.body(RunBody, required=False, further_errors=_errors_of_run)
@blueprint.response(202, RunEnvelope)
@blueprint.alt_response(200, schema=RunEnvelope, description="The execution has ended while the request waited for it")
@blueprint.idempotent
def run_job(query: dict[str, Any], job_id: str, body: dict[str, Any], idempotency_key: str | None) -> Response:
    """Run a job now, with other values for some parameters if `parameters` is sent; with `wait`, answer once the run has ended"""
    overrides = body.get("parameters", {})
    execution = services().runs.run_now(actor(), job_id, overrides=overrides, idempotency_key=idempotency_key)
    return asked_run(execution, query["wait"])


@blueprint.post("/<job_id>/backfill")
@blueprint.body(BACKFILL_BODY_SCHEMA, validate=False)
@blueprint.response(202, BackfillOut)
def backfill_job(job_id: str, body: Any) -> dict[str, Any]:
    """Run a job for the due times of a range in the past; with `dry_run`, only list them"""
    plan = services().backfills.start(actor(), job_id, body)
    return {"runs": len(plan.due_times), "due_times": jsonable(plan.due_times), "done": plan.done, "blackout": plan.blackout}


@blueprint.delete("/<job_id>/backfill")
@blueprint.response(200, Message)
def cancel_backfill(job_id: str) -> dict[str, str]:
    """Cancel the waiting runs of the job's backfills; running ones continue"""
    return {"message": f"{amount(services().backfill_runs.cancel(actor(), job_id), 'run')} cancelled"}


@blueprint.get("/<job_id>/executions")
@blueprint.arguments(ExecutionQuery, location="query")
@blueprint.response(200, ExecutionList)
def list_job_executions(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """List the executions of a job, newest first"""
    services().jobs.get(actor(), job_id)
    page = services().history.page(
        actor(), ExecutionFilter(job_id=job_id, status=query.get("status")), page=query["page"], limit=query["limit"]
    )
    return page_json("executions", [execution_json(execution) for execution in page.items], page)

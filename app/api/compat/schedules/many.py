"""Creates many schedules, or operates on many: each by itself, with a result of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.compat.schedules.schemas import CREATE_SCHEMA
from app.api.compat.schedules.translation import IMMEDIATE, at_members, definition_of, readable
from app.api.current import services
from app.api.present import errors_json
from app.audit.model import Actor
from app.bulk.service import BulkAction, BulkItem, BulkRequest, BulkResult
from app.errors import ApprovalNeeded, FieldError, JobwrightError, ValidationFailed
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.queue.execution import Execution
from app.validation import SchemaValidator
from app.validation.together import beside
from templates_lib.messages import joined, said, say

CREATED, DONE, UNCHANGED, WAITS, FAILED = "created", "done", "unchanged", "waits_for_approval", "failed"
_STATUS = {BulkResult.DONE: DONE, BulkResult.STAYED: UNCHANGED, BulkResult.WAITS: WAITS, BulkResult.FAILED: FAILED}
_VALIDATOR = SchemaValidator(CREATE_SCHEMA)


def create_each(actor: Actor, schedules: Sequence[Any]) -> dict[str, Any]:
    """Creates the schedules in their order. One that is refused does not keep the others from being created. Raises Forbidden."""
    require(actor, May.CHANGE_JOBS)
    return _report("create", None, [{"index": index, **_create(actor, body)} for index, body in enumerate(schedules)])


def operate_on_each(actor: Actor, operation: str, schedule_ids: Sequence[str], *, reason: str) -> dict[str, Any]:
    """Pauses, resumes or deletes the schedules. The reason is kept with each pause, and in the audit trail. Raises Forbidden."""
    wanted = BulkRequest(action=BulkAction(operation), reason=reason or say("Paused by {name}", name=actor.name))
    require(actor, May.CHANGE_JOBS)
    ids = list(dict.fromkeys(schedule_ids))
    diff = [{"field": "/operation", "after": operation}, *([{"field": "/reason", "after": reason}] if reason else [])]
    with services().audit.action(actor, "job.bulk", kind="request", target_id=operation, name=operation, diff=diff):
        items = {item.job_id: item for item in services().bulk.carry_out(actor, wanted, JobFilter(ids=ids)).items}
    return _report(operation, reason or None, [_result(schedule_id, items.get(schedule_id)) for schedule_id in ids])


def create_schedule_of(actor: Actor, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> tuple[Job, Execution | None]:
    """Creates a schedule from a body that satisfies CREATE_SCHEMA. Returns its job and, of an immediate one, the run that has begun. If
    that cannot run, nothing is left of the schedule. Raises as JobRegistry.create and Runs.run_now do."""
    job, is_new = services().jobs.create(actor, definition_of(body), idempotency_key=idempotency_key)
    if body["schedule_type"] != IMMEDIATE:
        return job, None
    try:
        return job, services().runs.run_now(actor, job.id, idempotency_key=idempotency_key)
    except JobwrightError:
        if is_new:
            services().runs.delete_job(actor, job.id)
        raise


def _create(actor: Actor, body: Any) -> dict[str, Any]:
    name = body.get("name") if isinstance(body, Mapping) else None
    named = {"name": name} if isinstance(name, str) else {}
    try:
        errors = _VALIDATOR.errors(body)
        if errors:
            raise ValidationFailed(beside(errors, at_members(services().jobs.problems(actor, definition_of(readable(body, errors))))))
        job, execution = create_schedule_of(actor, body)
    except ApprovalNeeded as needed:
        return {
            **named,
            "schedule_id": None,
            "success": False,
            "status": WAITS,
            "approval_id": services().approvals.ask(actor, needed.ask)["_id"],
        }
    except ValidationFailed as failed:
        told = at_members(failed.errors)
        return {**named, "schedule_id": None, **_failed(_in_words(told)), "errors": errors_json(told)}
    except JobwrightError as error:
        return {**named, "schedule_id": None, **_failed(error.detail)}
    return {
        "name": job.definition.name,
        "schedule_id": job.id,
        "success": True,
        "status": CREATED,
        **({"execution_id": execution.id} if execution else {}),
    }


def _result(schedule_id: str, item: BulkItem | None) -> dict[str, Any]:
    if item is None or item.result is None:
        return {"schedule_id": schedule_id, **_failed(say("There is no {kind} {key!r}", kind=said("schedule"), key=schedule_id))}
    status = _STATUS[item.result]
    shown = {"schedule_id": schedule_id, "name": item.name}
    if status == FAILED:
        return {**shown, **_failed(item.detail)}
    waits = {"approval_id": item.detail} if status == WAITS else {}
    return {**shown, "success": status != WAITS, "status": status, **waits}


def _failed(why: str) -> dict[str, Any]:
    return {"success": False, "status": FAILED, "error": why}


def _in_words(errors: Iterable[FieldError]) -> str:
    return joined([joined((error.pointer.strip("/"), error.message), " ") if error.pointer else error.message for error in errors], "; ")


def _report(operation: str, reason: str | None, results: list[dict[str, Any]]) -> dict[str, Any]:
    succeeded = sum(result["success"] for result in results)
    return {
        "operation": operation,
        "reason": reason,
        "total": len(results),
        "succeeded": succeeded,
        "failed": sum(result["status"] == FAILED for result in results),
        "results": results,
    }

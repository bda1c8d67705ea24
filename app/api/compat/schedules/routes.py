"""/api/v1/schedules: jobs as schedules of commands, which go over NATS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import url_for

from app.accounts.permissions import May
from app.api.base_schemas import Message
from app.api.compat.blueprint import CompatBlueprint, WaitsForApproval
from app.api.compat.people import CREATED_BY, PERFORMED_BY, TRIGGERED_BY, actor_named_in_header
from app.api.compat.schedules.answers import show_schedule
from app.api.compat.schedules.many import create_each, create_schedule_of, operate_on_each
from app.api.compat.schedules.schemas import (
    BULK_CREATE_SCHEMA,
    BULK_OPERATION_SCHEMA,
    CREATE_SCHEMA,
    PAUSE_SCHEMA,
    TRIGGER_SCHEMA,
    UPDATE_SCHEMA,
    CommandScheduleList,
    CommandScheduleOut,
    ScheduleQuery,
    ScheduleReportOut,
    ScheduleTriggeredOut,
)
from app.api.compat.schedules.states import execution_word, in_state
from app.api.compat.schedules.translation import COMMAND, at_members, changes_of, definition_of, foreign_fields, readable
from app.api.current import actor, services
from app.api.etag import Versioned
from app.errors import FieldError, ValidationFailed
from app.jobs.body import as_request
from app.jobs.filters import JobFilter
from templates_lib.messages import say

blueprint = CompatBlueprint(
    "Schedules",
    __name__,
    url_prefix="/api/v1/schedules",
    description="Routes of another scheduler service, for its clients: schedules of commands (docs/reference/compatibility.md)",
)

APPROVAL = {"schema": WaitsForApproval, "description": "The request waits for approval; nothing has changed"}


def _errors_of_create(body: Any, errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """Returns what the registry finds wrong with a schedule whose body is invalid anyway; a valid one is checked when it is created."""
    return at_members(services().jobs.problems(actor(), definition_of(readable(body, errors)))) if errors else ()


@blueprint.get("")
@blueprint.arguments(ScheduleQuery, location="query")
@blueprint.response(200, CommandScheduleList)
def list_schedules(query: dict[str, Any]) -> dict[str, Any]:
    """List schedules by name, with filters"""
    wanted = JobFilter(name=query.get("name"), tag=query.get("tag"), owner=query.get("created_by"), search=query["search"])
    limit, skip = query["limit"], query.get("offset", (query["page"] - 1) * query["limit"])
    jobs, total = services().directory.part(actor(), in_state(wanted, query.get("status")), skip=skip, limit=limit)
    return {"schedules": [show_schedule(job) for job in jobs], "total": total, "page": skip // limit + 1, "limit": limit}


@blueprint.post("")
@blueprint.body(CREATE_SCHEMA, further_errors=_errors_of_create)
@blueprint.named(CREATED_BY)
@blueprint.response(201, CommandScheduleOut)
@blueprint.alt_response(202, **APPROVAL)
@blueprint.idempotent
@blueprint.etag()
def create_schedule(body: dict[str, Any], idempotency_key: str | None) -> Versioned:
    """Create a schedule of a command; an immediate one is run at once"""
    creator = actor_named_in_header(CREATED_BY)
    try:
        job, execution = create_schedule_of(creator, body, idempotency_key=idempotency_key)
    except ValidationFailed as failed:
        raise _told_of(failed) from failed
    shown = {**show_schedule(job), **({"execution_id": execution.id} if execution else {})}
    location = url_for("Schedules.get_schedule", schedule_id=job.id)
    return Versioned(body=shown, version=job.version, status=201, location=location)


@blueprint.get("/<schedule_id>")
@blueprint.response(200, CommandScheduleOut)
@blueprint.etag()
def get_schedule(schedule_id: str) -> Versioned:
    """Read one schedule"""
    job = services().jobs.get(actor(), schedule_id)
    return Versioned(body=show_schedule(job), version=job.version)


@blueprint.put("/<schedule_id>")
@blueprint.body(UPDATE_SCHEMA)
@blueprint.response(200, CommandScheduleOut)
@blueprint.alt_response(202, **APPROVAL)
@blueprint.etag(if_match=True)
def update_schedule(schedule_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Change the members that are sent"""
    before = services().jobs.visible_for(actor(), schedule_id, May.CHANGE_JOBS)
    errors = foreign_fields(body, before.definition.template_type)
    if errors:
        raise ValidationFailed(errors)
    now = as_request(services().parameters.upgrade(before).definition)
    try:
        changed = services().jobs.update(
            actor(), schedule_id, changes_of(body, now["schedule"], now["parameters"]), version=version or before.version
        )
    except ValidationFailed as failed:
        raise _told_of(failed) from failed
    return Versioned(body=show_schedule(changed), version=changed.version)


@blueprint.delete("/<schedule_id>")
@blueprint.response(200, Message)
@blueprint.alt_response(202, **APPROVAL)
@blueprint.etag(if_match=True)
def delete_schedule(schedule_id: str, version: int | None) -> dict[str, str]:
    """Delete a schedule; its executions stay, and it can be restored"""
    services().runs.delete_job(actor(), schedule_id, version=version)
    return {"message": "Schedule deleted"}


@blueprint.post("/<schedule_id>/pause")
@blueprint.body(PAUSE_SCHEMA, required=False)
@blueprint.named(PERFORMED_BY)
@blueprint.response(200, CommandScheduleOut)
@blueprint.etag(if_match=True)
def pause_schedule(schedule_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Pause a schedule until an instant, or until it is resumed"""
    performer = actor_named_in_header(PERFORMED_BY)
    reason = (body.get("reason") or "").strip() or say("Paused by {name}", name=performer.name)
    until = {"until": body["until"]} if body.get("until") else {}
    job = services().pausing.pause(performer, schedule_id, {"reason": reason, **until}, version=version)
    return Versioned(body=show_schedule(job), version=job.version)


@blueprint.post("/<schedule_id>/resume")
@blueprint.named(PERFORMED_BY)
@blueprint.response(200, CommandScheduleOut)
@blueprint.alt_response(202, **APPROVAL)
@blueprint.etag(if_match=True)
def resume_schedule(schedule_id: str, version: int | None) -> Versioned:
    """Resume a paused schedule; runs that the pause skipped are not made up for"""
    job = services().pausing.resume(actor_named_in_header(PERFORMED_BY), schedule_id, version=version)
    return Versioned(body=show_schedule(job), version=job.version)


@blueprint.post("/<schedule_id>/trigger")
@blueprint.body(TRIGGER_SCHEMA, required=False)
@blueprint.named(TRIGGERED_BY)
@blueprint.response(202, ScheduleTriggeredOut)
@blueprint.idempotent
def run_schedule(schedule_id: str, body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
    """Run a schedule now, with another payload if one is sent"""
    asker = actor_named_in_header(TRIGGERED_BY)
    overrides = {"payload": body["command_payload"]} if "command_payload" in body else {}
    job = services().jobs.visible_for(asker, schedule_id, May.RUN_JOBS)
    if overrides and job.definition.template_type != COMMAND:
        raise ValidationFailed(foreign_fields({"command_payload": None}, job.definition.template_type))
    try:
        execution = services().runs.run_now(asker, schedule_id, overrides=overrides, idempotency_key=idempotency_key)
    except ValidationFailed as failed:
        raise _told_of(failed) from failed
    return {
        "schedule_id": schedule_id,
        "execution_id": execution.id,
        "status": execution_word(execution.status),
        "triggered_by": execution.triggered_by_user or asker.name,
        "message": services().runs.standing(execution),
    }


@blueprint.post("/bulk/create")
@blueprint.body(BULK_CREATE_SCHEMA)
@blueprint.named(CREATED_BY)
@blueprint.response(200, ScheduleReportOut)
def create_many_schedules(body: Any) -> dict[str, Any]:
    """Create many schedules, one after the other; the answer has the result of each"""
    return create_each(actor_named_in_header(CREATED_BY), body if isinstance(body, list) else body["schedules"])


@blueprint.post("/bulk/operation")
@blueprint.body(BULK_OPERATION_SCHEMA)
@blueprint.named(PERFORMED_BY)
@blueprint.response(200, ScheduleReportOut)
def change_many_schedules(body: dict[str, Any]) -> dict[str, Any]:
    """Pause, resume or delete many schedules, one after the other; the answer has the result of each"""
    performer = actor_named_in_header(PERFORMED_BY)
    return operate_on_each(performer, body["operation"], body["schedule_ids"], reason=(body.get("reason") or "").strip())


def _told_of(failed: ValidationFailed) -> ValidationFailed:
    """Returns the same error at the members of the schedule. One that is about a taken name keeps its status."""
    told = at_members(failed.errors)
    if [error.pointer for error in told] == [error.pointer for error in failed.errors]:
        return failed
    return ValidationFailed(told)

"""Translates schedules of commands into definitions of jobs, and the errors of those back. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import FieldError
from app.validation.together import sound
from templates_lib.messages import say

COMMAND = "message_command"  # the template that sends commands
IMMEDIATE = "immediate"
# The type of schedule that a job gets. An immediate schedule is a job without due times that is run once when it is created.
SCHEDULE_TYPES: Mapping[str, str] = {
    "cron": "cron",
    "calendar": "calendar",
    "interval": "interval",
    "one_time": "once",
    "one-time": "once",
    IMMEDIATE: "manual",
}
TYPE_NAMES: Mapping[str, str] = {"cron": "cron", "calendar": "calendar", "interval": "interval", "once": "one_time", "manual": IMMEDIATE}
_SCHEDULE = {
    "cron_expression": "expression",
    "recurrence_rule": "rule",
    "counted_from": "counted_from",
    "interval_seconds": "interval_seconds",
    "run_at": "run_at",
    "timezone": "timezone",
    "start_at": "start_at",
    "end_at": "end_at",
}
_PARAMETERS = {"target_command": "subject", "command_payload": "payload", "connection": "connection"}
_RETRIES = {"max_retries": "max_retries", "retry_delay_seconds": "retry_delay_seconds"}
_SAME = ("name", "description", "tags", "priority", "enabled")
# Where an error of a definition belongs in the body of a schedule. Longer pointers stand for what is inside.
_BACK = {
    "/schedule/type": "/schedule_type",
    **{f"/schedule/{ours}": f"/{theirs}" for theirs, ours in _SCHEDULE.items()},
    **{f"/parameters/{ours}": f"/{theirs}" for theirs, ours in _PARAMETERS.items()},
    **{f"/retry_policy/{ours}": f"/{theirs}" for theirs, ours in _RETRIES.items()},
    "/schedule": "/schedule_type",
    "/template_type": "/target_command",
    "/parameters": "/target_command",
}


def definition_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body that creates the job of a schedule. Members without a value are left out."""
    given = _given(body)
    retries = _renamed(given, _RETRIES)
    return {
        **{name: given[name] for name in _SAME if name in given},
        "template_type": COMMAND,
        "parameters": _renamed(body, _PARAMETERS),
        "schedule": _schedule(given),
        **({"retry_policy": retries} if retries else {}),
    }


def changes_of(body: Mapping[str, Any], schedule: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body that changes the job of a schedule.

    `schedule` and `parameters` are what the job has now, as a request would send them. A member of the schedule that is null is removed.
    """
    changes: dict[str, Any] = {name: body[name] for name in _SAME if name in body}
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    moved = {name: body[name] for name in ("schedule_type", *_SCHEDULE) if name in body}
    if moved:
        kept = {theirs: schedule[ours] for theirs, ours in _SCHEDULE.items() if ours in schedule}
        whole = {"schedule_type": TYPE_NAMES.get(str(schedule.get("type")), IMMEDIATE), **kept, **moved}
        others = {name: schedule[name] for name in ("jitter_seconds", "calendars") if name in schedule}
        changes["schedule"] = {**others, **_schedule(_given(whole))}
    sent = _renamed(body, _PARAMETERS)
    if sent:
        changes["parameters"] = {**parameters, **sent}
    retries = _renamed(_given(body), _RETRIES)
    if retries:
        changes["retry_policy"] = retries
    return changes


def foreign_fields(body: Mapping[str, Any], template_type: str) -> list[FieldError]:
    """Returns an error for each member that a job of another template does not have."""
    if template_type == COMMAND:
        return []
    return [
        FieldError(
            f"/{name}", say("cannot be changed: the job of this schedule sends no command, its template is {name!r}", name=template_type)
        )
        for name in _PARAMETERS
        if name in body
    ]


def at_members(errors: Iterable[FieldError]) -> list[FieldError]:
    """Returns errors of a definition at the members of the schedule that caused them."""
    return [FieldError(_pointer(error.pointer), error.message) for error in errors]


def readable(body: Any, errors: Iterable[FieldError]) -> dict[str, Any]:
    """Returns the members of a body that have no error; an empty object for anything but an object."""
    return dict(sound(body, list(errors))) if isinstance(body, Mapping) else {}


def _pointer(pointer: str) -> str:
    for ours, theirs in _BACK.items():
        if pointer == ours or pointer.startswith(f"{ours}/"):
            rest = pointer.removeprefix(ours)
            return theirs if ours in {"/schedule", "/parameters"} else theirs + rest
    return pointer


def _schedule(given: Mapping[str, Any]) -> dict[str, Any]:
    kind = given.get("schedule_type")
    return {"type": SCHEDULE_TYPES.get(kind, kind) if isinstance(kind, str) else kind, **_renamed(given, _SCHEDULE)}


def _renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: body[theirs] for theirs, ours in names.items() if theirs in body}


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}

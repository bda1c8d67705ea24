"""Other ways to write the body of a job: a schedule by what it has, and a whole record as an answer shows it. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import FieldError

# A body with all of these members is a record that was read before. Alone, each of them is a mistake, and is refused.
RECORD = frozenset({"_id", "created_by", "created_at", "updated_at", "last_run_at", "next_run_at", "version"})
# The members of an answer that are not part of the definition (app.api.jobs.answers).
OF_RECORD = RECORD | {
    "id",
    "template_version",
    "origin",
    "updated_by",
    "last_status",
    "schedule_words",
    "shadow",
    "schedule_error",
    "paused",
    "ended",
}
_CRON, _INTERVAL = "cron", "interval_seconds"


def usual(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a body in its usual spelling.

    - `{"cron": "0 19 * * *"}` and `{"interval_seconds": 60}` are schedules.
    - A body that is a whole record loses the members that clients do not decide about.
    """
    written = {name: value for name, value in body.items() if name not in OF_RECORD} if body.keys() >= RECORD else dict(body)
    if (schedule := _schedule(body)) is not None:
        written["schedule"] = schedule
    return written


def as_written(body: Mapping[str, Any], errors: Iterable[FieldError]) -> list[FieldError]:
    """Returns the errors of `usual(body)` at the members of `body`."""
    told = list(errors)
    schedule = body.get("schedule")
    if _schedule(body) is None or not isinstance(schedule, Mapping) or _CRON not in schedule:
        return told
    return [FieldError("/schedule/cron", error.message) if error.pointer == "/schedule/expression" else error for error in told]


def _schedule(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns a schedule without a type in its usual spelling; None for any other."""
    schedule = body.get("schedule")
    if not isinstance(schedule, Mapping) or "type" in schedule:
        return None
    rest = {name: value for name, value in schedule.items() if name != _CRON}
    if _CRON in schedule and "expression" not in schedule:
        return {**rest, "type": "cron", "expression": schedule[_CRON]}
    return {**rest, "type": "interval"} if _INTERVAL in schedule and _CRON not in schedule else None

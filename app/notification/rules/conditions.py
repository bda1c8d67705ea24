"""The conditions of alert rules, by type, with the JSON Schema of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from app.queue.model import Reason
from templates_lib.messages import Said, say

MOST_SECONDS = 366 * 86_400
MOST_RUNS = 100  # how far back conditions look
# Why a run that was due is left out, as far as it says something about its job.
SKIP_REASONS = (
    Reason.OVERLAP,
    Reason.RUN_LIMIT,
    Reason.TEMPLATE_OFF,
    Reason.REPLACED,
    Reason.PAUSED,
    Reason.BLACKOUT,
    Reason.MAINTENANCE,
    Reason.DISABLED,
    Reason.CIRCLE,
)


class Condition(StrEnum):
    """What a rule looks for."""

    FAILED = "failed"  # a run failed, with all its attempts
    ATTEMPT_FAILED = "attempt_failed"  # an attempt failed, even if another one follows
    FAILURES_IN_A_ROW = "failures_in_a_row"  # the last runs failed
    FAILURES_AMONG = "failures_among"  # several of the last runs failed
    SUCCEEDED = "succeeded"  # a run succeeded
    SUCCEEDED_AFTER_CHANGE = "succeeded_after_change"  # the first run that succeeded since the job was changed
    MISSED = "missed"  # a run was not started in time, and was left out
    SKIPPED = "skipped"  # a run was left out for one of the reasons
    TOO_FAST = "too_fast"  # a run succeeded, and took less time than it can need


def _type(name: Condition, title: Said, description: Said, **fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "title": title,
        "description": description,
        "properties": {"type": {"const": name.value}, **fields},
        "required": ["type", *fields],
        "additionalProperties": False,
    }


def _number(title: Said, *, least: int, most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "title": title, "minimum": least, "maximum": most, "default": default}


_SCHEMAS = (
    _type(
        Condition.FAILED,
        say("A run failed"),
        say("All attempts of a run have failed or timed out. A failed attempt that is retried does not count."),
    ),
    _type(
        Condition.ATTEMPT_FAILED,
        say("An attempt failed"),
        say("Any attempt of a run has failed or timed out, even if the run succeeds later."),
    ),
    _type(
        Condition.FAILURES_IN_A_ROW,
        say("Several runs in a row failed"),
        say("The last runs of a job have all failed."),
        count=_number(say("Failures in a row"), least=2, most=MOST_RUNS, default=3),
    ),
    _type(
        Condition.FAILURES_AMONG,
        say("Several of the last runs failed"),
        say("Of the last runs of a job, so many have failed."),
        count=_number(say("Failures"), least=1, most=MOST_RUNS, default=3),
        last=_number(say("Among the last runs"), least=1, most=MOST_RUNS, default=10),
    ),
    _type(Condition.SUCCEEDED, say("A run succeeded"), say("Sends a message about each successful run.")),
    _type(
        Condition.SUCCEEDED_AFTER_CHANGE,
        say("The first success after a change"),
        say("Sends a message about the first successful run after a job was changed."),
    ),
    _type(Condition.MISSED, say("A run was missed"), say("A run was not started within the grace of its job.")),
    _type(
        Condition.SKIPPED,
        say("A run was skipped"),
        say("A run was due and was left out for one of these reasons."),
        reasons={
            "type": "array",
            "title": say("Reasons"),
            "items": {"enum": [reason.value for reason in SKIP_REASONS]},
            "minItems": 1,
            "uniqueItems": True,
            "default": [Reason.OVERLAP.value],
        },
    ),
    _type(
        Condition.TOO_FAST,
        say("A run was too fast"),
        say("A run succeeded in less time than it can need, which often means that it did nothing."),
        under_seconds=_number(say("Less than (seconds)"), least=1, most=MOST_SECONDS, default=5),
    ),
)
SCHEMAS: dict[str, dict[str, Any]] = {schema["properties"]["type"]["const"]: schema for schema in _SCHEMAS}
# Each time they hold is told by itself: they have no incident, and nothing to recover from.
MOMENTS = frozenset({Condition.SUCCEEDED, Condition.SUCCEEDED_AFTER_CHANGE})
BY_EVENT = frozenset(Condition)
ABOUT_JOBS = frozenset(Condition)
CONDITION_SCHEMA: dict[str, Any] = {"title": say("Condition"), "oneOf": list(_SCHEMAS)}


def title_of(condition: str) -> str:
    """Returns the title of a type of condition; the type itself if this version does not know it."""
    schema = SCHEMAS.get(condition)
    return schema["title"] if schema is not None else condition

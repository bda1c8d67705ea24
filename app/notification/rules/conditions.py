"""The conditions of alert rules, by type, with the JSON Schema of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from app.queue.model import Reason
from templates_lib.messages import Said, say

MOST_SECONDS = 366 * 86_400
OPTIONAL = frozenset({"calendar"})  # fields that a condition may lack
MOST_LOST_SECONDS = 7 * 86_400  # within which notifications that did not arrive count
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
    LATE = "late"  # a run that was due has not started
    DEADLINE = "deadline"  # a job has not succeeded by a time of day
    NEVER_RAN = "never_ran"  # a job has not run since it was created
    QUEUED_LONG = "queued_long"  # a run waits in the queue
    RUNNING_LONG = "running_long"  # a run takes longer than a time
    RUNNING_LONGER_THAN_USUAL = "running_longer_than_usual"  # a run takes longer than those before it
    PAUSED_BY_ITSELF = "paused_by_itself"  # a job has paused itself after too many failures
    FAILURE_RATE = "failure_rate"  # too many of the last runs of all its jobs failed
    MISFIRE_RATE = "misfire_rate"  # too many of the last runs of all its jobs were missed
    CONNECTION_DOWN = "connection_down"  # a connection fails its tests
    SERVICE_STALE = "service_stale"  # a service is silent for longer than its time to live
    NODE_LOST = "node_lost"  # a node has vanished without having been stopped
    SCHEDULER_STALLED = "scheduler_stalled"  # a scheduler lives and plans nothing
    LEASES_LOST = "leases_lost"  # workers lost the locks (leases) of their attempts
    FOLLOW_UP_GIVEN_UP = "follow_up_given_up"  # something that an end owed was given up
    NOT_DELIVERED = "not_delivered"  # notifications did not arrive
    APPROVAL_WAITING = "approval_waiting"  # nobody decides about a request
    CREDENTIAL_EXPIRES = "credential_expires"  # a token of the API expires soon


def _type(name: Condition, title: Said, description: Said, **fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "title": title,
        "description": description,
        "properties": {"type": {"const": name.value}, **fields},
        "required": ["type", *(name for name in fields if name not in OPTIONAL)],
        "additionalProperties": False,
    }


def _number(title: Said, *, least: int, most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "title": title, "minimum": least, "maximum": most, "default": default}


def _rate(*, over: int) -> dict[str, dict[str, Any]]:
    return {
        "over_percent": {"type": "number", "title": say("More than (percent)"), "minimum": 0, "maximum": 100, "default": over},
        "within_seconds": _number(say("Within (seconds)"), least=60, most=86_400, default=300),
        "least": _number(say("With at least so many runs"), least=1, most=100_000, default=10),
    }


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
    _type(
        Condition.LATE,
        say("A run is late"),
        say("A run that was due has not started after this time. Pauses and blackouts do not count."),
        grace_seconds=_number(say("After (seconds)"), least=5, most=MOST_SECONDS, default=300),
    ),
    _type(
        Condition.DEADLINE,
        say("No success by a time of day"),
        say("A job has not succeeded within the day before this time. The incident is over as soon as a run succeeds."),
        at={"type": "string", "title": say("Time of day"), "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "default": "06:00"},
        timezone={"type": "string", "title": say("Time zone"), "minLength": 1, "maxLength": 64, "default": "UTC"},
        calendar={
            "type": "string",
            "title": say("Blackout calendar"),
            "description": say("On its days there is no deadline. Leave empty for every day."),
            "maxLength": 100,
            "default": "",
        },
    ),
    _type(
        Condition.NEVER_RAN,
        say("A job has never run"),
        say("A job that is enabled has not run since it was created."),
        after_seconds=_number(say("After (seconds)"), least=60, most=MOST_SECONDS, default=86_400),
    ),
    _type(
        Condition.QUEUED_LONG,
        say("A run waits for too long"),
        say("A run has waited in the queue for longer than this time."),
        over_seconds=_number(say("More than (seconds)"), least=5, most=MOST_SECONDS, default=600),
    ),
    _type(
        Condition.RUNNING_LONG,
        say("A run takes too long"),
        say("A run takes longer than this time."),
        over_seconds=_number(say("More than (seconds)"), least=1, most=MOST_SECONDS, default=3_600),
    ),
    _type(
        Condition.RUNNING_LONGER_THAN_USUAL,
        say("A run takes longer than usual"),
        say("A run takes longer than 1.25 times what 99% of the last 100 successful runs took. This needs at least 20 runs."),
    ),
    _type(Condition.PAUSED_BY_ITSELF, say("A job has paused itself"), say("A job has paused itself after too many failures in a row.")),
    _type(
        Condition.FAILURE_RATE,
        say("Too many runs fail"),
        say("Of all runs of these jobs that ended within a time, too many failed. One incident for all of them together."),
        **_rate(over=10),
    ),
    _type(
        Condition.MISFIRE_RATE,
        say("Too many runs are missed"),
        say("Of all runs of these jobs that were due within a time, too many were missed. One incident for all of them together."),
        **_rate(over=5),
    ),
    _type(
        Condition.CONNECTION_DOWN,
        say("A connection does not answer"),
        say("A connection has failed several tests in a row."),
        failures=_number(say("Failed tests in a row"), least=1, most=100, default=2),
    ),
    _type(Condition.SERVICE_STALE, say("A service is silent"), say("A registered service was silent for longer than its time to live.")),
    _type(
        Condition.NODE_LOST,
        say("A node is lost"),
        say("A node does not respond and was not stopped. It is over when a node of the same role on the same host responds."),
    ),
    _type(
        Condition.SCHEDULER_STALLED,
        say("A scheduler has stalled"),
        say("A scheduler responds, but has planned nothing for this time. Another scheduler tells it."),
        over_seconds=_number(say("More than (seconds)"), least=10, most=MOST_SECONDS, default=30),
    ),
    _type(
        Condition.LEASES_LOST,
        say("Locks time out"),
        say("Workers did not respond, so that the locks (leases) of their attempts ran out."),
        count=_number(say("At least"), least=1, most=1_000, default=1),
        within_seconds=_number(say("Within (seconds)"), least=60, most=86_400, default=300),
    ),
    _type(
        Condition.FOLLOW_UP_GIVEN_UP,
        say("A follow-up was given up"),
        say("What follows from the end of a run, such as a notification or a dependent run, failed too often. The page System has it."),
    ),
    _type(
        Condition.NOT_DELIVERED,
        say("Notifications do not arrive"),
        say("Within this time, a notification was refused, given up, or sent without a clear answer."),
        within_seconds=_number(say("Within (seconds)"), least=60, most=MOST_LOST_SECONDS, default=3_600),
    ),
    _type(
        Condition.APPROVAL_WAITING,
        say("A request waits for approval"),
        say("Nobody has decided about a request within this time."),
        over_seconds=_number(say("More than (seconds)"), least=60, most=MOST_SECONDS, default=3_600),
    ),
    _type(
        Condition.CREDENTIAL_EXPIRES,
        say("An API token expires soon"),
        say("An API token expires within this time. It is over when the token is revoked, or a week after it has expired."),
        before_seconds=_number(say("Before (seconds)"), least=3_600, most=MOST_SECONDS, default=14 * 86_400),
    ),
)
SCHEMAS: dict[str, dict[str, Any]] = {schema["properties"]["type"]["const"]: schema for schema in _SCHEMAS}
# Each time they hold is told by itself: they have no incident, and nothing to recover from.
MOMENTS = frozenset({Condition.SUCCEEDED, Condition.SUCCEEDED_AFTER_CHANGE})
# Found in the counts of the ends of many jobs.
RATES = frozenset({Condition.FAILURE_RATE, Condition.MISFIRE_RATE})
# About what all jobs share.
OF_INSTALLATION = frozenset(
    {
        Condition.CONNECTION_DOWN,
        Condition.SERVICE_STALE,
        Condition.NODE_LOST,
        Condition.SCHEDULER_STALLED,
        Condition.LEASES_LOST,
        Condition.FOLLOW_UP_GIVEN_UP,
        Condition.NOT_DELIVERED,
        Condition.APPROVAL_WAITING,
        Condition.CREDENTIAL_EXPIRES,
    }
)
BY_TIME = frozenset(
    {
        *RATES,
        *OF_INSTALLATION,
        Condition.LATE,
        Condition.DEADLINE,
        Condition.NEVER_RAN,
        Condition.QUEUED_LONG,
        Condition.RUNNING_LONG,
        Condition.RUNNING_LONGER_THAN_USUAL,
        Condition.PAUSED_BY_ITSELF,
    }
)
BY_EVENT = frozenset(Condition) - BY_TIME
ABOUT_JOBS = frozenset(Condition) - OF_INSTALLATION - RATES  # each job by itself
CONDITION_SCHEMA: dict[str, Any] = {"title": say("Condition"), "oneOf": list(_SCHEMAS)}


def title_of(condition: str) -> str:
    """Returns the title of a type of condition; the type itself if this version does not know it."""
    schema = SCHEMAS.get(condition)
    return schema["title"] if schema is not None else condition

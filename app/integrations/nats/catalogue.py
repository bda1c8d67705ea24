"""The kinds of events that the bus publishes: what each means, and what its data has. The AsyncAPI document is made of this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.queue.model import Status, Trigger

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_INSTANT = {"type": "string", "format": "date-time"}
_INSTANT_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_ERROR = {
    "type": ["object", "null"],
    "description": "Why the last attempt failed",
    "properties": {"type": _TEXT, "message": _TEXT, "permanent": {"type": "boolean"}, "kind": _TEXT},
}
EXECUTION_DATA: dict[str, Any] = {
    "type": "object",
    "required": ["execution_id", "job_id", "job_name", "status", "triggered_by"],
    "properties": {
        "execution_id": {**_TEXT, "format": "uuid"},
        "job_id": _TEXT,
        "job_name": _TEXT,
        "job_version": {"type": "integer"},
        "group": _TEXT,
        "template_type": _TEXT,
        "status": {"type": "string", "enum": [status.value for status in Status if status is not Status.QUEUED]},
        "reason": {**_TEXT_OR_NULL, "description": "Why it did not run, or why it ended as it did"},
        "triggered_by": {"type": "string", "enum": [trigger.value for trigger in Trigger]},
        "triggered_by_user": _TEXT_OR_NULL,
        "attempt": {"type": ["integer", "null"], "description": "The number of the attempt, from 1; null if there was none"},
        "scheduled_for": _INSTANT_OR_NULL,
        "queued_at": _INSTANT,
        "started_at": _INSTANT_OR_NULL,
        "completed_at": _INSTANT_OR_NULL,
        "duration_seconds": {"type": ["number", "null"]},
        "next_attempt_at": {**_INSTANT_OR_NULL, "description": "When the next attempt may start, if that is known"},
        "error": _ERROR,
        "result": {"type": ["object", "null"], "description": "The result of the run; null if it is larger than 100 kB"},
        "retry_of": _TEXT_OR_NULL,
        "caused_by": {"type": "array", "items": _TEXT, "description": "The executions whose ends started this one"},
        "correlation_id": {**_TEXT, "description": "The X-Request-Id of the request that caused the execution, or the id of the execution"},
        "due_times": {
            "type": ["object", "null"],
            "description": "The due times that one missed or skipped record stands for",
            "properties": {"first": _INSTANT, "last": _INSTANT, "count": {"type": "integer"}},
        },
    },
}
JOB_DATA: dict[str, Any] = {
    "type": "object",
    "required": ["job_id", "job_name", "version"],
    "description": "The job as it was when the event was sent",
    "properties": {
        "job_id": _TEXT,
        "job_name": _TEXT,
        "version": {"type": "integer"},
        "changed": {"type": "array", "items": _TEXT, "description": "The fields that changed"},
        "template_type": _TEXT,
        "group": _TEXT,
        "tags": {"type": "array", "items": _TEXT},
        "enabled": {"type": "boolean"},
        "paused": {"type": "boolean"},
        "next_run_at": _INSTANT_OR_NULL,
        "updated_by": _TEXT,
        "updated_at": _INSTANT,
        "reason": {**_TEXT, "description": "Why the schedule is broken"},
        "correlation_id": {**_TEXT, "description": "The X-Request-Id of the request that changed the job; missing if no request did"},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One kind of event: the end of its type and of its subject, its meaning, and the schema of its data."""

    name: str
    words: str
    data: Mapping[str, Any]


_OF_EXECUTIONS = {
    "started": "An attempt started.",
    "retrying": "An attempt did not end the execution: it failed, or its worker stopped, and another attempt follows.",
    Status.SUCCESS.value: "The execution succeeded.",
    Status.FAILED.value: "The last attempt failed.",
    Status.TIMEOUT.value: "The last attempt exceeded its timeout.",
    Status.CANCELLED.value: "Somebody stopped the execution.",
    Status.SKIPPED.value: "A run was due and did not start, for the reason given.",
    Status.MISSED.value: "A run was due and was not started in time.",
}
_OF_JOBS = {
    "created": "A job was created.",
    "updated": "The definition of a job changed.",
    "enabled": "A job was enabled.",
    "disabled": "A job was disabled.",
    "paused": "A job was paused.",
    "resumed": "A paused job was resumed.",
    "deleted": "A job was deleted.",
    "restored": "A deleted job was restored.",
    "broken": "The schedule of a job cannot be computed. The job does not run until it is repaired.",
}
KINDS: tuple[EventKind, ...] = (
    *(EventKind(name=f"execution.{name}", words=words, data=EXECUTION_DATA) for name, words in _OF_EXECUTIONS.items()),
    *(EventKind(name=f"job.{name}", words=words, data=JOB_DATA) for name, words in _OF_JOBS.items()),
)

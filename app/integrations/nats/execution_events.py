"""What the record of an execution says has happened to it, as events in their order. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from app.integrations.nats.cloud_events import CloudEvent, plain
from app.queue.execution import AttemptRecord, Execution
from app.queue.model import Reason, Status

LARGEST_RESULT = 100_000  # bytes; a server takes messages of 1 MB by default
LONGEST_ERROR = 4_000  # characters of a message
END = "end"


def events_of(execution: Execution) -> list[tuple[str, CloudEvent]]:
    """Returns everything that has happened to an execution so far, the oldest first: each event with the word that stands for it in the
    record (`1.started`, `1.retrying`, `end`). The id of an event follows from the execution and that word."""
    return [(word, event) for word, event in _events(execution)]


def untold(execution: Execution) -> list[tuple[str, CloudEvent]]:
    """Returns the events that the bus does not have yet."""
    told = set(execution.told)
    return [(word, event) for word, event in events_of(execution) if word not in told]


def _events(execution: Execution) -> Iterator[tuple[str, CloudEvent]]:
    for attempt in execution.attempts:
        data = {"status": Status.RUNNING.value, "attempt": attempt.number, "started_at": attempt.started_at}
        yield _event(execution, f"{attempt.number}.started", "started", attempt.started_at, data)
        if attempt.completed_at is not None and not _is_end(execution, attempt):
            yield _event(execution, f"{attempt.number}.retrying", "retrying", attempt.completed_at, _retrying(execution, attempt))
    if not execution.is_live and execution.completed_at is not None:
        yield _event(execution, END, str(execution.status), execution.completed_at, _ended(execution))


def _is_end(execution: Execution, attempt: AttemptRecord) -> bool:
    """Whether the execution ended with this attempt. One that somebody stopped between two attempts did not."""
    last = attempt is execution.attempts[-1]
    return last and not execution.is_live and attempt.status == execution.status and attempt.reason != Reason.HANDED_BACK


def _event(execution: Execution, word: str, kind: str, at: Any, data: Mapping[str, Any]) -> tuple[str, CloudEvent]:
    whole = plain({**_common(execution), **data})
    return word, CloudEvent(
        id=f"{execution.id}.{word}", kind=f"execution.{kind}", about=execution.id, at=at, data=whole, traceparent=execution.traceparent
    )


def _common(execution: Execution) -> dict[str, Any]:
    return {
        "execution_id": execution.id,
        "job_id": execution.job_id,
        "job_name": execution.job_name,
        "job_version": execution.job_version,
        "group": execution.group,
        "template_type": execution.template_type,
        "triggered_by": str(execution.triggered_by),
        "triggered_by_user": execution.triggered_by_user,
        "scheduled_for": execution.scheduled_for or execution.stands_for,
        "queued_at": execution.queued_at,
        "retry_of": execution.retry_of,
        "caused_by": list(execution.caused_by),
        "correlation_id": execution.correlation,
    }


def _retrying(execution: Execution, attempt: AttemptRecord) -> dict[str, Any]:
    waits = attempt is execution.attempts[-1] and execution.status == Status.RETRYING
    return {
        "status": Status.RETRYING.value,
        "attempt": attempt.number,
        "reason": attempt.reason,
        "started_at": attempt.started_at,
        "completed_at": attempt.completed_at,
        "duration_seconds": attempt.duration_seconds,
        "next_attempt_at": execution.available_at if waits else None,
        "error": _error(attempt.error.as_document() if attempt.error else None),
    }


def _ended(execution: Execution) -> dict[str, Any]:
    return {
        "status": str(execution.status),
        "attempt": execution.attempts[-1].number if execution.attempts else None,
        "reason": execution.reason,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "duration_seconds": execution.duration_seconds,
        "error": _error(execution.error.as_document() if execution.error else None),
        "result": _small(execution.result),
        "due_times": asdict(execution.due_times) if execution.due_times else None,
    }


def _error(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An error without its traceback, which is for the page of the execution."""
    if error is None:
        return None
    return {"type": error["type"], "message": str(error["message"])[:LONGEST_ERROR], "permanent": error["permanent"], "kind": error["kind"]}


def _small(result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if result is None:
        return None
    return result if len(json.dumps(plain(result), ensure_ascii=False).encode("utf-8")) <= LARGEST_RESULT else None

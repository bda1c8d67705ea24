"""Values that several resources answer with, as JSON: instants, errors, executions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from app.errors import FieldError
from app.instants import as_text
from app.jobs.model import to_plain
from app.queue.execution import AttemptRecord, Execution


def jsonable(value: Any) -> Any:
    """Returns a value with every datetime in it, at any depth, as text."""
    if isinstance(value, datetime):
        return as_text(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def record_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored record as JSON. Its identifier is `id`, and also `_id`."""
    answer: dict[str, Any] = jsonable({"id": row["_id"], **row})
    return answer


def errors_json(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """Returns errors, or warnings, as members of an answer."""
    return [{"pointer": error.pointer, "detail": error.message} for error in errors]


def execution_json(execution: Execution) -> dict[str, Any]:
    """An execution, without what only the engine needs; secrets as they are given, which is masked."""
    record = {
        "id": execution.id,
        "_id": execution.id,
        "job_id": execution.job_id,
        "job_name": execution.job_name,
        "job_version": execution.job_version,
        "group": execution.group,
        "needs": list(execution.needs),
        "template_type": execution.template_type,
        "template_version": execution.template_version,
        "code_version": execution.code_version,
        "parameters": execution.parameters,
        "status": str(execution.status),
        "ended": not execution.is_live,
        "reason": execution.reason,
        "scheduled_for": execution.scheduled_for,
        "queued_at": execution.queued_at,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "duration_seconds": execution.duration_seconds,
        "attempts": [_attempt_json(attempt) for attempt in execution.attempts],
        "result": execution.result,
        "error": execution.error.as_document() if execution.error else None,
        "progress": execution.progress,
        "priority": execution.priority,
        "timeout_seconds": execution.timeout_seconds,
        "notifications": to_plain(execution.notifications),
        "triggered_by": str(execution.triggered_by),
        "triggered_by_user": execution.triggered_by_user,
        "retry_of": execution.retry_of,
        "execution_host": execution.execution_host,
        "correlation_id": execution.correlation,
    }
    resolved = execution.resolved and [{"pointer": pointer, "value": value} for pointer, value in execution.resolved.items()]
    optional = {
        "stands_for": execution.stands_for,
        "due_times": execution.due_times and asdict(execution.due_times),
        "dry": execution.dry,
        "caused_by": execution.caused_by,
        "resolved": resolved,
        "owed": [item.as_document() for item in execution.owed],
        "damaged": execution.damaged,
    }
    shown: dict[str, Any] = jsonable({**record, **{name: value for name, value in optional.items() if value}})
    return shown


def _attempt_json(attempt: AttemptRecord) -> dict[str, Any]:
    shown = {item.name: getattr(attempt, item.name) for item in fields(attempt)}
    return {**shown, "status": str(attempt.status), "error": attempt.error.as_document() if attempt.error else None}

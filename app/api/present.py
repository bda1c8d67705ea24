"""Values that several resources answer with, as JSON: instants, errors, executions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.errors import FieldError
from app.mongo import Document

# What an execution's document holds for the engine alone.
_INTERNAL = (
    "lease",
    "last_token",
    "slots",
    "live",
    "rank",
    "queue_rank",
    "waits_for",
    "concurrency_group",
    "cancel",
    "available_at",
    "retry_policy",
    "overlap",
    "max_instances",
    "pause_after_failures",
    "verdict",
    "dependants",
    "depth",
    "line",
)


def instant(value: datetime) -> str:
    """Returns an instant by RFC 3339, in UTC with milliseconds: 2026-03-29T01:00:00.000Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jsonable(value: Any) -> Any:
    """Returns a value with every datetime in it, at any depth, as text."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def errors_json(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """Returns errors, or warnings, as members of an answer."""
    return [{"pointer": error.pointer, "detail": error.message} for error in errors]


def execution_json(document: Document) -> dict[str, Any]:
    """An execution as stored, without what only the engine needs."""
    shown: dict[str, Any] = jsonable({key: value for key, value in document.items() if key not in _INTERNAL})
    shown.setdefault("scheduled_for", None)
    return shown

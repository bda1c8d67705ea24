"""Records as the JSON of the REST interface (requirement 002)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.connections.vault import mask
from app.errors import FieldError
from app.jobs.model import Job, to_plain
from app.jobtemplates.catalogue import Standing
from app.jobtemplates.entry import Entry
from app.mongo import Document
from app.scheduling.words import in_words
from app.validation.words import DEFAULT_LOCALE

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
    """RFC 3339 in UTC with milliseconds: 2026-03-29T01:00:00.000Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jsonable(value: Any) -> Any:
    """Datetimes as text, deep."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def errors_json(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """Errors, or warnings, as members of an answer."""
    return [{"pointer": error.pointer, "detail": error.message} for error in errors]


def job_json(job: Job, *, now: datetime, locale: str = DEFAULT_LOCALE) -> dict[str, Any]:
    """A job with `_id`, all fields of its definition and its record; secrets masked, the schedule in words of `locale`, and whether that
    has ended at `now`."""
    definition = mask(to_plain(job.definition))
    definition["schedule"] = {key: value for key, value in definition["schedule"].items() if value is not None}
    record = {
        "_id": job.id,
        "template_version": job.template_version,
        "origin": job.origin,
        "created_by": job.created_by,
        "created_at": job.created_at,
        "updated_by": job.updated_by,
        "updated_at": job.updated_at,
        "last_run_at": job.last_run_at,
        "next_run_at": job.next_run_at,
        "schedule_words": in_words(job.definition.schedule, locale),
        "schedule_error": job.schedule_error,
        "version": job.version,
        "paused": _pause_json(job),
        "ended": job.has_ended(now),
    }
    shown: dict[str, Any] = jsonable({**definition, **record})
    return shown


def _pause_json(job: Job) -> dict[str, Any] | None:
    pause = job.paused
    return {"cause": pause.cause.value, "reason": pause.reason, "until": pause.until, "by": pause.by, "at": pause.at} if pause else None


def execution_json(document: Document) -> dict[str, Any]:
    """An execution as stored, without what only the engine needs."""
    shown: dict[str, Any] = jsonable({key: value for key, value in document.items() if key not in _INTERNAL})
    shown.setdefault("scheduled_for", None)
    return shown


def template_json(entry: Entry, standing: Standing) -> dict[str, Any]:
    """A template, what it says of itself and what super-admins have said of it."""
    template = entry.template
    return {
        "_id": entry.type,
        "name": entry.name,
        "description": entry.description,
        "category": entry.category,
        "icon": entry.icon,
        "version": entry.version,
        "parameters_schema": entry.parameters_schema,
        "base": entry.base or None,
        "state": entry.state.value,
        "estimated_duration": template.estimated_duration,
        "resource_usage": template.resource_usage,
        "risk_level": template.risk_level,
        "destructive": template.destructive,
        "isolation": template.isolation,
        "previews": entry.previews,
        "enabled": standing.enabled,
        "when_off": standing.when_off.value,
        "roles": [role.value for role in standing.roles],
        "note": standing.note,
    }


def connection_json(row: Document) -> dict[str, Any]:
    """A connection as its service shows it, secrets masked."""
    shown: dict[str, Any] = jsonable(row)
    return shown

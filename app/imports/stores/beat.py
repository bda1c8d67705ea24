"""An entry of Celery Beat, wherever it is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Spec = dict[str, Any]
# How Celery sends a message, and the options of `celery call` for it.
CALL_OPTIONS = {
    "queue": "--queue",
    "exchange": "--exchange",
    "routing_key": "--routing-key",
    "expires": "--expires",
    "countdown": "--countdown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatEntry:
    """A periodic task. `schedule` describes its schedule in values of JSON (app.imports.dialects.celery_schedule).

    `options` say how the message is sent. `others` are further fields, each with the reason why a job does without it. `wrong` says why
    Beat cannot use the entry; `unreadable` says why its arguments cannot be read. `disable` and `enable` are commands.
    """

    name: str
    task: str
    schedule: Spec
    where: str
    disable: str
    enable: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # (value, reason) by name
    start: datetime | None = None
    end: datetime | None = None
    last_run: datetime | None = None
    once: bool = False
    description: str = ""
    disabled: str = ""
    wrong: str = ""
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatReading:
    """What a place of Celery Beat has. `name` identifies the place."""

    name: str
    entries: tuple[BeatEntry, ...]
    remarks: tuple[str, ...] = ()


def crontab_spec(values: Mapping[str, Any], timezone: str) -> Spec:
    """Returns the description of a crontab. A field may be a number, a text or a list of numbers, as Celery takes them."""
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return {"type": "crontab", **{name: _field(values.get(name)) for name in names}, "timezone": timezone}


def _field(value: Any) -> str:
    if value is None:
        return "*"
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return re.sub(r"\s+", "", str(value)) or "*"


def moment_of(value: Any) -> datetime | None:
    """Returns a time of a database in UTC; one without a time zone is UTC, as Django stores it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

"""The interval part of the schedule form: a duration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, ClassVar

from app import durations
from app.errors import FieldError
from web.schedule_parts.base import SchedulePart

DEFAULT_SECONDS = 900


class IntervalPart(SchedulePart):
    """`s.interval` is the time between two runs, such as "2 h 30 min"."""

    partial: ClassVar[str] = "partials/schedule_interval.html"

    def posted(self, values: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
        return {"s.interval": durations.write(values.get("interval_seconds") or DEFAULT_SECONDS)}

    def read(self, posted: Mapping[str, str], zone: str) -> tuple[dict[str, Any], list[FieldError]]:
        try:
            return {"interval_seconds": durations.parse(posted.get("s.interval", ""))}, []
        except durations.DurationRefused as refused:
            return {}, [FieldError("/schedule/interval_seconds", refused.args[0])]

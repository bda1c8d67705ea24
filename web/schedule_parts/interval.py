"""The interval part of the schedule form: a number and a unit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, ClassVar

from app.errors import FieldError
from templates_lib.messages import say
from web.schedule_parts.base import SchedulePart

DEFAULT_SECONDS = 900
UNITS = ((1, say("seconds")), (60, say("minutes")), (3_600, say("hours")), (86_400, say("days")))


class IntervalPart(SchedulePart):
    """`s.every` is the number and `s.unit` the seconds of the unit."""

    partial: ClassVar[str] = "partials/schedule_interval.html"

    def input_id(self, field: str) -> str:
        return "s-every"

    def posted(self, values: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
        seconds = values.get("interval_seconds") or DEFAULT_SECONDS
        unit = next(size for size, _ in reversed(UNITS) if seconds % size == 0)
        return {"s.every": str(seconds // unit), "s.unit": str(unit)}

    def read(self, posted: Mapping[str, str], zone: str) -> tuple[dict[str, Any], list[FieldError]]:
        amount, unit = posted.get("s.every", "").strip(), posted.get("s.unit", "1")
        if amount.isdigit() and amount.isascii() and len(amount) < 9 and unit in {str(size) for size, _ in UNITS}:
            return {"interval_seconds": int(amount) * int(unit)}, []
        return {}, [FieldError("/schedule/interval_seconds", "must be a whole number, such as 15")]

    def context(self, posted: Mapping[str, str]) -> dict[str, Any]:
        return {"units": UNITS}

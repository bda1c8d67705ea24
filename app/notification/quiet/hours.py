"""Quiet hours of a channel: on some days of the week, from one time to another, only urgent messages pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.errors import FieldError
from app.instants import in_zone
from app.notification.announcing import AlertSeverity
from app.validation import SchemaValidator
from app.zones import is_zone
from templates_lib.messages import say

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["zone", "days", "begin", "end"],
    "additionalProperties": False,
    "properties": {
        "zone": {"type": "string", "maxLength": 80},
        "days": {"type": "array", "items": {"enum": list(DAYS)}, "minItems": 1, "maxItems": 7, "uniqueItems": True},
        "begin": {"type": "string", "pattern": _TIME},
        "end": {"type": "string", "pattern": _TIME},
        "pass": {"type": "array", "items": {"enum": [item.value for item in AlertSeverity]}, "maxItems": 3, "uniqueItems": True},
    },
}
_VALIDATOR = SchemaValidator(SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Quiet from `begin` to `end` by the clocks of `zone`, on each of `days` (0 is Monday) on which it begins. If `end` is not after
    `begin`, it is a time of the next day. Alerts whose severity is in `passing` are sent all the same."""

    zone: str
    days: frozenset[int]
    begin: time
    end: time
    passing: frozenset[AlertSeverity]

    def end_at(self, now: datetime) -> datetime | None:
        """Returns when the quiet time ends that it is now; None if it is not quiet now. Two quiet times that touch are one.

        With 22:00 to 07:00 on all days, it is quiet at 03:00, and the end is 07:00 of the same day. A time that the clocks skip is taken
        as if they had not been changed yet, and of a time that comes twice, the first one counts.
        """
        end, at = None, now
        for _ in range(len(DAYS) + 1):  # a week of whole days is quiet without an end: its end is looked for again later
            following = self._end_of_stretch(at)
            if following is None:
                break
            end = at = following
        return end

    def _end_of_stretch(self, at: datetime) -> datetime | None:
        today = in_zone(at, ZoneInfo(self.zone)).date()
        ends = [
            stretch[1]
            for day in (today - timedelta(days=1), today)
            if day.weekday() in self.days and (stretch := self._stretch(day))[0] <= at < stretch[1]
        ]
        return max(ends, default=None)

    def _stretch(self, day: date) -> tuple[datetime, datetime]:
        zone, last = ZoneInfo(self.zone), day if self.end > self.begin else day + timedelta(days=1)
        begin, end = datetime.combine(day, self.begin, zone), datetime.combine(last, self.end, zone)
        return begin.astimezone(UTC), end.astimezone(UTC)

    def as_document(self) -> dict[str, Any]:
        """Returns the stored form, which is also the one of the REST interface."""
        return {
            "zone": self.zone,
            "days": [DAYS[day] for day in sorted(self.days)],
            "begin": f"{self.begin:%H:%M}",
            "end": f"{self.end:%H:%M}",
            "pass": [item.value for item in AlertSeverity if item in self.passing],
        }


def hours_from(row: Any) -> QuietHours | None:
    """Returns the quiet hours in a stored document; None if there are none, or none that can be read."""
    if not isinstance(row, Mapping) or problems(row):
        return None
    return QuietHours(
        zone=row["zone"],
        days=frozenset(DAYS.index(day) for day in row["days"]),
        begin=time.fromisoformat(row["begin"]),
        end=time.fromisoformat(row["end"]),
        passing=frozenset(AlertSeverity(item) for item in row.get("pass", [AlertSeverity.CRITICAL.value])),
    )


def problems(row: Any) -> list[FieldError]:
    """Returns what is wrong with quiet hours that nobody has checked yet."""
    errors = _VALIDATOR.errors(row)
    if not errors and not is_zone(row["zone"]):
        errors = [FieldError("/zone", say("must be a time zone, such as Europe/Berlin"))]
    return errors

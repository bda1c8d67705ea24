"""Crontabs of Celery: what their fields mean (celery.schedules.crontab), and the times at which they fire.

Traps that differ from cron(8): a day must match the day of the month and that of the week; Sunday is 0 and never 7; a range may run
backwards, such as fri-mon. Beat works on the wall clock of the time zone of the schedule. At clock changes:

1. A time that the clock skips fires as if the clock had not changed: 02:30 fires at 03:30. The next time is looked for from there.
2. Of a time that the clock repeats, only the first one fires. So `*/15` has a pause of an hour.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from app.imports.dialects.spelling import Pattern
from app.zones import zone as zone_of

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month_of_year": (1, 12), "day_of_week": (0, 6)}
_LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# A name means the same number in every field.
_NAMES = {**{name: number for number, name in enumerate(_DAY_NAMES)}, **{name: number + 1 for number, name in enumerate(_MONTH_NAMES)}}
_RANGE = re.compile(r"(\w+?)-(\w+)(?:/(\w+))?")
_STEP = re.compile(r"\*/(\w+)")


class CrontabRefused(ValueError):
    """A crontab that Celery refuses; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Crontab:
    """The fields of a crontab as sets. Weekdays count from 0, which is Sunday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    timezone: str

    @property
    def pattern(self) -> Pattern:
        """The same, for writing it as a schedule."""
        weekdays = frozenset((day - 1) % 7 for day in self.weekdays)
        return Pattern(minutes=self.minutes, hours=self.hours, days=self.days, months=self.months, weekdays=weekdays)

    @property
    def follows_clock(self) -> bool:
        """Whether a cron expression with `*` has the same times: it has none in the night, or its time zone has no clock changes."""
        return not self.hours & frozenset(range(5)) or not has_changes(self.timezone)

    @cached_property
    def _sorted(self) -> tuple[list[int], list[int]]:
        return sorted(self.hours), sorted(self.minutes)

    def matches_day(self, day: date) -> bool:
        """Whether it fires on a day."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def times(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until], in UTC, ascending."""
        zone = zone_of(self.timezone)
        last = after.astimezone(zone)
        limit = until.astimezone(zone).date()
        while (wall := self._next(last.replace(tzinfo=None), limit)) is not None:
            moment = wall.replace(tzinfo=zone).astimezone(UTC)
            if moment <= last.astimezone(UTC):  # the search began in a repeated hour
                moment = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
            if moment > until:
                return
            yield moment
            last = moment.astimezone(zone)

    def _next(self, last: datetime, limit: date) -> datetime | None:
        """Returns the wall time that follows another one, by minutes; None if there is none until the day `limit`."""
        hours, minutes = self._sorted
        day = last.date()
        if self.matches_day(day):
            if last.hour in self.hours and last.minute < minutes[-1]:
                return last.replace(minute=minutes[bisect_right(minutes, last.minute)], second=0, microsecond=0, fold=0)
            if last.hour < hours[-1]:
                hour = hours[bisect_right(hours, last.hour)]
                return last.replace(hour=hour, minute=minutes[0], second=0, microsecond=0, fold=0)
        while day <= limit:
            day += timedelta(days=1)
            if self.matches_day(day):
                return datetime(day.year, day.month, day.day, hours[0], minutes[0])  # noqa: DTZ001 - wall time
        return None


def read_crontab(fields: Mapping[str, str], timezone: str) -> Crontab:
    """Returns the crontab of these fields; one that is missing has all values. Raises CrontabRefused."""
    sets = {name: _values(name, fields.get(name, "*")) for name in FIELDS}
    if not any(day <= _LONGEST_MONTHS.get(month, 31) for month in sets["month_of_year"] for day in sets["day_of_month"]):
        raise CrontabRefused("no month has these days")
    return Crontab(
        minutes=sets["minute"],
        hours=sets["hour"],
        days=sets["day_of_month"],
        months=sets["month_of_year"],
        weekdays=sets["day_of_week"],
        timezone=timezone,
    )


def has_changes(timezone: str) -> bool:
    """Whether the clocks of a time zone change in the years that plans are about."""
    zone = zone_of(timezone)
    return len({datetime(year, month, 1, tzinfo=zone).utcoffset() for year in (2025, 2026, 2027) for month in range(1, 13)}) > 1


def _values(name: str, text: str) -> frozenset[int]:
    return frozenset(number for part in text.split(",") for number in _part(name, part))


def _part(name: str, text: str) -> list[int]:
    low, high = _BOUNDS[name]
    if text == "*":
        return list(range(low, high + 1))
    step = _STEP.fullmatch(text)
    if step:
        return list(range(low, high + 1))[:: _step(name, step[1])]
    span = _RANGE.fullmatch(text)
    if not span:
        return [_number(name, text)]
    first, last = _number(name, span[1]), _number(name, span[2])
    numbers = list(range(first, last + 1)) if first <= last else [*range(first, high + 1), *range(low, last + 1)]
    return numbers[:: _step(name, span[3])] if span[3] else numbers


def _step(name: str, text: str) -> int:
    if not text.isdigit() or int(text[:6]) < 1:
        raise CrontabRefused(f"{name}: {text!r} is not a step")
    return int(text[:6])


def _number(name: str, text: str) -> int:
    low, high = _BOUNDS[name]
    bare = text.strip()
    if bare.isdigit() and bare.isascii():
        value = int(bare[:6])
    elif bare[:3].lower() in _NAMES:
        value = _NAMES[bare[:3].lower()]
    else:
        raise CrontabRefused(f"{name}: {text!r} is not a number or a name")
    if not low <= value <= high:
        raise CrontabRefused(f"{name}: {text} is not between {low} and {high}")
    return value

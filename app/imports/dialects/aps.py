"""Cron triggers of APScheduler 3: what their fields mean (apscheduler.triggers.cron), and the times at which they fire.

Traps that differ from cron(8): all fields must match, also the day of the month and of the week; weekdays count from 0, which is Monday;
weeks are those of ISO 8601; there are years and seconds. At clock changes:

1. A time that the clock skips fires as if the clock had not changed: 02:30 fires at 03:30.
2. A time that the clock repeats fires twice.
3. The way to the next hour or day is gone in elapsed time. In the night of the change to summer time that ends one hour too far, and an
   entry of the first hour of the next day, or of the next month, is left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from app.imports.dialects.spelling import ALL_DAYS, Pattern
from app.zones import zone as zone_of

FIELDS = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
BOUNDS = {
    "year": (1970, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "week": (1, 53),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day_of_week": ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
}
_POSITIONS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_TERM = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]+))?")
_SECOND = timedelta(seconds=1)


class TriggerRefused(ValueError):
    """A trigger that APScheduler would refuse, or that is not known; the message says why."""


@dataclass(frozen=True, kw_only=True)
class CronRule:
    """The fields of a cron trigger as sets. `years` is None for all."""

    pattern: Pattern
    years: frozenset[int] | None
    timezone: str
    start: datetime | None = None
    end: datetime | None = None

    @cached_property
    def _sorted(self) -> dict[str, list[int]]:
        pattern = self.pattern
        return {
            "year": sorted(self.years or ()),
            "month": sorted(pattern.months),
            "hour": sorted(pattern.hours),
            "minute": sorted(pattern.minutes),
            "second": sorted(pattern.seconds),
        }

    def days_of(self, year: int, month: int) -> list[int]:
        """Returns the days of a month that the field `day` names, ascending."""
        first, length = monthrange(year, month)
        days = {day for day in self.pattern.days if day <= length}
        for number, weekday in self.pattern.nth:
            begin = (weekday - first) % 7 + 1
            days.add(begin + (number - 1) * 7 if number > 0 else begin + (length - begin) // 7 * 7)
        if self.pattern.last_day:
            days.add(length)
        return sorted(day for day in days if day <= length)

    def both(self, other: CronRule) -> CronRule | None:
        """Returns the rule that fires when both fire; None if there are no words for it."""
        mine, theirs = self.pattern, other.pattern
        if self.timezone != other.timezone or any(one.nth or one.last_day for one in (mine, theirs)):
            return None
        weeks = [weeks for weeks in (mine.weeks, theirs.weeks) if weeks is not None]
        years = [years for years in (self.years, other.years) if years is not None]
        names = ("seconds", "minutes", "hours", "days", "months", "weekdays")
        sets = {name: getattr(mine, name) & getattr(theirs, name) for name in names}
        return replace(
            self,
            pattern=Pattern(**sets, weeks=frozenset.intersection(*weeks) if weeks else None),
            years=frozenset.intersection(*years) if years else None,
            start=max((start for start in (self.start, other.start) if start), default=None),
            end=min((end for end in (self.end, other.end) if end), default=None),
        )

    @property
    def never(self) -> bool:
        """Whether a field has no values."""
        pattern = self.pattern
        sets = (pattern.seconds, pattern.minutes, pattern.hours, pattern.months, pattern.weekdays)
        empty = not all(sets) or self.years == frozenset() or pattern.weeks == frozenset()
        return empty or not (pattern.days or pattern.nth or pattern.last_day)

    # -- times ----------------------------------------------------------------------------------------------------

    def times(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until], in UTC, ascending."""
        zone = zone_of(self.timezone)
        moment = _whole(after) + _SECOND
        if self.start is not None and self.start > moment:
            moment = _whole(self.start) + (_SECOND if self.start.microsecond else timedelta(0))
        last = until if self.end is None else min(until, self.end)
        while (found := self._next(moment, zone, last)) is not None:
            yield found
            moment = found + _SECOND

    def _next(self, moment: datetime, zone: ZoneInfo, last: datetime) -> datetime | None:
        """Returns the first time from `moment` on; None if there is none until `last`.

        Each round checks the fields from the year on. A field that does not match moves the time forward: to the next value of the field by
        the wall clock if there is one, and otherwise to the next value of the field before it, in elapsed time.
        """
        time = moment.astimezone(zone)
        while time.astimezone(UTC) <= last:
            following = self._forward(time)
            if following is None:
                return None
            if following is time:
                return time.astimezone(UTC)
            time = following
        return None

    def _forward(self, time: datetime) -> datetime | None:
        """Returns the same time if all fields match, a later one if not, and None if no later year matches."""
        if self.years is not None and time.year not in self.years:
            year = _at_least(self._sorted["year"], time.year)
            return None if year is None else _wall(time, year=year, month=1, day=1)
        if time.month not in self.pattern.months:
            month = _at_least(self._sorted["month"], time.month)
            return _elapsed(time, _first(time.year + 1, 1)) if month is None else _wall(time, month=month, day=1)
        day = _at_least(self.days_of(time.year, time.month), time.day)
        if day is None:
            return _elapsed(time, _first(time.year + time.month // 12, time.month % 12 + 1))
        if day > time.day:
            return _wall(time, day=day)
        midnight = datetime(time.year, time.month, time.day) + timedelta(days=1)  # noqa: DTZ001 - wall time
        weeks = self.pattern.weeks
        if time.weekday() not in self.pattern.weekdays or (weeks is not None and time.isocalendar()[1] not in weeks):
            return _elapsed(time, midnight)
        return self._forward_in_day(time, midnight)

    def _forward_in_day(self, time: datetime, midnight: datetime) -> datetime:
        hour = _at_least(self._sorted["hour"], time.hour)
        if hour is None:
            return _elapsed(time, midnight)
        if hour > time.hour:
            return _wall(time, hour=hour)
        minute = _at_least(self._sorted["minute"], time.minute)
        wall = time.replace(tzinfo=None, minute=0, second=0)
        if minute is None:
            return _elapsed(time, wall + timedelta(hours=1))
        if minute > time.minute:
            return time.replace(minute=minute, second=0)
        second = _at_least(self._sorted["second"], time.second)
        if second is None:
            return _elapsed(time, wall + timedelta(minutes=time.minute + 1))
        return time if second == time.second else time.replace(second=second)


def _at_least(values: list[int], value: int) -> int | None:
    place = bisect_left(values, value)
    return values[place] if place < len(values) else None


def _first(year: int, month: int) -> datetime:
    return datetime(year, month, 1)  # noqa: DTZ001 - wall time


def _wall(time: datetime, **values: int) -> datetime:
    """Returns a time with other values, by the wall clock; the smaller values begin."""
    begin = {"year": time.year, "month": time.month, "day": time.day, "hour": 0}
    whole = {**begin, **values}
    return datetime(whole["year"], whole["month"], whole["day"], whole["hour"], tzinfo=time.tzinfo, fold=time.fold)


def _elapsed(time: datetime, wall: datetime) -> datetime:
    """Returns the time after as much time has passed as the wall clock shows between `time` and `wall`."""
    return (time.astimezone(UTC) + (wall - time.replace(tzinfo=None))).astimezone(time.tzinfo)


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


# -- reading ------------------------------------------------------------------------------------------------------------


def read_cron(fields: Mapping[str, str], timezone: str, *, start: datetime | None = None, end: datetime | None = None) -> CronRule:
    """Returns the rule of the fields of a cron trigger; a field that is missing has all values. Raises TriggerRefused."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise TriggerRefused(f"{unknown[0]} is not a field of a cron trigger")
    sets = {name: _values(name, fields.get(name, "*")) for name in FIELDS if name != "day"}
    days, nth, last_day = _days(fields.get("day", "*"))
    pattern = Pattern(
        seconds=sets["second"],
        minutes=sets["minute"],
        hours=sets["hour"],
        days=ALL_DAYS if days == ALL_DAYS else days,
        months=sets["month"],
        weekdays=sets["day_of_week"],
        nth=nth if days != ALL_DAYS else frozenset(),
        last_day=last_day and days != ALL_DAYS,
        weeks=None if len(sets["week"]) == 53 else sets["week"],
    )
    years = None if fields.get("year", "*") == "*" else sets["year"]
    return CronRule(pattern=pattern, years=years, timezone=timezone, start=start, end=end)


def _values(name: str, text: str) -> frozenset[int]:
    return frozenset(number for term in text.split(",") for number in _term(name, term.strip()))


def _days(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]], bool]:
    """Returns the numbers, the nth weekdays and whether the last day is named."""
    numbers: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last_day = False
    for term in (part.strip().lower() for part in text.split(",")):
        position, _, weekday = term.partition(" ")
        if term == "last":
            last_day = True
        elif position in _POSITIONS and weekday.strip() in _NAMES["day_of_week"]:
            nth.add((_POSITIONS[position], _NAMES["day_of_week"].index(weekday.strip())))
        else:
            numbers.update(_term("day", term))
    return frozenset(numbers), frozenset(nth), last_day


def _term(name: str, term: str) -> range:
    low, high = BOUNDS[name]
    match = _TERM.fullmatch(term)
    if match is None:
        raise TriggerRefused(f"{name}: {term!r} is not *, a number, a range or a step")
    step = int(match["step"] or 1)
    if match["first"] == "*":
        first, last = low, high
    else:
        first = _number(name, match["first"])
        last = _number(name, match["last"]) if match["last"] else high if match["step"] else first
    if step < 1 or not low <= first <= last <= high:
        raise TriggerRefused(f"{name}: {term!r} is not within {low} and {high}, or runs backwards")
    return range(first, last + 1, step)


def _number(name: str, text: str) -> int:
    if text.isdigit():
        return int(text[:6])
    names = _NAMES.get(name, ())
    if text.lower() not in names:
        raise TriggerRefused(f"{name}: {text!r} is not a number")
    return names.index(text.lower()) + (1 if name == "month" else 0)

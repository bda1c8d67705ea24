"""Calendar rules: recurrence rules of RFC 5545 (section 3.3.10), such as `FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9`.

What is different here, so that a rule says the same wherever it stands:

- The times of day are BYHOUR, BYMINUTE and BYSECOND of the rule. The days are named too; neither is taken from a first date.
- FREQ is DAILY, WEEKLY, MONTHLY or YEARLY. What comes more often is a cron expression or an interval.
- A rule has no end. UNTIL and COUNT are refused, as a schedule has an end of its own.
- X-WEEKDAY-NEAR is an addition: the weekday (Monday to Friday) of the same month that is nearest to a day of the month, which is what W
  means in expressions of Quartz (Quartz, CronExpression, "W"). A negative day counts from the end of the month.

The days are worked out here, year by year, and tests compare them with those of dateutil. dateutil itself walks on to the year 9999 for a
rule that names no day, which takes seconds.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from templates_lib.messages import say

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
WORKING_DAYS = tuple(range(5))  # Monday to Friday, as numbers from 0
NEAR = "X-WEEKDAY-NEAR"
MOST_TIMES = 1440  # of a day: one a minute
MOST_INTERVAL = 1000
LONGEST = 500  # characters
ANY_DAY = date(2001, 1, 1)  # where a rule without INTERVAL is counted from; a Monday
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_TOO_OFTEN = frozenset({"HOURLY", "MINUTELY", "SECONDLY"})
_DAY = re.compile(r"(?P<nth>[+-]?\d{1,2})?(?P<day>MO|TU|WE|TH|FR|SA|SU)")
_TIMES_OF_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")


class RuleError(ValueError):
    """A rule that is refused; the message is for people, and `position` is the index of the wrong part."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A rule that was read. Days of the week are (n, number): n counts within the month or year and is 0 for each of them; the number is 0
    for Monday. `seconds` are the times of a day after midnight, ascending."""

    frequency: str
    interval: int = 1
    months: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    positions: tuple[int, ...] = ()
    near: tuple[int, ...] = ()
    week_start: int = 0
    seconds: tuple[int, ...] = ()

    def days_of(self, year: int, counted_from: date) -> frozenset[date]:
        """The days of a year. Where INTERVAL is more than 1, the first period is the one in which `counted_from` lies; periods before it
        are counted backwards."""
        return _days_of(self, year, counted_from)


class CalendarTimes:
    """The due times of a rule, for the walk over the days (app.triggers.walls.WallTimes). All are fixed times."""

    every_day = False
    fixed = True

    def __init__(self, rule: Recurrence, counted_from: date) -> None:
        self._rule, self._counted_from = rule, counted_from
        self.times = rule.seconds

    def matches_day(self, day: date) -> bool:
        """Whether the times come on this day."""
        return day in self._rule.days_of(day.year, self._counted_from)


# -- reading ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def read_rule(text: str) -> Recurrence:
    """The rule in a text, with or without `RRULE:` before it, in upper or lower case. Raises RuleError that points at the part."""
    parts = dict(_parts(text))
    if "FREQ" not in parts:
        raise RuleError(say("needs FREQ, which is {known}", known=", ".join(_FREQUENCIES)), 0)
    values = {name: _READERS[name](name, value, position) for name, (value, position) in parts.items()}
    hours, minutes, seconds = (values.get(name, (0,)) for name in _TIMES_OF_DAY)
    rule = Recurrence(
        frequency=values["FREQ"],
        interval=values.get("INTERVAL", 1),
        months=values.get("BYMONTH", ()),
        weeks=values.get("BYWEEKNO", ()),
        year_days=values.get("BYYEARDAY", ()),
        month_days=values.get("BYMONTHDAY", ()),
        weekdays=values.get("BYDAY", ()),
        positions=values.get("BYSETPOS", ()),
        near=values.get(NEAR, ()),
        week_start=values.get("WKST", 0),
        seconds=tuple(hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds),
    )
    wrong = _wrong_together(rule, parts)
    if wrong is not None:
        name, words = wrong
        raise RuleError(words, parts[name][1] if name in parts else 0)
    return rule


def _parts(text: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """(name, (value, its position in the text)) of each part."""
    offset = len("RRULE:") if text.strip().upper().startswith("RRULE:") else 0
    seen: set[str] = set()
    for match in re.finditer(r"[^;]+", text.strip()[offset:]):
        name, equals, value = (piece.strip().upper() for piece in match[0].partition("="))
        position = text.index(text.strip()) + offset + match.start() if text.strip() else 0
        if name in {"UNTIL", "COUNT"}:
            raise RuleError(say("{name} is not possible in a rule. Set the end of the schedule instead.", name=name), position)
        if not equals or name not in _READERS:
            raise RuleError(
                say("{part!r} is not a part of a rule, such as {known}", part=match[0].strip()[:40], known="BYDAY=FR"), position
            )
        if name in seen:
            raise RuleError(say("{name} stands twice", name=name), position)
        seen.add(name)
        yield name, (value, position)


def _frequency(_: str, value: str, position: int) -> str:
    if value in _TOO_OFTEN:
        raise RuleError(say("FREQ={value} is too often for a calendar rule. Use a cron expression or an interval.", value=value), position)
    if value not in _FREQUENCIES:
        raise RuleError(say("FREQ must be {known}", known=", ".join(_FREQUENCIES)), position)
    return value


def _interval(name: str, value: str, position: int) -> int:
    return _numbers(1, MOST_INTERVAL)(name, value, position)[0]


def _week_start(name: str, value: str, position: int) -> int:
    if value not in WEEKDAYS:
        raise RuleError(say("{name} must be a day of the week: {known}", name=name, known=", ".join(WEEKDAYS)), position)
    return WEEKDAYS.index(value)


def _weekdays(name: str, value: str, position: int) -> tuple[tuple[int, int], ...]:
    chosen = set()
    for term in value.split(","):
        match = _DAY.fullmatch(term.strip())
        nth = int(match["nth"] or 0) if match else 0
        if match is None or abs(nth) > 53 or (match["nth"] and not nth):
            raise RuleError(
                say("{name}: {term!r} is not a day such as {known}", name=name, term=term[:20], known="MO, 2FR, -1SU"), position
            )
        chosen.add((nth, WEEKDAYS.index(match["day"])))
    return tuple(sorted(chosen))


def _numbers(least: int, most: int, *, backwards: bool = False) -> Callable[[str, str, int], tuple[int, ...]]:
    """A reader of numbers from `least` to `most`; with `backwards` negative ones too, which count from the end."""

    def read(name: str, value: str, position: int) -> tuple[int, ...]:
        chosen = set()
        for term in value.split(","):
            digits = re.fullmatch(r"[+-]?([0-9]{1,5})" if backwards else r"([0-9]{1,5})", term.strip())
            if digits is None or not least <= int(digits[1]) <= most:
                words = say("{name}: {term!r} is not a number from {least} to {most}", name=name, term=term[:20], least=least, most=most)
                raise RuleError(words, position)
            chosen.add(int(term))
        return tuple(sorted(chosen))

    return read


_READERS: Mapping[str, Callable[[str, str, int], Any]] = {
    "FREQ": _frequency,
    "INTERVAL": _interval,
    "BYMONTH": _numbers(1, 12),
    "BYWEEKNO": _numbers(1, 53, backwards=True),
    "BYYEARDAY": _numbers(1, 366, backwards=True),
    "BYMONTHDAY": _numbers(1, 31, backwards=True),
    "BYDAY": _weekdays,
    "BYSETPOS": _numbers(1, 366, backwards=True),
    "BYHOUR": _numbers(0, 23),
    "BYMINUTE": _numbers(0, 59),
    "BYSECOND": _numbers(0, 59),
    "WKST": _week_start,
    NEAR: _numbers(1, 31, backwards=True),
}
# Which parts each FREQ takes beside those that all take (RFC 5545, the table of 3.3.10).
_TAKES: Mapping[str, frozenset[str]] = {
    "DAILY": frozenset({"BYMONTHDAY", "BYDAY"}),
    "WEEKLY": frozenset({"BYDAY"}),
    "MONTHLY": frozenset({"BYMONTHDAY", "BYDAY", NEAR}),
    "YEARLY": frozenset({"BYMONTHDAY", "BYDAY", "BYYEARDAY", "BYWEEKNO"}),
}
_OF_ALL = frozenset({"FREQ", "INTERVAL", "BYMONTH", "BYSETPOS", "WKST", *_TIMES_OF_DAY})


def _wrong_together(rule: Recurrence, parts: Mapping[str, Any]) -> tuple[str, str] | None:
    """(name, words) of a part that does not go with the others."""
    taken = _TAKES[rule.frequency]
    for name in parts:
        if name not in _OF_ALL | taken:
            return name, say("{name} does not go with FREQ={frequency}", name=name, frequency=rule.frequency)
    if "BYHOUR" not in parts:
        return "FREQ", say("needs the time of day: {known}", known="BYHOUR=9;BYMINUTE=30")
    if rule.frequency != "DAILY" and not taken & set(parts):
        return "FREQ", say("needs the days, by {known}", known=", ".join(sorted(taken)))
    if any(nth for nth, _ in rule.weekdays) and (rule.frequency not in {"MONTHLY", "YEARLY"} or rule.weeks):
        return "BYDAY", say("BYDAY can count days of the week only in months and years without BYWEEKNO")
    if rule.near and (rule.month_days or rule.weekdays or rule.positions):
        return NEAR, say("{name} takes no other choice of days", name=NEAR)
    if rule.positions and not taken & set(parts):
        return "BYSETPOS", say("BYSETPOS chooses among days, so the days must be named")
    if rule.positions and len(rule.seconds) > 1:
        return "BYSETPOS", say("BYSETPOS goes with one time of day")
    if len(rule.seconds) > MOST_TIMES:
        return "BYHOUR", say(
            "has {count} times a day, and {most} are possible. Use a cron expression.", count=len(rule.seconds), most=MOST_TIMES
        )
    return None


# -- days ---------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _days_of(rule: Recurrence, year: int, counted_from: date) -> frozenset[date]:
    days: set[date] = set()
    for period in _periods(rule, year, counted_from):
        if rule.near:
            days.update(day for wanted in rule.near if (day := _nearest_weekday(period[0], wanted)) is not None)
            continue
        matching = [day for day in period if _matches(rule, day)]
        days.update(_at_positions(matching, rule.positions) if rule.positions else matching)
    return frozenset(day for day in days if day.year == year and (not rule.months or day.month in rule.months))


def _periods(rule: Recurrence, year: int, counted_from: date) -> Iterator[list[date]]:
    """The days of each counted period of which a day lies in the year."""
    first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
    match rule.frequency:
        case "YEARLY":
            if (year - counted_from.year) % rule.interval == 0:
                yield _span(first, last)
        case "MONTHLY":
            for month in range(1, 13):
                if (year * 12 + month - counted_from.year * 12 - counted_from.month) % rule.interval == 0:
                    begin = date(year, month, 1).toordinal()
                    yield _span(begin, begin + monthrange(year, month)[1] - 1)
        case "WEEKLY":
            begin, counted = _week_of(first, rule.week_start), _week_of(counted_from.toordinal(), rule.week_start)
            for week in range(begin, last + 1, 7):
                if (week - counted) // 7 % rule.interval == 0:
                    yield _span(week, week + 6)
        case _:
            begin = first + (counted_from.toordinal() - first) % rule.interval
            yield from (_span(day, day) for day in range(begin, last + 1, rule.interval))


def _span(first: int, last: int) -> list[date]:
    """The days from one ordinal to another, without those outside the calendar."""
    return [date.fromordinal(day) for day in range(max(first, 1), min(last, date.max.toordinal()) + 1)]


def _week_of(ordinal: int, week_start: int) -> int:
    """The ordinal of the first day of the week in which a day lies. (1 is a Monday.)"""
    return ordinal - (ordinal - 1 - week_start) % 7


def _matches(rule: Recurrence, day: date) -> bool:
    """Whether a day is one that the rule names, within its period."""
    year_days, month_days = 366 if isleap(day.year) else 365, monthrange(day.year, day.month)[1]
    year_day = day.timetuple().tm_yday
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days and not {day.day, day.day - month_days - 1} & set(rule.month_days):
        return False
    if rule.year_days and not {year_day, year_day - year_days - 1} & set(rule.year_days):
        return False
    if rule.weeks and not set(_week_numbers(day, rule.week_start)) & set(rule.weeks):
        return False
    if not rule.weekdays:
        return True
    # The second Friday is that of the month, or of the year where no months are named.
    place, length = (day.day, month_days) if rule.frequency == "MONTHLY" or rule.months else (year_day, year_days)
    nths = (0, (place - 1) // 7 + 1, -((length - place) // 7 + 1))
    return any((nth, day.weekday()) in rule.weekdays for nth in nths)


def _week_numbers(day: date, week_start: int) -> tuple[int, int]:
    """The number of the week of a day, from the first week and from the last one. A week belongs to the year in which four of its days
    lie (RFC 5545, BYWEEKNO)."""
    fourth = _week_of(day.toordinal(), week_start) + 3
    if not 1 <= fourth <= date.max.toordinal():
        return 0, 0
    year = date.fromordinal(fourth).year
    place = date.fromordinal(fourth).timetuple().tm_yday
    length = 366 if isleap(year) else 365
    return (place - 1) // 7 + 1, -((length - place) // 7 + 1)


def _at_positions(days: Sequence[date], positions: Sequence[int]) -> Iterator[date]:
    """The days at these positions; negative ones count from the end."""
    for position in positions:
        place = position - 1 if position > 0 else len(days) + position
        if 0 <= place < len(days):
            yield days[place]


def _nearest_weekday(first_of_month: date, wanted: int) -> date | None:
    """The day from Monday to Friday of a month that is nearest to a day of it; None where the month does not have that day."""
    length = monthrange(first_of_month.year, first_of_month.month)[1]
    number = wanted if wanted > 0 else length + 1 + wanted
    if not 1 <= number <= length:
        return None
    day = first_of_month.replace(day=number)
    if day.weekday() in WORKING_DAYS:
        return day
    step = timedelta(days=1) if day.weekday() == 6 else timedelta(days=-1)
    moved = day + step
    return moved if moved.month == day.month else day - 2 * step

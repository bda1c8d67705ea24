"""Expressions of Quartz as Quartz reads them (CronExpression): sets of numbers, and the days of a month. It is written apart from
app.triggers, so that a comparison of the two finds mistakes in either."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from app.imports.wall_times import Twice, wall_times

_MONTHS = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
_DAYS = "SUNMONTUEWEDTHUFRISAT"
# Name, lowest, highest, largest step, names.
_FIELDS = (
    ("second", 0, 59, 59, ""),
    ("minute", 0, 59, 59, ""),
    ("hour", 0, 23, 23, ""),
    ("day of month", 1, 31, 31, ""),
    ("month", 1, 12, 12, _MONTHS),
    ("day of week", 1, 7, 7, _DAYS),
    ("year", 1970, 2099, 129, ""),
)
NAMES = tuple(name for name, *_ in _FIELDS)


class QuartzRefused(ValueError):
    """An expression that Quartz refuses; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuartzFields:
    """When an expression is due. `days` says whether a day of a month is one of them."""

    seconds: tuple[int, ...]  # of a day
    months: frozenset[int]
    years: frozenset[int]
    days: Callable[[date], bool]

    def matches_day(self, day: date) -> bool:
        """Whether it is due on a day."""
        return day.year in self.years and day.month in self.months and self.days(day)

    def times(self, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until]. A time that the clock skips does not fire, and one that comes twice fires the second time."""
        return wall_times(self.matches_day, self.seconds, timezone, Twice.SECOND, after, until)


def read_quartz(text: str) -> QuartzFields:
    """Reads an expression. Raises QuartzRefused."""
    fields = text.upper().split()
    if len(fields) not in {6, 7}:
        raise QuartzRefused(f"has {len(fields)} fields, and Quartz wants six or seven")
    fields = [*fields, "*"][:7]
    if (fields[3] == "?") == (fields[5] == "?"):
        raise QuartzRefused("must have ? either as day of month or as day of week")
    seconds, minutes, hours, months, years = (sorted(_set(fields[number], number)) for number in (0, 1, 2, 4, 6))
    return QuartzFields(
        seconds=tuple(hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds),
        months=frozenset(months),
        years=frozenset(years),
        days=_of_month(fields[3]) if fields[5] == "?" else _of_week(fields[5]),
    )


def _of_month(text: str) -> Callable[[date], bool]:
    if text.startswith("L"):
        rest = text[1:].removesuffix("W")
        before = int(rest[1:]) if rest[:1] == "-" and rest[1:].isdigit() else 0
        if before > 30 or (rest and not before and rest != "-0"):
            raise QuartzRefused(f"day of month: {text} is not L, L-n, LW or L-nW")
        return lambda day: day == _moved(day, _length(day) - before, text.endswith("W"))
    if text.endswith("W"):
        (wanted,) = _set(text[:-1], 3) if text[:-1].isdigit() else (0,)
        if not wanted:
            raise QuartzRefused(f"day of month: {text} is not a day with W")
        return lambda day: day == _moved(day, wanted, weekday=True)
    numbers = _set(text, 3)
    return lambda day: day.day in numbers


def _of_week(text: str) -> Callable[[date], bool]:
    if text == "L":
        return lambda day: day.isoweekday() == 6
    if "#" in text:
        name, _, nth = text.partition("#")
        if nth not in {"1", "2", "3", "4", "5"} or "," in name:
            raise QuartzRefused(f"day of week: {text} is not a day such as 6#3")
        (wanted,) = _set(name, 5)
        return lambda day: day.isoweekday() % 7 + 1 == wanted and (day.day + 6) // 7 == int(nth)
    if text.endswith("L"):
        if "," in text:
            raise QuartzRefused(f"day of week: {text} has more than the last one")
        (wanted,) = _set(text[:-1], 5)
        return lambda day: day.isoweekday() % 7 + 1 == wanted and day.day + 7 > _length(day)
    numbers = _set(text, 5)
    return lambda day: day.isoweekday() % 7 + 1 in numbers


def _length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _moved(day: date, number: int, weekday: bool) -> date | None:
    """The day of the month of `day` with a number, or the weekday next to it; None if the month does not have it."""
    if not 1 <= number <= _length(day):
        return None
    found = day.replace(day=number)
    if not weekday or found.isoweekday() < 6:
        return found
    if found.isoweekday() == 6:
        return found.replace(day=number - 1 if number > 1 else 3)
    return found.replace(day=number + 1 if number < _length(day) else number - 2)


def _set(text: str, number: int) -> frozenset[int]:
    name, low, high, largest, _ = _FIELDS[number]
    found: set[int] = set()
    for term in text.split(","):
        span, slash, step_text = term.partition("/")
        step = int(step_text) if slash and step_text.isdigit() else 0 if slash else 1
        if not 1 <= step <= largest:
            raise QuartzRefused(f"{name}: the step of {term} must be a number from 1 to {largest}")
        left, dash, right = span.partition("-")
        first = low if left in {"", "*"} and (slash or left) else _value(left, number)
        last = _value(right, number) if dash else high if slash or left == "*" else first
        if first <= last:
            found.update(range(first, last + 1, step))
            continue
        at = first  # over the end
        while at <= last + high - low + 1:
            found.add(at if at <= high else at - (high - low + 1))
            at += step
    return frozenset(found)


def _value(text: str, number: int) -> int:
    name, low, high, _, names = _FIELDS[number]
    place = names.find(text) if len(text) == 3 else -1
    if place >= 0 and place % 3 == 0:
        return place // 3 + low
    if not (text.isdigit() and text.isascii() and low <= int(text[:5]) <= high):
        raise QuartzRefused(f"{name}: {text!r} is not a number from {low} to {high}")
    return int(text)

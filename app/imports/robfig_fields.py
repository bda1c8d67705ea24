"""Cron expressions as robfig/cron reads them, the library of Kubernetes and of many Go programs. It is written apart from app.triggers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from app.imports.wall_schedules import HOURS, MONTH_DAYS, MONTHS, SIXTY, WEEK, spelled
from app.imports.wall_times import Twice, wall_times

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    dict(zip(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], MONTHS, strict=True)),
    dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], WEEK, strict=True)),
)
_KNOWN = (("minute", SIXTY), ("hour", HOURS), ("day of month", MONTH_DAYS), ("month", MONTHS), ("day of week", WEEK))
_EVERY = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S*)\s+(.*)")


class RobfigRefused(ValueError):
    """An expression that robfig/cron refuses; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobfigFields:
    """When an expression is due. The two days are alternatives unless one of them is `*` without a step."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def matches_day(self, day: date) -> bool:
        """Whether it is due on a day."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((of_month and of_week) if self.any_day or self.any_weekday else (of_month or of_week))

    def times(self, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until]. A time that the clock skips does not come, and one that comes twice comes twice."""
        seconds = [hour * 3600 + minute * 60 for hour in sorted(self.hours) for minute in sorted(self.minutes)]
        return wall_times(self.matches_day, seconds, timezone, Twice.BOTH, after, until)

    def expression(self) -> str:
        """Returns the same in the terms of Debian's cron, which takes days that begin with `*` for no alternative."""
        day, weekday = self.days, self.weekdays
        either = not (self.any_day or self.any_weekday)
        fields = [
            spelled(self.minutes, SIXTY),
            spelled(self.hours, HOURS),
            _listed(day, MONTH_DAYS) if either else spelled(day, MONTH_DAYS),
            spelled(self.months, MONTHS),
            _listed(weekday, WEEK) if either else spelled(weekday, WEEK),
        ]
        return " ".join(fields)


def _listed(numbers: frozenset[int], known: range) -> str:
    text = spelled(numbers, known)
    return f"{known[0]}-{known[-1]}{text.removeprefix('*')}" if text.startswith("*") else text


def split_zone(text: str) -> tuple[str, str]:
    """Returns the time zone in `CRON_TZ=Europe/Berlin 0 6 * * *`, or "", and the expression."""
    match = _ZONE.fullmatch(text.strip())
    return (match[1], match[2]) if match else ("", text.strip())


def every_seconds(text: str) -> int | None:
    """Returns the seconds of `@every 1h30m`; None for any other text. Raises RobfigRefused."""
    if not text.startswith("@every "):
        return None
    match = _EVERY.fullmatch(text.removeprefix("@every ").strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise RobfigRefused(f"{text!r} is not a duration such as @every 1h30m")
    return total


def read_robfig(text: str) -> RobfigFields:
    """Reads an expression of five fields, or a descriptor such as `@daily`. Raises RobfigRefused."""
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise RobfigRefused(f"{text} is not known. Known names: {', '.join(DESCRIPTORS)}")
        text = DESCRIPTORS[text]
    texts = text.split()
    if len(texts) != 5:
        raise RobfigRefused(f"has {len(texts)} fields, and Kubernetes wants five")
    fields = [_field(field, place) for place, field in enumerate(texts)]
    return RobfigFields(
        minutes=fields[0][0],
        hours=fields[1][0],
        days=fields[2][0],
        months=fields[3][0],
        weekdays=fields[4][0],
        any_day=fields[2][1],
        any_weekday=fields[4][1],
    )


def _field(text: str, place: int) -> tuple[frozenset[int], bool]:
    """Returns the numbers of a field, and whether one of its terms is `*` or `?` without a step."""
    name, known = _KNOWN[place]
    found: set[int] = set()
    star = False
    for term in filter(None, text.split(",")):
        span, slash, step_text = term.partition("/")
        left, dash, right = span.partition("-")
        step = int(step_text) if step_text.isdigit() and step_text.isascii() and len(step_text) < 6 else 0 if slash else 1
        if not step or (dash and left in {"*", "?"}):
            raise RobfigRefused(f"{name}: {term!r} is not *, a number, a range or a step")
        first = known[0] if left in {"*", "?"} else _number(left, place)
        last = _number(right, place) if dash else known[-1] if slash or left in {"*", "?"} else first
        if first > last:
            raise RobfigRefused(f"{name}: the range {span} runs backwards")
        star |= left in {"*", "?"} and step == 1
        found.update(range(first, last + 1, step))
    if not found:
        raise RobfigRefused(f"{name}: there is no number")
    return frozenset(found), star


def _number(text: str, place: int) -> int:
    name, known = _KNOWN[place]
    number = _NAMES[place].get(text.lower(), int(text) if text.isdigit() and text.isascii() and len(text) < 6 else -1)
    if number not in known:
        raise RobfigRefused(f"{name}: {text!r} is not a number from {known[0]} to {known[-1]}")
    return number

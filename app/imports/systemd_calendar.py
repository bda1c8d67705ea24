"""Calendar events and time spans of systemd (systemd.time(7)), and when systemd fires them. It is written apart from app.triggers."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from app.imports.wall_schedules import HOURS, MONTH_DAYS, MONTHS, SIXTY, WEEK, WallSets
from app.imports.wall_times import Twice, wall_times
from app.zones import is_zone

SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
}
YEARS = range(1970, 2200)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_WEEKDAY = re.compile(r"[a-z]+(?:(?:\.\.|-)[a-z]+)?(?:,[a-z]+(?:(?:\.\.|-)[a-z]+)?)*,?", re.IGNORECASE)
_TERM = re.compile(r"(?P<first>[0-9]{1,4})(?:\.\.(?P<last>[0-9]{1,4}))?(?:/(?P<step>[0-9]{1,4}))?")
_UNITS = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("", "seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86_400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604_800.0),
    **dict.fromkeys(("months", "month", "M"), 2_629_800.0),
    **dict.fromkeys(("years", "year", "y"), 31_557_600.0),
}
_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµμ]*)")


class SystemdRefused(ValueError):
    """A value that systemd refuses, or that Jobwright has nothing for; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEvent:
    """A calendar event. With `from_end`, days of the month count from the last one, which is 1. `timezone` is "" for that of the
    machine."""

    weekdays: frozenset[int]
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    from_end: bool
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    timezone: str

    def matches_day(self, day: date) -> bool:
        """Whether the event is due on a day."""
        if day.year not in self.years or day.month not in self.months or day.isoweekday() % 7 not in self.weekdays:
            return False
        number = monthrange(day.year, day.month)[1] - day.day + 1 if self.from_end else day.day
        return number in self.days

    def times(self, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until]. A time that the clock skips does not come, and one that comes twice comes the first time only."""
        seconds = [h * 3600 + m * 60 + s for h in sorted(self.hours) for m in sorted(self.minutes) for s in sorted(self.seconds)]
        return wall_times(self.matches_day, seconds, timezone, Twice.FIRST, after, until)

    def sets(self) -> WallSets:
        """Returns the same as sets for a schedule of a job."""
        return WallSets(
            hours=self.hours,
            minutes=self.minutes,
            seconds=self.seconds,
            months=self.months,
            month_days=[-number for number in self.days] if self.from_end and self.days != set(MONTH_DAYS) else self.days,
            weekdays=self.weekdays,
            years=None if self.years == frozenset(YEARS) else self.years,
        )


def read_calendar(text: str) -> CalendarEvent:
    """Reads a calendar event such as `Mon..Fri *-*-1..7 18:00 Europe/Berlin`. Raises SystemdRefused."""
    words = text.split()
    timezone = ""
    if len(words) > 1 and (words[-1].upper() == "UTC" or ("/" in words[-1] and is_zone(words[-1])) or is_zone(words[-1])):
        timezone = "UTC" if words[-1].upper() == "UTC" else words.pop()
        words = words[:-1] if timezone == "UTC" and words[-1].upper() == "UTC" else words
    if len(words) == 1 and words[0].lower() in SHORTHANDS:
        words = SHORTHANDS[words[0].lower()].split()
    if not words or words[0].startswith("@"):
        raise SystemdRefused(f"{text!r} is not a calendar event that repeats")
    weekdays = frozenset(WEEK)
    if _WEEKDAY.fullmatch(words[0]):
        weekdays = _weekdays(words.pop(0))
    clock = words.pop() if words and ":" in words[-1] else "00:00:00"
    if len(words) > 1:
        raise SystemdRefused(f"{text!r} has more than days of the week, a date and a time")
    return _event(weekdays, words[0] if words else "*-*-*", clock, timezone)


def _event(weekdays: frozenset[int], day: str, clock: str, timezone: str) -> CalendarEvent:
    from_end = "~" in day
    fields = day.replace("~", "-").split("-")
    if len(fields) not in {2, 3} or day.count("~") > 1 or (from_end and not re.fullmatch(r"[^~]*~[^-~]*", day)):
        raise SystemdRefused(f"{day!r} is not a date such as *-*-01")
    year, month, number = fields if len(fields) == 3 else ("*", *fields)
    parts = clock.split(":")
    if len(parts) not in {2, 3}:
        raise SystemdRefused(f"{clock!r} is not a time such as 18:00:00")
    hour, minute, second = parts if len(parts) == 3 else (*parts, "0")
    return CalendarEvent(
        weekdays=weekdays,
        years=_numbers("year", year, YEARS),
        months=_numbers("month", month, MONTHS),
        days=_from_end(number) if from_end else _numbers("day", number, MONTH_DAYS),
        from_end=from_end,
        hours=_numbers("hour", hour, HOURS),
        minutes=_numbers("minute", minute, SIXTY),
        seconds=_numbers("second", second, SIXTY),
        timezone=timezone,
    )


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for term in text.strip(",").split(","):
        first, dots, last = term.replace("-", "..").partition("..")
        begin, end = _weekday(first), _weekday(last or first)
        # systemd counts from Monday, and a range does not run over the end of the week.
        order = [(number - 1) % 7 for number in (begin, end)]
        if dots and order[0] > order[1]:
            raise SystemdRefused(f"the range {term} of days of the week runs backwards")
        found.update((number + 1) % 7 for number in range(order[0], order[1] + 1))
    return frozenset(found)


def _weekday(text: str) -> int:
    for number, name in enumerate(_DAYS):
        if text.lower() in {name, name[:3]}:
            return number
    raise SystemdRefused(f"{text!r} is not a day of the week")


def _from_end(text: str) -> frozenset[int]:
    """Days that count from the last one. A step begins with the earliest day and goes on to the end of the month."""
    found: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            raise SystemdRefused(f"day: {term!r} is not a number, a range or a step")
        near, far, step = int(match["first"]), int(match["last"] or match["first"]), int(match["step"] or 0)
        if match["step"] and not match["last"]:
            if not (near + step <= MONTH_DAYS[-1] and near - step >= 1):
                raise SystemdRefused(f"day: the step of {term} leads out of the month")
            near = 1
        if not 1 <= near <= far <= 31 or (match["step"] and not step):
            raise SystemdRefused(f"day: {term} is not between 1 and 31")
        found.update(range(far, near - 1, -(step or 1)))
    return frozenset(found)


def _numbers(name: str, text: str, known: range) -> frozenset[int]:
    if text == "*":
        return frozenset(known)
    found: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            sub_second = name == "second" and "." in term.replace("..", "")
            raise SystemdRefused(
                f"{name}: {term!r} " + ("has parts of a second" if sub_second else "is not *, a number, a range or a step")
            )
        step = int(match["step"]) if match["step"] else 0
        if match["step"] and not step:
            raise SystemdRefused(f"{name}: the step of {term} must be a number from 1 on")
        first = int(match["first"])
        first += 2000 if name == "year" and first < 70 else 1900 if name == "year" and first < 100 else 0
        last = int(match["last"]) if match["last"] else known[-1] if step else first
        if step and not match["last"] and first + step > known[-1]:
            raise SystemdRefused(f"{name}: the step of {term} leads beyond {known[-1]}")
        if not (known[0] <= first <= last <= known[-1]):
            raise SystemdRefused(f"{name}: {term} is not between {known[0]} and {known[-1]}")
        found.update(range(first, last + 1, step or 1))
    return frozenset(found)


def read_span(text: str) -> float | None:
    """Reads a time span such as `1h 30min` as seconds; None for `infinity`. Raises SystemdRefused."""
    if text.strip() == "infinity":
        return None
    place, total = 0, 0.0
    clean = text.strip()
    while place < len(clean):
        match = _SPAN.match(clean, place)
        if match is None or match[2] not in _UNITS:
            raise SystemdRefused(f"{text!r} is not a time span such as 1h 30min")
        total += float(match[1]) * _UNITS[match[2]]
        place = match.end()
    if not clean:
        raise SystemdRefused("the time span is empty")
    return total

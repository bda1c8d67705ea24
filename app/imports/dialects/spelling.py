"""Writes sets of minutes, hours and days as a cron expression or, where cron has no words for it, as a calendar rule."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

ALL_DAYS = frozenset(range(1, 32))
ALL_MONTHS = frozenset(range(1, 13))
ALL_WEEKDAYS = frozenset(range(7))
ALL_HOURS = frozenset(range(24))
ALL_MINUTES = frozenset(range(60))
MOST_TIMES = 1440  # of a day, in a calendar rule
LONGEST_RULE = 500
_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """When something fires: at all of these times, on days on which all of these conditions hold.

    `days` are days of the month, `nth` are pairs of a number and a weekday, such as (2, 4) for the second Friday and (-1, 6) for the last
    Sunday; `last_day` is the last day of the month. A day needs one of these three. Weekdays count from 0, which is Monday. `weeks` are
    weeks of ISO 8601, or None for all.
    """

    seconds: frozenset[int] = frozenset({0})
    minutes: frozenset[int] = ALL_MINUTES
    hours: frozenset[int] = ALL_HOURS
    days: frozenset[int] = ALL_DAYS
    months: frozenset[int] = ALL_MONTHS
    weekdays: frozenset[int] = ALL_WEEKDAYS
    nth: frozenset[tuple[int, int]] = frozenset()
    last_day: bool = False
    weeks: frozenset[int] | None = None


def schedule_of(pattern: Pattern, timezone: str, *, follow_clock: bool = True) -> dict[str, Any] | None:
    """Returns the schedule of a job with these times; None if neither cron nor a calendar rule has words for them.

    With `follow_clock`, what comes all the time is written with `*`, so that the hour that a clock change repeats has it twice. Without, it
    is written as a range, and comes once.
    """
    if not pattern.nth and not pattern.last_day and pattern.weeks is None:
        expression = _cron(pattern, follow_clock)
        if expression:
            return {"type": "cron", "expression": expression, "timezone": timezone}
    rule = _rule(pattern)
    return {"type": "calendar", "rule": rule, "timezone": timezone} if rule else None


def spell(values: Collection[int], low: int, high: int, *, star: bool = True) -> str:
    """Returns numbers as a field of a cron expression: `*`, `*/5`, `1-5`, `0-50/10`, `1,3,7-9`."""
    numbers = sorted(values)
    step = numbers[1] - numbers[0] if len(numbers) > 2 else 1
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1, step)):
        whole = numbers[0] == low and numbers[-1] + step > high
        span = "*" if whole and star else f"{numbers[0]}-{high if whole else numbers[-1]}"
        return span if step == 1 else f"{span}/{step}"
    return ",".join(_spans(numbers))


def _spans(numbers: list[int]) -> Iterator[str]:
    begin = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            first = numbers[begin]
            yield str(first) if first == number else f"{first},{number}" if number == first + 1 else f"{first}-{number}"
            begin = place + 1


def _cron(pattern: Pattern, star: bool) -> str:
    """Returns the expression; "" if cron would take the days of the month and of the week as alternatives."""
    days, months = spell(pattern.days, 1, 31), spell(pattern.months, 1, 12)
    weekdays = spell([(day + 1) % 7 for day in pattern.weekdays], 0, 6)
    if not days.startswith("*") and not weekdays.startswith("*"):
        return ""
    minutes, hours = spell(pattern.minutes, 0, 59, star=star), spell(pattern.hours, 0, 23, star=star)
    seconds = "" if pattern.seconds == {0} else f"{spell(pattern.seconds, 0, 59)} "
    return f"{seconds}{minutes} {hours} {days} {months} {weekdays}"


def _rule(pattern: Pattern) -> str:
    """Returns the calendar rule; "" if there is none."""
    times = len(pattern.hours) * len(pattern.minutes) * len(pattern.seconds)
    numbered = pattern.days != ALL_DAYS
    if times > MOST_TIMES or (pattern.nth and (pattern.weeks is not None or pattern.days or pattern.last_day)):
        return ""
    parts = ["FREQ=MONTHLY" if pattern.weeks is None else "FREQ=YEARLY"]
    if pattern.months != ALL_MONTHS:
        parts.append(f"BYMONTH={_list(pattern.months)}")
    if pattern.weeks is not None:
        parts.append(f"BYWEEKNO={_list(pattern.weeks)}")
    if pattern.nth:
        chosen = sorted(nth for nth in pattern.nth if nth[1] in pattern.weekdays)
        if not chosen:
            return ""
        parts.append("BYDAY=" + ",".join(f"{number}{_NAMES[day]}" for number, day in chosen))
    else:
        if numbered:
            parts.append(f"BYMONTHDAY={_list([*pattern.days, *([-1] if pattern.last_day else [])])}")
        if pattern.weekdays != ALL_WEEKDAYS or not numbered:
            parts.append("BYDAY=" + ",".join(_NAMES[day] for day in sorted(pattern.weekdays)))
    return _with_times(parts, pattern)


def _with_times(parts: list[str], pattern: Pattern) -> str:
    parts.append(f"BYHOUR={_list(pattern.hours)}")
    if pattern.minutes != {0} or pattern.seconds != {0}:
        parts.append(f"BYMINUTE={_list(pattern.minutes)}")
    if pattern.seconds != {0}:
        parts.append(f"BYSECOND={_list(pattern.seconds)}")
    rule = ";".join(parts)
    return rule if len(rule) <= LONGEST_RULE else ""


def _list(values: Collection[int]) -> str:
    return ",".join(map(str, sorted(values)))

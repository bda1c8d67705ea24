"""Expressions of Quartz, the scheduler of many Java programs, in the terms of Jobwright: a cron expression, or else a calendar rule.

Quartz has six or seven fields: second, minute, hour, day of month, month, day of week (1 is Sunday), and perhaps the year. Either of the
two days is `?`. L is the last day, W the nearest weekday, and 6#3 the third Friday (Quartz, CronExpression).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.triggers.recurrence import MOST_TIMES, NEAR, WEEKDAYS, WORKING_DAYS
from templates_lib.messages import say

FIRST_YEAR, LAST_YEAR = 1970, 2099
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SIGNS = re.compile(r"\?|(?:[0-9]|\b[A-Z]{3})L\b|\bL(?:-[0-9]+)?W?\b|[0-9]W\b|#[0-9]", re.IGNORECASE)
_TERM = re.compile(r"(?:(?P<all>\*)|(?P<first>[0-9]{1,4}|[A-Z]{3})(?:-(?P<last>[0-9]{1,4}|[A-Z]{3}))?)?(?:/(?P<step>[0-9]{1,2}))?")
_LAST_DAY = re.compile(r"L(?:-(?P<before>[0-9]{1,2}))?(?P<weekday>W)?")
_NEAREST = re.compile(r"(?P<day>[0-9]{1,2})W")
_OF_MONTH = re.compile(r"(?P<day>[1-7]|[A-Z]{3})(?:#(?P<nth>[1-5])|L)")


class QuartzError(ValueError):
    """An expression that Quartz refuses, or that Jobwright has no schedule for; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What an expression means here. `type` is `cron` or `calendar`, and `text` the expression or the rule. `years` is the first and the
    last year; None for all years."""

    type: str
    text: str
    years: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: its bounds, the largest step, and the names that stand for numbers from the lowest on."""

    name: str
    lowest: int
    highest: int
    largest_step: int
    names: tuple[str, ...] = ()


_SECOND = _Field(say("second"), 0, 59, 59)
_MINUTE = _Field(say("minute"), 0, 59, 59)
_HOUR = _Field(say("hour"), 0, 23, 23)
_DAY = _Field(say("day of month"), 1, 31, 31)
_MONTH = _Field(say("month"), 1, 12, 12, MONTHS)
_WEEKDAY = _Field(say("day of week"), 1, 7, 7, DAYS)
_YEAR = _Field(say("year"), FIRST_YEAR, LAST_YEAR, 99)


def is_quartz(text: str) -> bool:
    """Whether a text is meant for Quartz: it has one of its signs, which cron does not know, as one of the two days."""
    fields = text.split()
    return len(fields) in {6, 7} and any(_SIGNS.search(field) for field in (fields[3], fields[5]))


def translate(text: str) -> Translation:
    """Returns what an expression means here. Raises QuartzError."""
    fields = text.upper().split()
    if len(fields) not in {6, 7}:
        raise QuartzError(say("must have six or seven fields, with seconds first. It has {found}.", found=len(fields)))
    second, minute, hour, day, month, weekday = fields[:6]
    if (day == "?") == (weekday == "?"):
        raise QuartzError(say("must have ? either as day of month or as day of week"))
    years = _years(fields[6] if len(fields) == 7 else "*")
    days = _days_of_rule(day, weekday)  # before the other fields: these signs are no numbers
    if days is None:
        names = (_spelled(_MINUTE, minute), _spelled(_HOUR, hour), _any(_DAY, day), _spelled(_MONTH, month), _cron_weekdays(weekday))
        seconds = _spelled(_SECOND, second)
        return Translation(type="cron", text=" ".join(names if seconds == "0" else (seconds, *names)), years=years)
    times = [("BYHOUR", _numbers(_HOUR, hour)), ("BYMINUTE", _numbers(_MINUTE, minute)), ("BYSECOND", _numbers(_SECOND, second))]
    count = len(times[0][1]) * len(times[1][1]) * len(times[2][1])
    if count > MOST_TIMES:
        raise QuartzError(say("has {count} times a day, and a calendar rule can have {most}", count=count, most=MOST_TIMES))
    if days == f"{NEAR}=-1" and count == 1:
        days = f"BYDAY={','.join(WEEKDAYS[number] for number in WORKING_DAYS)};BYSETPOS=-1"  # the same in the words of RFC 5545
    months = _numbers(_MONTH, month)
    parts = ["FREQ=MONTHLY", *([_part("BYMONTH", months)] if len(months) < len(MONTHS) else []), days]
    parts += [_part(name, numbers) for name, numbers in times if name != "BYSECOND" or numbers != [0]]
    return Translation(type="calendar", text=";".join(parts), years=years)


def _part(name: str, numbers: Sequence[int]) -> str:
    return f"{name}={','.join(map(str, numbers))}"


def _days_of_rule(day: str, weekday: str) -> str | None:
    """The part of a calendar rule with the days; None where a cron expression can say them."""
    if match := _LAST_DAY.fullmatch(day):
        before = int(match["before"] or 0)
        if before > 30:
            raise QuartzError(say("{name}: {term!r} is more than 30 days before the last one", name=_DAY.name, term=day))
        return f"{NEAR if match['weekday'] else 'BYMONTHDAY'}={-1 - before}"
    if match := _NEAREST.fullmatch(day):
        return f"{NEAR}={_number(_DAY, match['day'])}"
    if match := _OF_MONTH.fullmatch(weekday):
        number = _number(_WEEKDAY, match["day"])
        return f"BYDAY={match['nth'] or -1}{WEEKDAYS[(number - 2) % 7]}"
    return None


def _years(text: str) -> tuple[int, int] | None:
    """The first and the last year. Raises QuartzError for years with gaps, which no schedule here has."""
    if text == "*":
        return None
    years = _numbers(_YEAR, text)
    if years != list(range(years[0], years[-1] + 1)):
        raise QuartzError(say("names years that do not follow each other. Make a schedule for each of them."))
    return (years[0], years[-1]) if len(years) <= LAST_YEAR - FIRST_YEAR else None


def _any(field: _Field, text: str) -> str:
    return "*" if text == "?" else _spelled(field, text)


def _cron_weekdays(text: str) -> str:
    """Days of the week as cron counts them: 0 is Sunday."""
    if text in {"?", "*"}:
        return "*"
    return _listed([number - 1 for number in _numbers(_WEEKDAY, "7" if text == "L" else text)])


def _spelled(field: _Field, text: str) -> str:
    """The field for cron: `*` or a step where it is one of all, else its numbers."""
    if text == "*":
        return text
    numbers = _numbers(field, text)
    step = re.fullmatch(r"(?:\*|[0-9]+)?/([0-9]+)", text)
    if step and numbers[0] == field.lowest and len(numbers) > 1:
        return "*" if int(step[1]) == 1 else f"*/{step[1]}"
    if step and len(numbers) > 2:
        return f"{numbers[0]}-{field.highest}/{step[1]}"
    return _listed(numbers)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers as terms of cron: three or more that follow each other are a range."""
    terms, rest = [], list(numbers)
    while rest:
        length = next((place for place, number in enumerate(rest) if number != rest[0] + place), len(rest))
        length = length if length > 2 else 1
        terms.append(str(rest[0]) if length == 1 else f"{rest[0]}-{rest[length - 1]}")
        rest = rest[length:]
    return ",".join(terms)


def _numbers(field: _Field, text: str) -> list[int]:
    """The numbers of a field, ascending. Ranges may run over the end, as FRI-MON does."""
    found: set[int] = set()
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None or not term:
            raise QuartzError(say("{name}: {term!r} is not *, a number, a range or a step", name=field.name, term=term))
        step = int(match["step"] or 1)
        if not 1 <= step <= field.largest_step:
            raise QuartzError(say("{name}: the step must be a number from 1 to {highest}", name=field.name, highest=field.largest_step))
        first = _number(field, match["first"]) if match["first"] else field.lowest
        last = _number(field, match["last"]) if match["last"] else first if match["first"] and not match["step"] else field.highest
        size = field.highest - field.lowest + 1
        if last < first and field is _YEAR:
            raise QuartzError(say("{name}: the range {first}-{last} runs backwards", name=field.name, first=first, last=last))
        found.update(
            (number - field.lowest) % size + field.lowest for number in range(first, last + (size if last < first else 0) + 1, step)
        )
    return sorted(found)


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.lowest
    if not text.isdigit():
        raise QuartzError(say("{name}: {text!r} is not a number", name=field.name, text=text))
    if not field.lowest <= int(text) <= field.highest:
        words = say(
            "{name}: {text} is not between {lowest} and {highest}", name=field.name, text=text, lowest=field.lowest, highest=field.highest
        )
        raise QuartzError(words)
    return int(text)

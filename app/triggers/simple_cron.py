"""Cron expressions as people think of them: every so many minutes, at a time of day, on some days. It reads and writes expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.triggers.crontab import CronError, check_expression

MINUTE_STEPS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)  # those that divide an hour
HOUR_STEPS = (2, 3, 4, 6, 8, 12)  # those that divide a day


class Every(StrEnum):
    """How often."""

    MINUTES = "minutes"  # every `step` minutes
    HOUR = "hour"  # every hour, at `minute`
    HOURS = "hours"  # every `step` hours, at `minute`
    DAY = "day"  # every day, at `hour` and `minute`
    WEEK = "week"  # on `weekdays`, at `hour` and `minute`
    MONTH = "month"  # on `day` of each month, at `hour` and `minute`


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleCron:
    """A cron expression that the builder of the form can show. `weekdays` are numbers from 0, which is Sunday, to 6."""

    every: Every = Every.DAY
    step: int = 15
    minute: int = 0
    hour: int = 2
    weekdays: tuple[int, ...] = (1,)
    day: int = 1

    @property
    def expression(self) -> str:
        """The five fields of the cron expression."""
        match self.every:
            case Every.MINUTES:
                return "* * * * *" if self.step == 1 else f"*/{self.step} * * * *"
            case Every.HOUR:
                return f"{self.minute} * * * *"
            case Every.HOURS:
                return f"{self.minute} */{self.step} * * *"
            case Every.DAY:
                return f"{self.minute} {self.hour} * * *"
            case Every.WEEK:
                return f"{self.minute} {self.hour} * * {_weekday_field(self.weekdays)}"
        return f"{self.minute} {self.hour} {self.day} * *"


def from_builder(fields: Mapping[str, str], weekdays: Sequence[str]) -> SimpleCron:
    """What the posted fields of the builder mean. A field that is missing or makes no sense has its default."""
    default = SimpleCron()
    every = Every(fields["every"]) if fields.get("every") in list(Every) else default.every
    steps = MINUTE_STEPS if every is Every.MINUTES else HOUR_STEPS
    step = _whole(fields.get("step", ""), 1, 60, default.step)
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(:\d{2})?", fields.get("time", ""))
    hour, minute = (int(clock[1]), int(clock[2])) if clock and int(clock[1]) < 24 and int(clock[2]) < 60 else (default.hour, default.minute)
    if every in {Every.HOUR, Every.HOURS}:
        minute = _whole(fields.get("minute", ""), 0, 59, default.minute)
    chosen = tuple(sorted({int(number) for number in weekdays if number in set("0123456")}))
    return SimpleCron(
        every=every,
        step=step if step in steps else steps[len(steps) // 2],
        minute=minute,
        hour=hour,
        weekdays=chosen or default.weekdays,
        day=_whole(fields.get("day", ""), 1, 31, default.day),
    )


def simplified(expression: str) -> SimpleCron | None:
    """The expression as a SimpleCron; None if it cannot say the same, or if the expression is wrong."""
    try:
        parts = check_expression(expression).split()
    except CronError:
        return None
    if len(parts) != 5 or parts[3] != "*":
        return None
    minute, hour, day, _, weekday = parts
    any_day = day == "*" and weekday == "*"
    if hour == "*" and any_day and (minute == "*" or minute.startswith("*/")):
        step = 1 if minute == "*" else int(minute[2:])
        return SimpleCron(every=Every.MINUTES, step=step) if step in MINUTE_STEPS else None
    if not minute.isdigit():
        return None
    at = int(minute)
    if any_day and hour == "*":
        return SimpleCron(every=Every.HOUR, minute=at)
    if any_day and hour.startswith("*/"):
        return SimpleCron(every=Every.HOURS, minute=at, step=int(hour[2:])) if int(hour[2:]) in HOUR_STEPS else None
    if not hour.isdigit():
        return None
    if any_day:
        return SimpleCron(every=Every.DAY, minute=at, hour=int(hour))
    if weekday == "*" and day.isdigit():
        return SimpleCron(every=Every.MONTH, minute=at, hour=int(hour), day=int(day))
    weekdays = _weekdays(weekday) if day == "*" else None
    return SimpleCron(every=Every.WEEK, minute=at, hour=int(hour), weekdays=weekdays) if weekdays else None


_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _weekdays(field: str) -> tuple[int, ...] | None:
    """The days of the week in a list of numbers, names and ranges; None for anything else."""
    weekdays: set[int] = set()
    for term in field.lower().split(","):
        match = re.fullmatch(r"([0-7]|[a-z]{3})(?:-([0-7]|[a-z]{3}))?", term)
        ends = [_number(text) for text in match.groups() if text] if match else [None]
        if None in ends:
            return None
        first, last = ends[0] or 0, ends[-1] or 0
        weekdays |= {number % 7 for number in range(first, last + 1)}
    return tuple(sorted(weekdays)) or None


def _number(text: str) -> int | None:
    """The number of a day of the week, which is given by its name or its number; None for another name."""
    return _NAMES.index(text) if text in _NAMES else int(text) if text.isdigit() else None


def _weekday_field(weekdays: Sequence[int]) -> str:
    """Neighbours as a range: 1,2,3,4,5 becomes 1-5."""
    chosen = sorted(set(weekdays))
    if len(chosen) == 7:
        return "*"
    if len(chosen) > 2 and chosen == list(range(chosen[0], chosen[-1] + 1)):
        return f"{chosen[0]}-{chosen[-1]}"
    return ",".join(map(str, chosen))


def _whole(text: str, lowest: int, highest: int, default: int) -> int:
    return int(text) if text.isdigit() and text.isascii() and len(text) < 4 and lowest <= int(text) <= highest else default

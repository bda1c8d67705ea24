"""Cron expressions as people think of them: every so many minutes, at a time of day, on some days. One rule for both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.scheduling.cron import CronError, check_expression

MINUTE_STEPS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)  # those that divide an hour
HOUR_STEPS = (2, 3, 4, 6, 8, 12)  # those that divide a day


class Every(StrEnum):
    """How often."""

    MINUTES = "minutes"
    HOUR = "hour"
    HOURS = "hours"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """`step` is of minutes or hours; `minute` and `hour` are of the clock; `days` of the week (0 = Sunday) or `day` of the month."""

    every: Every = Every.DAY
    step: int = 15
    minute: int = 0
    hour: int = 2
    days: tuple[int, ...] = (1,)
    day: int = 1

    @property
    def expression(self) -> str:
        """The five fields of a cron expression."""
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
                return f"{self.minute} {self.hour} * * {_days_as_field(self.days)}"
        return f"{self.minute} {self.hour} {self.day} * *"


def build(fields: Mapping[str, str], days: Sequence[str]) -> Built:
    """What posted fields mean; each that is missing or makes no sense has its default."""
    plain = Built()
    every = Every(fields["every"]) if fields.get("every") in list(Every) else plain.every
    steps = MINUTE_STEPS if every is Every.MINUTES else HOUR_STEPS
    step = _whole(fields.get("step", ""), 1, 60, plain.step)
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(:\d{2})?", fields.get("time", ""))
    hour, minute = (int(clock[1]), int(clock[2])) if clock and int(clock[1]) < 24 and int(clock[2]) < 60 else (plain.hour, plain.minute)
    if every in {Every.HOUR, Every.HOURS}:
        minute = _whole(fields.get("minute", ""), 0, 59, plain.minute)
    chosen = tuple(sorted({int(day) for day in days if day in set("0123456")}))
    return Built(
        every=every,
        step=step if step in steps else steps[len(steps) // 2],
        minute=minute,
        hour=hour,
        days=chosen or plain.days,
        day=_whole(fields.get("day", ""), 1, 31, plain.day),
    )


def built(expression: str) -> Built | None:
    """The expression as `Built` has it; None for one that says more than that."""
    try:
        parts = check_expression(expression).split()
    except CronError:
        return None
    if len(parts) != 5 or parts[3] != "*":
        return None
    minute, hour, day, _, weekday = parts
    anyday = day == "*" and weekday == "*"
    if hour == "*" and anyday and (minute == "*" or minute.startswith("*/")):
        step = 1 if minute == "*" else int(minute[2:])
        return Built(every=Every.MINUTES, step=step) if step in MINUTE_STEPS else None
    if not minute.isdigit():
        return None
    at = int(minute)
    if anyday and hour == "*":
        return Built(every=Every.HOUR, minute=at)
    if anyday and hour.startswith("*/"):
        return Built(every=Every.HOURS, minute=at, step=int(hour[2:])) if int(hour[2:]) in HOUR_STEPS else None
    if not hour.isdigit():
        return None
    if anyday:
        return Built(every=Every.DAY, minute=at, hour=int(hour))
    if weekday == "*" and day.isdigit():
        return Built(every=Every.MONTH, minute=at, hour=int(hour), day=int(day))
    days = _days_of_field(weekday) if day == "*" else None
    return Built(every=Every.WEEK, minute=at, hour=int(hour), days=days) if days else None


_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _days_of_field(field: str) -> tuple[int, ...] | None:
    """The days of the week in a list of numbers, names and ranges; None for anything else."""
    found: set[int] = set()
    for term in field.lower().split(","):
        match = re.fullmatch(r"([0-7]|[a-z]{3})(?:-([0-7]|[a-z]{3}))?", term)
        ends = (
            [_NAMES.index(one) if one in _NAMES else int(one) if one.isdigit() else -1 for one in match.groups() if one] if match else [-1]
        )
        if -1 in ends:
            return None
        found |= {day % 7 for day in range(ends[0], ends[-1] + 1)}
    return tuple(sorted(found)) or None


def _days_as_field(days: Sequence[int]) -> str:
    """Neighbours as a range: 1,2,3,4,5 → 1-5."""
    chosen = sorted(set(days))
    run = len(chosen) > 2 and chosen == list(range(chosen[0], chosen[-1] + 1))
    return f"{chosen[0]}-{chosen[-1]}" if run and len(chosen) < 7 else "*" if len(chosen) == 7 else ",".join(map(str, chosen))


def _whole(text: str, lowest: int, highest: int, otherwise: int) -> int:
    return int(text) if text.isdigit() and text.isascii() and len(text) < 4 and lowest <= int(text) <= highest else otherwise

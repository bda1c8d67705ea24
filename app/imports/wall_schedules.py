"""Schedules of jobs from sets of numbers: hours, minutes and seconds on days that match all of months, days of the month and weekdays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.triggers.recurrence import MOST_TIMES, WEEKDAYS
from app.zones import zone as zone_of

MONTHS, WEEK, HOURS, SIXTY = range(1, 13), range(7), range(24), range(60)
MONTH_DAYS = range(1, 32)


class NoSchedule(ValueError):
    """Jobwright has no schedule that says the same; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WallSets:
    """Numbers that must all match. Days of the month may be negative: -1 is the last one. Weekdays are numbers from 0, which is Sunday.
    None for years means all years."""

    hours: Collection[int] = HOURS
    minutes: Collection[int] = SIXTY
    seconds: Collection[int] = (0,)
    months: Collection[int] = MONTHS
    month_days: Collection[int] = MONTH_DAYS
    weekdays: Collection[int] = WEEK
    years: Collection[int] | None = None

    def schedule(self, timezone: str) -> dict[str, Any]:
        """Returns the schedule of a job: a cron expression, or a calendar rule if that is needed. Raises NoSchedule."""
        if not all((self.hours, self.minutes, self.seconds, self.months, self.month_days, self.weekdays)):
            raise NoSchedule("no time matches")
        any_day, any_weekday = set(self.month_days) >= set(MONTH_DAYS), set(self.weekdays) >= set(WEEK)
        if (any_day or any_weekday) and min(self.month_days) > 0:
            body = {"type": "cron", "expression": self._expression()}
        else:
            body = {"type": "calendar", "rule": self._rule(any_day, any_weekday)}
        return {**body, "timezone": timezone, **self._limits(timezone)}

    def _expression(self) -> str:
        fields = [
            spelled(self.minutes, SIXTY),
            spelled(self.hours, HOURS),
            spelled(self.month_days, MONTH_DAYS),
            spelled(self.months, MONTHS),
            spelled(self.weekdays, WEEK),
        ]
        return " ".join(fields if set(self.seconds) == {0} else [spelled(self.seconds, SIXTY), *fields])

    def _rule(self, any_day: bool, any_weekday: bool) -> str:
        times = len(set(self.hours)) * len(set(self.minutes)) * len(set(self.seconds))
        if times > MOST_TIMES:
            raise NoSchedule(f"a calendar rule has at most {MOST_TIMES} times a day, and this has {times}")
        parts = ["FREQ=MONTHLY"]
        if set(self.months) != set(MONTHS):
            parts.append(f"BYMONTH={_joined(sorted(self.months))}")
        if not any_day:
            parts.append(f"BYMONTHDAY={_joined(sorted(self.month_days))}")
        if not any_weekday:
            parts.append(f"BYDAY={','.join(WEEKDAYS[(number - 1) % 7] for number in sorted(self.weekdays, key=lambda day: (day - 1) % 7))}")
        parts += [f"BYHOUR={_joined(sorted(self.hours))}", f"BYMINUTE={_joined(sorted(self.minutes))}"]
        if set(self.seconds) != {0}:
            parts.append(f"BYSECOND={_joined(sorted(self.seconds))}")
        return ";".join(parts)

    def _limits(self, timezone: str) -> dict[str, str]:
        return year_limits(sorted(set(self.years)), timezone) if self.years is not None else {}


def year_limits(years: Sequence[int], timezone: str) -> dict[str, str]:
    """Returns the start and the end of a schedule for ascending years. Raises NoSchedule if they do not follow each other."""
    if list(years) != list(range(years[0], years[-1] + 1)):
        raise NoSchedule("its years do not follow each other, and a schedule has one start and one end")
    zone = zone_of(timezone)
    begin, end = (datetime(year, 1, 1, tzinfo=zone).astimezone(UTC).isoformat() for year in (years[0], years[-1] + 1))
    return {"start_at": begin, "end_at": end}


def spelled(numbers: Collection[int], known: range) -> str:
    """Returns numbers as a field of cron: `*`, a step, or a list of numbers and ranges."""
    chosen = sorted(set(numbers))
    if chosen == list(known):
        return "*"
    if len(chosen) > 2 and known[0] == chosen[0]:
        step = chosen[1] - chosen[0]
        if chosen == list(known[::step]):
            return f"*/{step}"
    terms: list[str] = []
    while chosen:
        length = next((place for place, number in enumerate(chosen) if number != chosen[0] + place), len(chosen))
        length = length if length > 2 else 1
        terms.append(str(chosen[0]) if length == 1 else f"{chosen[0]}-{chosen[length - 1]}")
        chosen = chosen[length:]
    return ",".join(terms)


def _joined(numbers: Collection[int]) -> str:
    return ",".join(map(str, numbers))

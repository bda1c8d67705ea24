"""The times at which an entry of another scheduler fires, and the comparison with the times of the job that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from app.imports.cron_fields import CronFields
from app.triggers import Trigger, trigger_from
from app.zones import zone as zone_of

COUNT = 200  # times that are compared from now on
HORIZON = timedelta(days=3 * 366)  # further than that nothing is compared
CHANGES = 2  # clock changes around which all times are compared
AROUND = timedelta(hours=6)  # before and after a clock change
LARGEST_SHIFT = timedelta(hours=2)  # of a clock change: that of Antarctica/Troll
# cron(8): a clock change of three hours or more is a correction of the clock, and nothing is made up for.
LARGEST_GAP = timedelta(hours=3)

Times = Callable[[datetime, datetime], Iterator[datetime]]  # the times of (after, until], ascending


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two schedules compare. `wrong` is the first time that only one of them has; `theirs` says that it is the old scheduler.
    `at_changes` means that all such times lie in an hour that a clock change skips or repeats."""

    compared: int
    first: datetime | None
    wrong: datetime | None = None
    theirs: bool = False
    at_changes: bool = False

    @property
    def equal(self) -> bool:
        return self.wrong is None


def compare(theirs: Times, ours: Times, timezone: str, now: datetime) -> Comparison:
    """Compares the next COUNT times, and all times around the next CHANGES clock changes of the time zone."""
    until = now + HORIZON
    expected, actual = list(islice(theirs(now, until), COUNT)), list(islice(ours(now, until), COUNT))
    compared, first = len(expected), expected[0] if expected else None
    wrong = _first_difference(expected, actual)
    differences = _differences(expected, actual)
    for change in clock_changes(timezone, now):
        begin, end = change - AROUND, change + AROUND
        near, ours_near = list(theirs(begin, end)), list(ours(begin, end))
        compared += len(near)
        wrong = wrong or _first_difference(near, ours_near)
        differences |= set(near) ^ set(ours_near)
    if wrong is None:
        return Comparison(compared=compared, first=first)
    zone = zone_of(timezone)
    at_changes = bool(differences) and all(_is_at_change(zone, moment) for moment in differences)
    return Comparison(compared=compared, first=first, wrong=wrong[0], theirs=wrong[1], at_changes=at_changes)


def _differences(expected: list[datetime], actual: list[datetime]) -> set[datetime]:
    """The times that only one of two lists has. Where both were cut off after COUNT times, the longer span of one says nothing."""
    ends = [times[-1] for times in (expected, actual) if len(times) == COUNT]
    end = min(ends, default=None)
    return {moment for moment in set(expected) ^ set(actual) if end is None or moment <= end}


def _is_at_change(zone: ZoneInfo, moment: datetime) -> bool:
    """Whether a clock change skips or repeats the hour around a time."""
    return _offset(zone, moment - LARGEST_SHIFT) != _offset(zone, moment + LARGEST_SHIFT)


def _first_difference(expected: list[datetime], actual: list[datetime]) -> tuple[datetime, bool] | None:
    if expected == actual:
        return None
    for left, right in zip(expected, actual, strict=False):
        if left != right:
            return min(left, right), left < right
    rest = expected[len(actual) :] or actual[len(expected) :]
    return rest[0], len(expected) > len(actual)


@lru_cache(maxsize=64)
def clock_changes(timezone: str, now: datetime, count: int = CHANGES) -> tuple[datetime, ...]:
    """Returns the next clock changes of a time zone within 400 days, to the minute."""
    zone, changes = zone_of(timezone), []
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(400):
        after = day + timedelta(days=1)
        if _offset(zone, day) != _offset(zone, after):
            changes.append(_change_between(zone, day, after))
            if len(changes) == count:
                break
        day = after
    return tuple(changes)


def trigger_of(schedule: Mapping[str, Any]) -> Trigger:
    """Returns the trigger of the schedule of a job as a plan has it: its times are texts."""
    texts = {name: datetime.fromisoformat(schedule[name]) for name in ("start_at", "end_at", "run_at") if schedule.get(name)}
    return trigger_from({**schedule, **texts})


def trigger_times(trigger: Trigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """The due times of a job in (after, until]."""
    for moment in trigger.iter_after(after):
        if moment > until:
            return
        yield moment


def cron_times(fields: CronFields, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of a crontab line in (after, until], as Debian's cron starts it (cron(8)).

    Each wall time of a matching day is looked up in the time zone:

    1. A wall time that exists once fires once.
    2. One that exists twice fires twice if the line follows the clock, and otherwise the first time only.
    3. One that does not exist fires when the gap ends, unless the line follows the clock.
    """
    zone = zone_of(timezone)
    day = after.astimezone(zone).date() - timedelta(days=1)
    last = until.astimezone(zone).date()
    walls = sorted((hour, minute) for hour in fields.hours for minute in fields.minutes)
    previous = after
    while day <= last:
        if fields.matches_day(day):
            at = [datetime(day.year, day.month, day.day, hour, minute) for hour, minute in walls]  # noqa: DTZ001 - wall time
            times = {time for wall in at for time in _instants(zone, wall, fields.follows_clock)}
            for time in sorted(times):
                if previous < time <= until:
                    yield time
                    previous = time
        day += timedelta(days=1)


def _instants(zone: ZoneInfo, wall: datetime, follows_clock: bool) -> list[datetime]:
    early, late = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return [early.astimezone(UTC)]
    shift = (late.utcoffset() or timedelta(0)) - (early.utcoffset() or timedelta(0))
    if shift < timedelta(0):  # the wall time comes twice
        both = [early.astimezone(UTC), late.astimezone(UTC)]
        return both if follows_clock or -shift >= LARGEST_GAP else both[:1]
    if follows_clock or shift >= LARGEST_GAP:
        return []
    moment = early.astimezone(UTC)
    return [_change_between(zone, moment - shift - timedelta(minutes=1), moment)]


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Returns the first minute in (low, high] that has another offset than `low`."""
    offset = _offset(zone, low)
    while high - low > timedelta(minutes=1):
        middle = low + timedelta(minutes=int((high - low) / timedelta(minutes=2)))
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)

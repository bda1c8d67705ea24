"""Counts the due times of many triggers, hour by hour. All functions are pure.

Asking each trigger for each of its due times would take seconds for some ten thousand jobs. But the due times of most triggers depend on
the date alone (Trigger.day_pattern). So the triggers of one time zone are added up to one table per day:

1. The patterns that come on all days are added up once; the others are added to the days on which they come.
2. A table counts by quarters of an hour of its own zone, as every zone is whole quarters of an hour away from every other. Each quarter is
   then added to the hour of the viewer's zone in which it lies.
3. The triggers themselves are asked where a table would be wrong or there is none: on days with a clock change, at the two ends of the span
   where a day is not whole, and for triggers without a day pattern.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from app.instants import INSTANT, dates, day_after, in_zone, shifted
from app.instants import midnight as midnight_of
from app.jobs.records import SharedSchedule
from app.triggers import Trigger
from app.triggers.base import DayPattern
from app.triggers.clock_changes import clock_change
from app.zones import zone as zone_of

MOST_NAMES = 4  # of an hour
MOST_TIMES = 480  # due times of a span that are listed one by one; more are counted by quarters of an hour
MOST_LISTED_A_DAY = 48  # due times of a day that are listed one by one; more are counted by quarters of an hour
RARE = 2  # due times a day: a job that is due more often is counted and not named
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER_SECONDS = 900


@dataclass(frozen=True, slots=True, order=True)
class NamedDueTime:
    """A due time of a job that is due so rarely that a calendar names it."""

    at: datetime
    name: str
    job_id: str


@dataclass(frozen=True, slots=True)
class DueInHour:
    """How many due times an hour has, and the first of those that are named."""

    count: int
    named: tuple[NamedDueTime, ...]


@dataclass(frozen=True, slots=True)
class DueTimes:
    """How many due times a span has, and when they are: `spans` has (due time, zero) for each. If there are more than MOST_TIMES, it has
    (beginning, length) of each quarter of an hour with due times instead."""

    count: int
    spans: tuple[tuple[datetime, timedelta], ...]


class DueByHour:
    """Adds up due times by the hours of a time zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._counts: Counter[datetime] = Counter()
        self._named: defaultdict[datetime, list[NamedDueTime]] = defaultdict(list)

    def add(self, at: datetime, count: int, named: Iterable[NamedDueTime] = ()) -> None:
        """`count` due times in the hour of `at`, of which some are named."""
        hour = in_zone(at, self._zone).replace(minute=0, second=0, microsecond=0)
        self._counts[hour] += count
        self._named[hour].extend(named)

    def hours(self) -> dict[datetime, DueInHour]:
        """The hours that have due times, by their beginning."""
        return {
            hour: DueInHour(count, tuple(sorted(self._named.get(hour, ()))[:MOST_NAMES])) for hour, count in self._counts.items() if count
        }


def due_by_hour(plans: Iterable[SharedSchedule], begin: datetime, end: datetime, zone: ZoneInfo) -> Mapping[datetime, DueInHour]:
    """The due times of [begin, end) by the hours of `zone`; hours without any are left out."""
    hours = DueByHour(zone)
    by_zone: defaultdict[str, list[tuple[SharedSchedule, DayPattern]]] = defaultdict(list)
    for plan in plans:
        pattern = plan.trigger.day_pattern()
        if pattern is None:
            _ask(plan, begin, end, hours)
        else:
            by_zone[plan.trigger.timezone].append((plan, pattern))
    for name, patterns in by_zone.items():
        own_zone = zone_of(name)
        days = [day for day in _whole_days(begin, end, own_zone) if not _has_clock_change(name, day)]
        for day, table in _tables(patterns, days).items():
            table.add_to(hours, midnight_of(day, own_zone))
        for first, last in _gaps(begin, end, days, own_zone):
            for plan, _ in patterns:
                _ask(plan, first, last, hours)
    return hours.hours()


def due_times(trigger: Trigger, begin: datetime, end: datetime) -> DueTimes:
    """When a trigger is due in [begin, end)."""
    count = count_between(trigger, begin, end)
    if count <= MOST_TIMES:
        return DueTimes(count, tuple((at, timedelta()) for at in list_between(trigger, begin, end)))
    return DueTimes(count, tuple((at, length) for at, length, due in _by_quarter(trigger, begin, end) if due))


def count_between(trigger: Trigger, begin: datetime, end: datetime) -> int:
    """How many due times lie in [begin, end)."""
    return trigger.count(shifted(begin, -INSTANT), shifted(end, -INSTANT))


def list_between(trigger: Trigger, begin: datetime, end: datetime) -> Iterator[datetime]:
    """As Trigger.between, but faster if the trigger has a day pattern and no clock changes on the days of the span."""
    pattern = trigger.day_pattern()
    parts = _parts_of_days(trigger.timezone, begin, end) if pattern is not None else None
    if pattern is None or parts is None:
        yield from trigger.between(begin, end)
        return
    for part in parts:
        if pattern.matches_day(part.day):
            seconds = pattern.times[bisect_left(pattern.times, part.first_second) : bisect_left(pattern.times, part.end_second)]
            yield from (part.midnight + timedelta(seconds=second) for second in seconds)


# -- tables of days -----------------------------------------------------------------------------------------------------


@dataclass
class _DayTable:
    """The due times of one day of a zone, by the number of the quarter of an hour. Names are (second of the day, name, job id)."""

    counts: Counter[int] = field(default_factory=Counter)
    named: defaultdict[int, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, times: Sequence[int], plan: SharedSchedule) -> None:
        """The due times of a plan, in seconds after midnight."""
        for second in times:
            self.counts[second // QUARTER_SECONDS] += plan.jobs
        if len(times) <= RARE:
            for second in times:
                self.named[second // QUARTER_SECONDS] += [(second, name, job_id) for job_id, name in plan.first[:MOST_NAMES]]

    def add_to(self, hours: DueByHour, midnight: datetime) -> None:
        """Add the table to the hours of a viewer. `midnight` is the beginning of a day without a clock change."""
        for quarter, count in self.counts.items():
            names = sorted(self.named[quarter])[:MOST_NAMES] if quarter in self.named else []
            named = [NamedDueTime(midnight + timedelta(seconds=second), name, job_id) for second, name, job_id in names]
            hours.add(midnight + timedelta(seconds=quarter * QUARTER_SECONDS), count, named)


def _tables(patterns: Iterable[tuple[SharedSchedule, DayPattern]], days: Sequence[date]) -> Mapping[date, _DayTable]:
    """The table of each day."""
    all_days, tables = _DayTable(), defaultdict[date, _DayTable](_DayTable)
    for plan, pattern in patterns:
        if pattern.every_day:
            all_days.add(pattern.times, plan)
            continue
        for day in days:
            if pattern.matches_day(day):
                tables[day].add(pattern.times, plan)
    for quarter, names in all_days.named.items():
        all_days.named[quarter] = sorted(names)[:MOST_NAMES]
    for day in days:
        tables[day].counts.update(all_days.counts)
        for quarter, names in all_days.named.items():
            tables[day].named[quarter] += names
    return tables


def _whole_days(begin: datetime, end: datetime, zone: ZoneInfo) -> list[date]:
    """The days of a zone that lie in [begin, end) as a whole."""
    first, days = in_zone(begin, zone).date(), []
    for number in range((end - begin).days + 3):
        day = day_after(first, number)
        if midnight_of(day, zone) >= begin and midnight_of(day_after(day), zone) <= end:
            days.append(day)
    return days


def _gaps(begin: datetime, end: datetime, days: Sequence[date], zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The parts of [begin, end) that lie outside `days`."""
    for day in days:
        midnight = midnight_of(day, zone)
        if midnight > begin:
            yield begin, midnight
        begin = midnight_of(day_after(day), zone)
    if begin < end:
        yield begin, end


@dataclass(frozen=True, slots=True)
class _PartOfDay:
    """The seconds [first_second, end_second) of a day; they may lie outside it. `midnight` is the beginning of the day, in UTC."""

    day: date
    midnight: datetime
    first_second: float
    end_second: float


@lru_cache(maxsize=256)
def _parts_of_days(timezone: str, begin: datetime, end: datetime) -> tuple[_PartOfDay, ...] | None:
    """What [begin, end) has of each day of a zone; None if a clock changes on one of the days."""
    zone, parts = zone_of(timezone), []
    for day in dates(in_zone(begin, zone).date(), in_zone(shifted(end, -INSTANT), zone).date()):
        if _has_clock_change(timezone, day):
            return None
        midnight = midnight_of(day, zone)
        parts.append(_PartOfDay(day, midnight, (begin - midnight).total_seconds(), (end - midnight).total_seconds()))
    return tuple(parts)


@cache
def _has_clock_change(timezone: str, day: date) -> bool:
    return clock_change(datetime.combine(day, time(12), zone_of(timezone)), timezone) != timedelta(0)


# -- asking the trigger -------------------------------------------------------------------------------------------------


def _ask(plan: SharedSchedule, begin: datetime, end: datetime, hours: DueByHour) -> None:
    """Add the due times of [begin, end) by asking the trigger, day by day: for each due time, or for the counts of quarters of an hour."""
    while begin < end:
        until = min(shifted(begin, DAY), end)
        count = count_between(plan.trigger, begin, until)
        if 0 < count <= MOST_LISTED_A_DAY:
            first = plan.first[:MOST_NAMES] if count <= RARE and _is_rare(plan.trigger, begin) else ()
            for at in plan.trigger.between(begin, until):
                hours.add(at, plan.jobs, [NamedDueTime(at, name, job_id) for job_id, name in first])
        elif count:
            for at, _, due in _by_quarter(plan.trigger, begin, until):
                hours.add(at, plan.jobs * due)
        begin = until


def _is_rare(trigger: Trigger, moment: datetime) -> bool:
    """True if the trigger is due so rarely on the whole day of `moment`, in its own zone, that its jobs are named: the rest of a day, or
    a day with a clock change, follows the same rule as every other day."""
    zone = zone_of(trigger.timezone)
    day = in_zone(moment, zone).date()
    return count_between(trigger, midnight_of(day, zone), midnight_of(day_after(day), zone)) <= RARE


def _by_quarter(trigger: Trigger, begin: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta, int]]:
    """(beginning, length, number of due times) of each quarter of an hour of [begin, end); the first and the last may be shorter."""
    while begin < end:
        close = min(begin.replace(minute=begin.minute // 15 * 15, second=0, microsecond=0) + HOUR / 4, end)
        yield begin, close - begin, count_between(trigger, begin, close)
        begin = close

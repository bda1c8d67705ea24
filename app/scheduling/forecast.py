"""What is due when: all schedules of the registry together, so that a calendar shows it and a new job finds a free minute."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import islice
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.instants import dates, day_after, in_zone, shifted
from app.instants import midnight as midnight_of
from app.jobs.list_store import ListStore
from app.jobs.model import Schedule, ScheduleType
from app.jobs.records import SharedSchedule
from app.jobs.registry_store import RegistryStore
from app.scheduling.cron import Compiled, check_expression, parts_of
from app.scheduling.plan import anchored
from app.scheduling.triggers import Triggers, clock_change
from app.zones import zone as zone_of

REMEMBERED_SECONDS = 60.0  # a forecast may be so old
MOST_REMEMBERED = 64
MOST_NAMES = 4  # of an hour
MOST_TIMES = 480  # of a span, that are told one by one
RARE = 2  # due times a day: what comes more often is counted and not named
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER = 900  # seconds; every zone is whole quarters of an hour from every other
_TICK = timedelta(milliseconds=1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Coming:
    """One due time that is worth a name."""

    at: datetime
    name: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Due:
    """How many due times an hour has, and the first of those that come seldom."""

    count: int
    named: tuple[Coming, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """How often something is due in a span, and when: (time, no length) of each, or where they are more than MOST_TIMES the quarters of an
    hour that have any, as (beginning, length)."""

    count: int
    spans: tuple[tuple[datetime, timedelta], ...]


@dataclass(frozen=True, slots=True)
class Rush:
    """How many others are due in the minute of an instant, and the nearest minute of the next hour that has the least; None where this
    one is among those."""

    others: int
    free: datetime | None
    others_then: int


@dataclass
class _Day:
    """What is due on a day of some zone: how often in each quarter of an hour, and the first names of each, as (second, name, id)."""

    counts: Counter[int] = field(default_factory=Counter)
    named: defaultdict[int, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, times: Sequence[int], plan: SharedSchedule) -> None:
        for second in times:
            self.counts[second // QUARTER] += plan.jobs
        if len(times) <= RARE:
            for second in times:
                self.named[second // QUARTER] += [(second, name, job_id) for job_id, name in plan.first[:MOST_NAMES]]


class Forecast:
    """Reads the schedules of all enabled jobs. Blackouts, pauses and jitter are left aside: it is about what wants to run."""

    def __init__(self, lists: ListStore, jobs: RegistryStore, triggers: Triggers, monotonic: Callable[[], float]) -> None:
        self._lists, self._jobs, self._triggers, self._monotonic = lists, jobs, triggers, monotonic
        self._kept: dict[tuple[object, ...], tuple[float, object]] = {}

    def hours(self, actor: Actor, begin: datetime, end: datetime, zone: str) -> Mapping[datetime, Due]:
        """What is due from `begin` on and before `end`, by the hour of `zone` (aware, its beginning). Hours without any are left out."""
        require(actor, May.SEE_JOBS)
        key = ("hours", actor.groups, begin.replace(second=0, microsecond=0), end, zone)
        return self._remembered(key, lambda: self._hours(actor.groups, begin, end, zone_of(zone)))

    def due_jobs(self, actor: Actor, begin: datetime, end: datetime, limit: int) -> dict[str, str]:
        """The names of jobs that are due from `begin` on and before `end`, by id: `limit` at most, in no order."""
        require(actor, May.SEE_JOBS)
        found: dict[str, str] = {}
        for plan in self._planned(actor.groups):
            if len(found) >= limit:
                break
            if self._triggers.count(plan.schedule, shifted(begin, -_TICK), shifted(end, -_TICK)):
                found |= plan.first
        return dict(islice(found.items(), limit))

    def due_times(self, actor: Actor, begin: datetime, end: datetime, job_ids: Collection[str]) -> dict[str, Times]:
        """When each of these jobs (app.jobs.list_store.MOST_NAMED at most) is due from `begin` on and before `end`; without those that are
        not."""
        require(actor, May.SEE_JOBS)
        found: dict[str, Times] = {}
        for plan in self._computable(self._lists.shared_schedules(groups=actor.groups, ids=job_ids)):
            times = self._times(_in_phase(plan).schedule, begin, end)
            if times.count:
                found |= {job_id: times for job_id, _ in plan.first}
        return found

    def rush(self, moment: datetime, *, without: str | None = None) -> Rush:
        """How crowded the minute of an instant is, without the job of that id."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        minutes = self._minutes(hour) + self._minutes(hour + HOUR)
        minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
        if without is not None and minutes[minute] and self._is_due(without, minute):
            minutes[minute] -= 1
        here = minutes[minute]
        later = [minute + timedelta(minutes=n) for n in range(1, 60)]
        best = min(later, key=lambda one: (minutes[one], one))
        return Rush(here, best if minutes[best] < here else None, minutes[best])

    # -- steps ----------------------------------------------------------------------------------------------------

    def _remembered(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        now = self._monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < REMEMBERED_SECONDS:
            return cast(T, kept[1])
        made = make()
        if len(self._kept) >= MOST_REMEMBERED:
            self._kept.clear()
        self._kept[key] = (now, made)
        return made

    def _times(self, schedule: Schedule, begin: datetime, end: datetime) -> Times:
        often = self._triggers.count(schedule, shifted(begin, -_TICK), shifted(end, -_TICK))
        if often <= MOST_TIMES:
            return Times(often, tuple((at, timedelta()) for at in self._listed(schedule, begin, end)))
        return Times(often, tuple((at, length) for at, length, count in self._by_quarter(schedule, begin, end) if count))

    def _planned(self, groups: frozenset[str] | None) -> list[SharedSchedule]:
        return self._remembered(("planned", groups), lambda: self._read_planned(groups))

    def _read_planned(self, groups: frozenset[str] | None) -> list[SharedSchedule]:
        return [_in_phase(plan) for plan in self._computable(self._lists.shared_schedules(groups=groups))]

    def _computable(self, plans: Iterable[SharedSchedule]) -> list[SharedSchedule]:
        """Those whose due times can be computed: the dispatcher says of the others that they are broken, once they are due."""
        return [plan for plan in plans if self._triggers.not_computable(plan.schedule) is None]

    def _minutes(self, begin: datetime) -> Counter[datetime]:
        """How many jobs are due in each minute of the hour (UTC) from `begin` on."""
        return self._remembered(("minutes", begin), lambda: self._count_minutes(begin))

    def _count_minutes(self, begin: datetime) -> Counter[datetime]:
        counts: Counter[datetime] = Counter()
        for plan in self._planned(None):
            for minute in {at.replace(second=0, microsecond=0) for at in self._listed(plan.schedule, begin, begin + HOUR)}:
                counts[minute] += plan.jobs
        return counts

    def _is_due(self, job_id: str, minute: datetime) -> bool:
        job = self._jobs.get(job_id)
        if job is None or not job.definition.enabled or self._triggers.not_computable(job.definition.schedule) is not None:
            return False
        schedule = job.definition.schedule
        if job.next_run_at is not None:
            schedule = anchored(schedule, job.next_run_at)
        return next(self._between(schedule, minute, minute + timedelta(minutes=1)), None) is not None

    def _between(self, schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
        for at in self._triggers.iter_after(schedule, shifted(begin, -_TICK)):
            if at >= end:
                return
            yield at

    def _hours(self, groups: frozenset[str] | None, begin: datetime, end: datetime, zone: ZoneInfo) -> dict[datetime, Due]:
        """Plain schedules are added up by the days and quarters of their own zones, and each quarter is put where it is in `zone`; for
        the others, for the ends of the span and for days on which a clock changes, the triggers are asked."""
        counts: Counter[datetime] = Counter()
        named: defaultdict[datetime, list[Coming]] = defaultdict(list)
        by_zone: defaultdict[str, list[SharedSchedule]] = defaultdict(list)
        for plan in self._planned(groups):
            if _plain(plan.schedule):
                by_zone[plan.schedule.timezone].append(plan)
            else:
                self._ask(plan, begin, end, zone, counts, named)
        for name, plans in by_zone.items():
            own = zone_of(name)
            whole = [day for day in _days(begin, end, own) if not _changes(name, day)]
            for day, found in _added_up(plans, whole).items():
                _put(found, day, own, zone, counts, named)
            for first, last in _gaps(begin, end, whole, own):
                for plan in plans:
                    self._ask(plan, first, last, zone, counts, named)
        return {hour: Due(count, tuple(sorted(named.get(hour, ()))[:MOST_NAMES])) for hour, count in counts.items() if count}

    def _ask(
        self,
        plan: SharedSchedule,
        begin: datetime,
        end: datetime,
        zone: ZoneInfo,
        counts: Counter[datetime],
        named: dict[datetime, list[Coming]],
    ) -> None:
        """The same by the triggers, a day at a time: each due time where they are few, else how many each hour has."""
        while begin < end:
            until = min(shifted(begin, DAY), end)
            often = self._triggers.count(plan.schedule, shifted(begin, -_TICK), shifted(until, -_TICK))
            if 0 < often <= 48:
                for at in self._between(plan.schedule, begin, until):
                    counts[_hour(at, zone)] += plan.jobs
                    if often <= RARE:
                        named[_hour(at, zone)] += [Coming(at, name, job_id) for job_id, name in plan.first[:MOST_NAMES]]
            elif often:
                for at, _, count in self._by_quarter(plan.schedule, begin, until):
                    counts[_hour(at, zone)] += plan.jobs * count
            begin = until

    def _listed(self, schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
        """As `_between`, read off the times of a day where the days are like others."""
        stretches = _stretches(schedule.timezone, begin, end) if _plain(schedule) else None
        if stretches is None:
            yield from self._between(schedule, begin, end)
            return
        parts = _parts(schedule)
        for day, midnight, low, high in stretches:
            if parts.matches_day(day):
                found = parts.times[bisect_left(parts.times, low) : bisect_left(parts.times, high)]
                yield from (midnight + timedelta(seconds=second) for second in found)

    def _by_quarter(self, schedule: Schedule, begin: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta, int]]:
        """How many due times the quarters of an hour have, (beginning, length, count): the first and the last within the span."""
        while begin < end:
            close = min(begin.replace(minute=begin.minute // 15 * 15, second=0, microsecond=0) + HOUR / 4, end)
            yield begin, close - begin, self._triggers.count(schedule, shifted(begin, -_TICK), shifted(close, -_TICK))
            begin = close


def _in_phase(plan: SharedSchedule) -> SharedSchedule:
    return replace(plan, schedule=anchored(plan.schedule, plan.phase)) if plan.phase is not None else plan


def _plain(schedule: Schedule) -> bool:
    """Whether it is the same for ever: a cron expression without a beginning and an end."""
    return schedule.type is ScheduleType.CRON and schedule.start_at is None and schedule.end_at is None


def _parts(schedule: Schedule) -> Compiled:
    return parts_of(check_expression(schedule.expression or ""))


def _added_up(plans: Sequence[SharedSchedule], days: Sequence[date]) -> dict[date, _Day]:
    each, some = _Day(), defaultdict[date, _Day](_Day)
    for plan in plans:
        times = _parts(plan.schedule)
        if times.every_day:
            each.add(times.times, plan)
            continue
        for day in days:
            if times.matches_day(day):
                some[day].add(times.times, plan)
    for quarter, found in each.named.items():
        each.named[quarter] = sorted(found)[:MOST_NAMES]
    for day in days:
        some[day].counts.update(each.counts)
        for quarter, found in each.named.items():
            some[day].named[quarter] += found
    return some


def _put(found: _Day, day: date, own: ZoneInfo, zone: ZoneInfo, counts: Counter[datetime], named: dict[datetime, list[Coming]]) -> None:
    midnight = midnight_of(day, own)  # no clock changes on this day
    for quarter, count in found.counts.items():
        hour = _hour(midnight + timedelta(seconds=quarter * QUARTER), zone)
        counts[hour] += count
        names = sorted(found.named[quarter])[:MOST_NAMES] if quarter in found.named else []
        named[hour] += [Coming(midnight + timedelta(seconds=second), name, job_id) for second, name, job_id in names]


def _hour(at: datetime, zone: ZoneInfo) -> datetime:
    return in_zone(at, zone).replace(minute=0, second=0, microsecond=0)


def _days(begin: datetime, end: datetime, zone: ZoneInfo) -> list[date]:
    """The days of a zone that lie in the span whole."""
    first, days = in_zone(begin, zone).date(), []
    for place in range((end - begin).days + 3):
        day = day_after(first, place)
        if midnight_of(day, zone) >= begin and midnight_of(day_after(day), zone) <= end:
            days.append(day)
    return days


def _gaps(begin: datetime, end: datetime, days: Sequence[date], zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """What is left of the span without the days."""
    for day in days:
        midnight = midnight_of(day, zone)
        if midnight > begin:
            yield begin, midnight
        begin = midnight_of(day_after(day), zone)
    if begin < end:
        yield begin, end


@cache
def _changes(timezone: str, day: date) -> bool:
    return clock_change(datetime.combine(day, time(12), zone_of(timezone)), timezone) != timedelta(0)


@lru_cache(maxsize=256)
def _stretches(timezone: str, begin: datetime, end: datetime) -> tuple[tuple[date, datetime, float, float], ...] | None:
    """The days of a zone that a span touches: (day, its midnight in UTC, from which and before which second of it); None where a clock
    changes on one of them."""
    zone, found = zone_of(timezone), []
    for day in dates(in_zone(begin, zone).date(), in_zone(shifted(end, -_TICK), zone).date()):
        if _changes(timezone, day):
            return None
        midnight = midnight_of(day, zone)
        found.append((day, midnight, (begin - midnight).total_seconds(), (end - midnight).total_seconds()))
    return tuple(found)

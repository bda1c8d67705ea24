"""What is due when: all schedules of the registry together, so that a calendar shows it and a new job finds a free minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.jobs.model import Schedule, ScheduleType
from app.jobs.store import JobStore, Planned
from app.scheduling.triggers import Triggers

REMEMBERED_SECONDS = 120.0  # a forecast may be so old
MOST_REMEMBERED = 64
MOST_NAMES = 4  # of an hour or a day
RARE = 2  # due times a day: what comes more often is counted and not named
HOURS_OF_A_DAY = 24
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Coming:
    """One due time that is worth a name."""

    at: datetime
    job_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Due:
    """How many due times an hour has, and the first of those that come seldom."""

    count: int
    named: tuple[Coming, ...]


@dataclass(frozen=True, slots=True)
class Rush:
    """How many others are due in the minute of an instant, and the nearest minute of the next hour that has the least; None where this
    one is among those."""

    others: int
    free: datetime | None
    others_then: int


class Forecast:
    """Reads the schedules of all enabled jobs. Blackouts, pauses and jitter are left aside: it is about what wants to run."""

    def __init__(self, jobs: JobStore, triggers: Triggers, monotonic: Callable[[], float]) -> None:
        self._jobs, self._triggers, self._monotonic = jobs, triggers, monotonic
        self._kept: dict[tuple[object, ...], tuple[float, object]] = {}

    def hours(self, actor: Actor, begin: datetime, end: datetime, zone: str) -> Mapping[datetime, Due]:
        """What is due from `begin` on and before `end`, by the hour of `zone` (aware, its beginning). Hours without any are left out."""
        require(actor, May.SEE_JOBS)
        key = ("hours", actor.groups, begin.replace(second=0, microsecond=0), end, zone)
        found = self._remembered(key, lambda: self._hours(actor.groups, begin, end, ZoneInfo(zone)))
        assert isinstance(found, dict)  # noqa: S101 - what was kept under this key
        return found

    def rush(self, moment: datetime, *, without: str | None = None) -> Rush:
        """How crowded the minute of an instant is, without the job of that id."""
        hour = moment.replace(minute=0, second=0, microsecond=0)
        minutes: Counter[datetime] = Counter()
        for begin in (hour, hour + HOUR):
            minutes += self._minutes(begin)
        minute = moment.replace(second=0, microsecond=0)
        if without is not None and minutes[minute] and self._is_due(without, minute):
            minutes[minute] -= 1
        here = minutes[minute]
        later = [minute + timedelta(minutes=n) for n in range(1, 60)]
        best = min(later, key=lambda one: (minutes[one], one))
        return Rush(here, best if minutes[best] < here else None, minutes[best])

    # -- steps ----------------------------------------------------------------------------------------------------

    def _remembered(self, key: tuple[object, ...], make: Callable[[], object]) -> object:
        now = self._monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < REMEMBERED_SECONDS:
            return kept[1]
        made = make()
        if len(self._kept) >= MOST_REMEMBERED:
            self._kept.clear()
        self._kept[key] = (now, made)
        return made

    def _planned(self, groups: frozenset[str] | None) -> list[Planned]:
        found = self._remembered(("planned", groups), lambda: self._jobs.planned(groups=groups))
        assert isinstance(found, list)  # noqa: S101 - what was kept under this key
        return found

    def _minutes(self, begin: datetime) -> Counter[datetime]:
        """How many jobs are due in each minute of the hour from `begin` on."""
        found = self._remembered(("minutes", begin), lambda: self._count_minutes(begin))
        assert isinstance(found, Counter)  # noqa: S101 - what was kept under this key
        return found

    def _count_minutes(self, begin: datetime) -> Counter[datetime]:
        counts: Counter[datetime] = Counter()
        for plan in self._planned(None):
            for minute in {at.replace(second=0, microsecond=0) for at in self._between(plan.schedule, begin, begin + HOUR)}:
                counts[minute] += plan.jobs
        return counts

    def _is_due(self, job_id: str, minute: datetime) -> bool:
        job = self._jobs.get(job_id)
        if job is None or not job.definition.enabled:
            return False
        schedule = _anchored(job.definition.schedule, job.next_run_at)
        return next(self._between(schedule, minute, minute + timedelta(minutes=1)), None) is not None

    def _between(self, schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
        for at in self._triggers.iter_after(schedule, begin - timedelta(milliseconds=1)):
            if at >= end:
                return
            yield at

    def _hours(self, groups: frozenset[str] | None, begin: datetime, end: datetime, zone: ZoneInfo) -> dict[datetime, Due]:
        counts: Counter[datetime] = Counter()
        named: dict[datetime, list[Coming]] = {}
        for plan in self._planned(groups):
            for day, until in _days(begin, end):
                often = self._triggers.count(plan.schedule, day - timedelta(milliseconds=1), until - timedelta(milliseconds=1))
                if often == 0:
                    continue
                for hour, count in self._by_hour(plan.schedule, day, until, zone, often):
                    counts[hour] += count * plan.jobs
                if often <= RARE:
                    for at in self._between(plan.schedule, day, until):
                        list_of = named.setdefault(_hour(at, zone), [])
                        list_of += [Coming(at, job_id, name) for job_id, name in plan.first]
        return {
            hour: Due(count, tuple(sorted(named.get(hour, ()), key=lambda one: (one.at, one.name))[:MOST_NAMES]))
            for hour, count in counts.items()
        }  # fmt: skip

    def _by_hour(self, schedule: Schedule, begin: datetime, end: datetime, zone: ZoneInfo, often: int) -> Iterator[tuple[datetime, int]]:
        """Each due time where they are few; where they are many, how many each hour has."""
        if often <= HOURS_OF_A_DAY * 2:
            yield from Counter(_hour(at, zone) for at in self._between(schedule, begin, end)).items()
            return
        at = begin
        while at < end:
            close = min(at.replace(minute=0, second=0, microsecond=0) + HOUR, end)
            count = self._triggers.count(schedule, at - timedelta(milliseconds=1), close - timedelta(milliseconds=1))
            if count:
                yield _hour(at, zone), count
            at = close


def _hour(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(minute=0, second=0, microsecond=0)


def _days(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The span in pieces of at most a day."""
    while begin < end:
        yield begin, min(begin + DAY, end)
        begin += DAY


def _anchored(schedule: Schedule, next_run_at: datetime | None) -> Schedule:
    """An interval without a beginning is in the phase of its next due time."""
    free = schedule.type is ScheduleType.INTERVAL and schedule.start_at is None and next_run_at is not None
    return replace(schedule, start_at=next_run_at) if free else schedule

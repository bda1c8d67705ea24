"""What is due when: the schedules of all jobs together, so that a calendar shows them and a new job finds a free minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar, cast

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.jobs.list_store import ListStore
from app.jobs.records import SharedSchedule
from app.jobs.registry_store import RegistryStore
from app.scheduling.day_table import HOUR, DueInHour, DueTimes, count_between, due_by_hour, due_times, list_between
from app.zones import zone as zone_of

REMEMBERED_SECONDS = 60.0  # how old an answer may be
MOST_REMEMBERED = 64  # answers
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rush:
    """How many other jobs are due in the minute of an instant. `free` is the nearest later minute within an hour that has the fewest,
    `others_then`; None if no minute has fewer."""

    others: int
    free: datetime | None
    others_then: int


class Forecast:
    """Answers from the schedules of all enabled jobs. It ignores blackouts, pauses and jitter: it tells when jobs want to run."""

    def __init__(self, lists: ListStore, jobs: RegistryStore, monotonic: Callable[[], float]) -> None:
        self._lists, self._jobs, self._monotonic = lists, jobs, monotonic
        self._answers: dict[tuple[object, ...], tuple[float, object]] = {}

    def hours(self, actor: Actor, begin: datetime, end: datetime, zone: str) -> Mapping[datetime, DueInHour]:
        """What is due in [begin, end), by the hours of `zone` (aware, their beginnings). Hours without any due time are left out."""
        require(actor, May.SEE_JOBS)
        key = ("hours", actor.groups, begin.replace(second=0, microsecond=0), end, zone)
        return self._remembered(key, lambda: due_by_hour(self._planned(actor.groups), begin, end, zone_of(zone)))

    def due_jobs(self, actor: Actor, begin: datetime, end: datetime, limit: int) -> dict[str, str]:
        """The names of at most `limit` jobs that are due in [begin, end), by id, in no order."""
        require(actor, May.SEE_JOBS)
        names: dict[str, str] = {}
        for plan in self._planned(actor.groups):
            if len(names) >= limit:
                break
            if count_between(plan.trigger, begin, end):
                names |= plan.first
        return dict(islice(names.items(), limit))

    def due_times(self, actor: Actor, begin: datetime, end: datetime, job_ids: Collection[str]) -> dict[str, DueTimes]:
        """When each of these jobs (at most MOST_NAMED) is due in [begin, end). Jobs that are not due are left out."""
        require(actor, May.SEE_JOBS)
        by_job: dict[str, DueTimes] = {}
        for plan in self._read_planned(actor.groups, job_ids):
            times = due_times(plan.trigger, begin, end)
            if times.count:
                by_job |= {job_id: times for job_id, _ in plan.first}
        return by_job

    def rush(self, moment: datetime, *, without: str | None = None) -> Rush:
        """How crowded the minute of an instant is, not counting the job with the id `without`."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        minutes = self._jobs_by_minute(hour) + self._jobs_by_minute(hour + HOUR)
        minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
        if without is not None and minutes[minute] and self._is_due(without, minute):
            minutes[minute] -= 1
        others = minutes[minute]
        later = [minute + timedelta(minutes=number) for number in range(1, 60)]
        best = min(later, key=lambda each: (minutes[each], each))
        return Rush(others, best if minutes[best] < others else None, minutes[best])

    # -- steps ----------------------------------------------------------------------------------------------------

    def _remembered(self, key: tuple[object, ...], compute: Callable[[], T]) -> T:
        now = self._monotonic()
        before = self._answers.get(key)
        if before is not None and now - before[0] < REMEMBERED_SECONDS:
            return cast(T, before[1])
        answer = compute()
        if len(self._answers) >= MOST_REMEMBERED:
            self._answers.clear()
        self._answers[key] = (now, answer)
        return answer

    def _planned(self, groups: frozenset[str] | None) -> list[SharedSchedule]:
        return self._remembered(("planned", groups), lambda: self._read_planned(groups))

    def _read_planned(self, groups: frozenset[str] | None, job_ids: Collection[str] | None = None) -> list[SharedSchedule]:
        """Triggers that cannot be computed are left out: the dispatcher marks their jobs as broken when they are due."""
        plans = self._lists.shared_schedules(groups=groups, ids=job_ids)
        return [_in_phase(plan) for plan in plans if plan.trigger.not_computable() is None]

    def _jobs_by_minute(self, begin: datetime) -> Counter[datetime]:
        """How many jobs are due in each minute of the hour (UTC) that begins at `begin`."""
        return self._remembered(("minutes", begin), lambda: self._count_by_minute(begin))

    def _count_by_minute(self, begin: datetime) -> Counter[datetime]:
        counts: Counter[datetime] = Counter()
        for plan in self._planned(None):
            for minute in {at.replace(second=0, microsecond=0) for at in list_between(plan.trigger, begin, begin + HOUR)}:
                counts[minute] += plan.jobs
        return counts

    def _is_due(self, job_id: str, minute: datetime) -> bool:
        job = self._jobs.get(job_id)
        if job is None or not job.definition.enabled:
            return False
        trigger = job.definition.schedule.trigger
        if trigger.not_computable() is not None:
            return False
        if job.next_run_at is not None:
            trigger = trigger.anchored(job.next_run_at)
        return next(trigger.between(minute, minute + timedelta(minutes=1)), None) is not None


def _in_phase(plan: SharedSchedule) -> SharedSchedule:
    return plan if plan.phase is None else replace(plan, trigger=plan.trigger.anchored(plan.phase))

"""What each due time becomes: a pure decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from app.jobs.model import Misfire, MisfirePolicy, Pause, Schedule, ScheduleType
from app.scheduling.triggers import Triggers

# More due times than this within the grace are planned in several steps, so that no step grows without bound.
MOST_RUNS_A_STEP = 500
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Due times that nobody started and that share one record, however many they are; `first` and `last` included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class DuePlan:
    """`runs` become executions; `late` of them are caught up and wait for each other; `next_run_at` is the job's next due time."""

    runs: tuple[datetime, ...]
    late: frozenset[datetime]
    missed: Span | None
    next_run_at: datetime | None


def plan_due(schedule: Schedule, first_due: datetime, now: datetime, *, misfire: Misfire, triggers: Triggers) -> DuePlan:
    """What becomes of the due times from `first_due` to `now`, both included. Needs `first_due <= now`.

    A due time up to `grace_seconds` late is in time and runs. Of the later ones the policy says: `skip`: all are missed;
    `once`: the latest runs, unless one in time follows anyway; `all`: the latest `max_catch_up` run.
    With a minutely job, a grace of 300 s, an outage of an hour and `once`: the 6 of the last 300 s run, 54 are missed.
    """
    schedule = _anchored(schedule, first_due)
    before = first_due - _TICK
    boundary = _boundary(first_due, now, misfire)
    in_time = list(islice(takewhile(lambda due: due <= now, triggers.iter_after(schedule, boundary)), MOST_RUNS_A_STEP))
    late_count = triggers.count(schedule, before, boundary)
    wanted = {MisfirePolicy.SKIP: 0, MisfirePolicy.ONCE: 0 if in_time else 1, MisfirePolicy.ALL: misfire.max_catch_up}[misfire.policy]
    late = triggers.latest(schedule, before, boundary, min(wanted, late_count))
    missed = None
    if late_count > len(late):
        last = triggers.latest(schedule, before, late[0] - _TICK if late else boundary, 1)[0]
        missed = Span(first_due, last, late_count - len(late))
    reached = max([first_due, boundary, *in_time[-1:]])
    return DuePlan((*late, *in_time), frozenset(late), missed, triggers.next_after(schedule, reached))


def plan_end(
    schedule: Schedule, first_due: datetime, now: datetime, *, misfire: Misfire, triggers: Triggers
) -> tuple[Span | None, Span | None]:
    """What was due from `first_due` to `now` of a schedule that holds no more: what is too late to run, and what was in time."""
    schedule, boundary = _anchored(schedule, first_due), _boundary(first_due, now, misfire)
    return _span(schedule, first_due - _TICK, boundary, triggers), _span(schedule, boundary, now, triggers)


def plan_pause(schedule: Schedule, pause: Pause, end: datetime, *, triggers: Triggers) -> tuple[Span | None, datetime | None]:
    """What a pause that ends at `end` (exclusive) let go by, and the first due time after it."""
    schedule = _anchored(schedule, pause.since_due)
    return (
        _span(schedule, pause.since_due - _TICK, end - _TICK, triggers),
        triggers.next_after(schedule, max(end, pause.since_due) - _TICK),
    )


def _span(schedule: Schedule, after: datetime, until: datetime, triggers: Triggers) -> Span | None:
    count = triggers.count(schedule, after, until) if until > after else 0
    first = triggers.next_after(schedule, after)
    return Span(first, triggers.latest(schedule, after, until, 1)[0], count) if count and first else None


def _anchored(schedule: Schedule, first_due: datetime) -> Schedule:
    """An interval without a start is in the phase of the due time that it waits for."""
    anchored = schedule.type is ScheduleType.INTERVAL and schedule.start_at is None
    return replace(schedule, start_at=first_due) if anchored else schedule


def _boundary(first_due: datetime, now: datetime, misfire: Misfire) -> datetime:
    """The instant up to which a due time is too late."""
    return max(first_due - _TICK, now - timedelta(seconds=misfire.grace_seconds) - _TICK)


def spread(job_id: str, jitter_seconds: int) -> timedelta:
    """How long after each due time the job starts: drawn once from its id, evenly over [0, `jitter_seconds`], so that jobs that are due
    together do not start together and each keeps its distance from run to run."""
    draw = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8])
    return timedelta(milliseconds=draw % (jitter_seconds * 1000 + 1))

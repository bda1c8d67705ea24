"""What each due time becomes: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from app.jobs.model import Misfire, MisfirePolicy, Schedule, ScheduleType
from app.scheduling.triggers import Triggers

# More due times than this within the grace are planned in several steps, so that no step grows without bound.
MOST_RUNS_A_STEP = 500
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Missed:
    """Due times that nobody started: one record for all of them, however long the outage was."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class DuePlan:
    """`runs` become executions; `late` of them are caught up and wait for each other; `next_run_at` is the job's next due time."""

    runs: tuple[datetime, ...]
    late: frozenset[datetime]
    missed: Missed | None
    next_run_at: datetime | None


def plan_due(schedule: Schedule, first_due: datetime, now: datetime, *, misfire: Misfire, triggers: Triggers) -> DuePlan:
    """What becomes of the due times from `first_due` to `now`, both included. Needs `first_due <= now`.

    A due time up to `grace_seconds` late is in time and runs. Of the later ones the policy says: `skip`: all are missed;
    `once`: the latest runs, unless one in time follows anyway; `all`: the latest `max_catch_up` run.
    With a minutely job, a grace of 300 s, an outage of an hour and `once`: the 6 of the last 300 s run, 54 are missed.
    """
    if schedule.type is ScheduleType.INTERVAL and schedule.start_at is None:
        schedule = replace(schedule, start_at=first_due)  # the phase that the job is in
    before = first_due - _TICK
    boundary = max(before, now - timedelta(seconds=misfire.grace_seconds) - _TICK)
    in_time = list(islice(takewhile(lambda due: due <= now, triggers.iter_after(schedule, boundary)), MOST_RUNS_A_STEP))
    late_count = triggers.count(schedule, before, boundary)
    wanted = {MisfirePolicy.SKIP: 0, MisfirePolicy.ONCE: 0 if in_time else 1, MisfirePolicy.ALL: misfire.max_catch_up}[misfire.policy]
    late = triggers.latest(schedule, before, boundary, min(wanted, late_count))
    missed = None
    if late_count > len(late):
        last = triggers.latest(schedule, before, late[0] - _TICK if late else boundary, 1)[0]
        missed = Missed(first_due, last, late_count - len(late))
    reached = max([first_due, boundary, *in_time[-1:]])
    return DuePlan((*late, *in_time), frozenset(late), missed, triggers.next_after(schedule, reached))

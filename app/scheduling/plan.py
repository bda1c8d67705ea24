"""What each due time becomes: a pure decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from app.jobs.model import Misfire, MisfirePolicy, Pause, Schedule, ScheduleType
from app.scheduling.calendars import NO_BLACKOUTS, Blackouts
from app.scheduling.triggers import Triggers

# More due times than this within the grace are planned in several steps, so that no step grows without bound.
MOST_RUNS_A_STEP = 500
MOST_LOOKED_AT = 4096  # due times, in search of one that lies in no blackout
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Due times that nobody started and that share one record, however many they are; `first` and `last` included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The due times from `since_due` on are let go by until `until`, when their calendar's blackout ends."""

    since_due: datetime
    until: datetime
    calendar: str


@dataclass(frozen=True, slots=True)
class DuePlan:
    """`runs` become executions; `late` of them are caught up and wait for each other; `next_run_at` is the job's next due time.

    `missed` were too late, `blackout` were too late and in a blackout. With `closed` the job waits for the end of a blackout instead.
    """

    runs: tuple[datetime, ...]
    late: frozenset[datetime]
    missed: Span | None
    next_run_at: datetime | None
    blackout: Span | None = None
    closed: Closed | None = None


def plan_due(
    schedule: Schedule, first_due: datetime, now: datetime, *, misfire: Misfire, triggers: Triggers, blackouts: Blackouts = NO_BLACKOUTS
) -> DuePlan:
    """What becomes of the due times from `first_due` to `now`, both included. Needs `first_due <= now`.

    A due time up to `grace_seconds` late is in time and runs. Of the later ones the policy says: `skip`: all are missed;
    `once`: the latest runs, unless one in time follows anyway; `all`: the latest `max_catch_up` run.
    With a minutely job, a grace of 300 s, an outage of an hour and `once`: the 6 of the last 300 s run, 54 are missed.
    Nothing runs for a due time in a blackout, nor while `now` is in one.
    """
    schedule = anchored(schedule, first_due)
    before = first_due - _TICK
    boundary = _boundary(first_due, now, misfire)
    late_count = triggers.count(schedule, before, boundary)
    blackout = _blacked_out(schedule, before, boundary, triggers, blackouts) if late_count and blackouts else None
    open_count = late_count - (blackout.count if blackout else 0)
    now_closed = blackouts.at(now)
    in_time: list[datetime] = []
    closed = None
    for due in islice(takewhile(lambda due: due <= now, triggers.iter_after(schedule, boundary)), MOST_RUNS_A_STEP):
        hit = now_closed or blackouts.at(due)
        if hit is not None:
            closed = Closed(due, hit.end, hit.calendar)
            break
        in_time.append(due)
    wanted = {MisfirePolicy.SKIP: 0, MisfirePolicy.ONCE: 0 if in_time else 1, MisfirePolicy.ALL: misfire.max_catch_up}[misfire.policy]
    opens = _Opens(schedule, triggers, blackouts)
    late = opens.latest(before, boundary, 0 if now_closed else min(wanted, open_count))
    missed = None
    if open_count > len(late):
        first, last = opens.first(before), opens.latest(before, late[0] - _TICK if late else boundary, 1)
        missed = Span(first or first_due, last[0] if last else first_due, open_count - len(late))
    reached = max([first_due, boundary, *in_time[-1:]])
    next_run_at = closed.until if closed else triggers.next_after(schedule, reached)
    return DuePlan((*late, *in_time), frozenset(late), missed, next_run_at, blackout, closed)


@dataclass(frozen=True, slots=True)
class _Opens:
    """The due times of a schedule that lie in no blackout."""

    schedule: Schedule
    triggers: Triggers
    blackouts: Blackouts

    def first(self, after: datetime) -> datetime | None:
        """The first one later than `after`."""
        due = self.triggers.next_after(self.schedule, after)
        while due is not None and (hit := self.blackouts.at(due)) is not None:
            due = self.triggers.next_after(self.schedule, hit.end - _TICK)
        return due

    def latest(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` of (after, until], ascending; the search ends after MOST_LOOKED_AT due times."""
        looked_at = count
        while True:
            found = self.triggers.latest(self.schedule, after, until, looked_at)
            opens = [due for due in found if self.blackouts.at(due) is None]
            if len(opens) >= count or len(found) < looked_at or looked_at > MOST_LOOKED_AT:
                return opens[-count:] if count else []
            looked_at *= 4


def _blacked_out(schedule: Schedule, after: datetime, until: datetime, triggers: Triggers, blackouts: Blackouts) -> Span | None:
    """The due times of (after, until] that lie in a blackout."""
    spans = [
        span
        for one in blackouts.between(after, until)
        if (span := _span(schedule, max(after, one.start - _TICK), min(until, one.end - _TICK), triggers)) is not None
    ]
    return Span(spans[0].first, spans[-1].last, sum(span.count for span in spans)) if spans else None


def plan_end(
    schedule: Schedule, first_due: datetime, now: datetime, *, misfire: Misfire, triggers: Triggers
) -> tuple[Span | None, Span | None]:
    """What was due from `first_due` to `now` of a schedule that holds no more: what is too late to run, and what was in time."""
    schedule, boundary = anchored(schedule, first_due), _boundary(first_due, now, misfire)
    return _span(schedule, first_due - _TICK, boundary, triggers), _span(schedule, boundary, now, triggers)


def plan_pause(schedule: Schedule, pause: Pause, end: datetime, *, triggers: Triggers) -> tuple[Span | None, datetime | None]:
    """What a pause that ends at `end` (exclusive) let go by, and the first due time after it."""
    schedule = anchored(schedule, pause.since_due)
    return (
        _span(schedule, pause.since_due - _TICK, end - _TICK, triggers),
        triggers.next_after(schedule, max(end, pause.since_due) - _TICK),
    )


def _span(schedule: Schedule, after: datetime, until: datetime, triggers: Triggers) -> Span | None:
    count = triggers.count(schedule, after, until) if until > after else 0
    first = triggers.next_after(schedule, after)
    return Span(first, triggers.latest(schedule, after, until, 1)[0], count) if count and first else None


def anchored(schedule: Schedule, first_due: datetime) -> Schedule:
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

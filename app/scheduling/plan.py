"""Decides what each due time becomes. All functions are pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from app.instants import INSTANT
from app.jobs.model import Misfire, MisfirePolicy, Pause
from app.scheduling.calendars import NO_BLACKOUTS, Blackouts
from app.triggers import Trigger

# If more due times than this lie within the grace, they are planned in several steps, so that no step grows without bound.
MOST_RUNS_A_STEP = 500
MOST_LOOKED_AT = 4096  # due times, in search of one outside all blackouts


@dataclass(frozen=True, slots=True)
class Span:
    """Due times that were not started and share one record, however many they are. `first` and `last` are due times of the span."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A blackout of `calendar` that goes on until `until`. No due time from `since_due` on starts before that."""

    since_due: datetime
    until: datetime
    calendar: str


@dataclass(frozen=True, slots=True)
class DuePlan:
    """What the due times of a job become. `runs` become executions; those of them in `late` are caught up and wait for each other.
    `next_run_at` is the next due time of the job.

    `missed` were too late to run. `blackout` were too late and lie in a blackout. With `closed` the job waits for the end of a blackout.
    """

    runs: tuple[datetime, ...]
    late: frozenset[datetime]
    missed: Span | None
    next_run_at: datetime | None
    blackout: Span | None = None
    closed: Closed | None = None


def plan_due(trigger: Trigger, first_due: datetime, now: datetime, *, misfire: Misfire, blackouts: Blackouts = NO_BLACKOUTS) -> DuePlan:
    """Plans the due times from `first_due` to `now`, both included. Needs `first_due <= now`.

    A due time that is at most `grace_seconds` late is in time and runs. The policy decides about the later ones: with `skip` all are
    missed; with `once` the latest runs, unless one that is in time follows anyway; with `all` the latest `max_catch_up` run.
    With a minutely job, a grace of 300 s, an outage of an hour and `once`, the 6 of the last 300 s run and 54 are missed.
    A due time in a blackout never runs, and nothing runs while `now` is in a blackout.
    """
    trigger = trigger.anchored(first_due)
    before = first_due - INSTANT
    boundary = _last_late(first_due, now, misfire)
    late_count = trigger.count(before, boundary)
    blackout = _in_blackouts(trigger, before, boundary, blackouts) if late_count and blackouts else None
    open_count = late_count - (blackout.count if blackout else 0)
    closed_now = blackouts.at(now)
    in_time: list[datetime] = []
    closed = None
    for due in islice(takewhile(lambda due: due <= now, trigger.iter_after(boundary)), MOST_RUNS_A_STEP):
        hit = closed_now or blackouts.at(due)
        if hit is not None:
            closed = Closed(due, hit.end, hit.calendar)
            break
        in_time.append(due)
    wanted = {MisfirePolicy.SKIP: 0, MisfirePolicy.ONCE: 0 if in_time else 1, MisfirePolicy.ALL: misfire.max_catch_up}[misfire.policy]
    open_times = _OpenTimes(trigger, blackouts)
    late = open_times.latest(before, boundary, 0 if closed_now else min(wanted, open_count))
    missed = None
    if open_count > len(late):
        first, last = open_times.first(before), open_times.latest(before, late[0] - INSTANT if late else boundary, 1)
        missed = Span(first or first_due, last[0] if last else first_due, open_count - len(late))
    planned_to = max([first_due, boundary, *in_time[-1:]])
    next_run_at = closed.until if closed else trigger.next_after(planned_to)
    return DuePlan((*late, *in_time), frozenset(late), missed, next_run_at, blackout, closed)


@dataclass(frozen=True, slots=True)
class _OpenTimes:
    """The due times of a trigger that lie in no blackout."""

    trigger: Trigger
    blackouts: Blackouts

    def first(self, after: datetime) -> datetime | None:
        """The first one later than `after`."""
        due = self.trigger.next_after(after)
        while due is not None and (hit := self.blackouts.at(due)) is not None:
            due = self.trigger.next_after(hit.end - INSTANT)
        return due

    def latest(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` of (after, until], ascending. The search ends after MOST_LOOKED_AT due times."""
        looked_at = count
        while True:
            due_times = self.trigger.latest(after, until, looked_at)
            open_times = [due for due in due_times if self.blackouts.at(due) is None]
            if len(open_times) >= count or len(due_times) < looked_at or looked_at > MOST_LOOKED_AT:
                return open_times[-count:] if count else []
            looked_at *= 4


def _in_blackouts(trigger: Trigger, after: datetime, until: datetime, blackouts: Blackouts) -> Span | None:
    """The due times of (after, until] that lie in a blackout."""
    spans = [
        span
        for blackout in blackouts.between(after, until)
        if (span := _span(trigger, max(after, blackout.start - INSTANT), min(until, blackout.end - INSTANT))) is not None
    ]
    return Span(spans[0].first, spans[-1].last, sum(span.count for span in spans)) if spans else None


def plan_end(trigger: Trigger, first_due: datetime, now: datetime, *, misfire: Misfire) -> tuple[Span | None, Span | None]:
    """(late, in_time): the due times from `first_due` to `now` of a trigger that is given up. The first span was too late to run."""
    trigger, boundary = trigger.anchored(first_due), _last_late(first_due, now, misfire)
    return _span(trigger, first_due - INSTANT, boundary), _span(trigger, boundary, now)


def plan_pause(trigger: Trigger, pause: Pause, end: datetime) -> tuple[Span | None, datetime | None]:
    """(skipped, next_due): the due times that a pause skipped which ends at `end` (excluded), and the first due time after it."""
    trigger = trigger.anchored(pause.since_due)
    skipped = _span(trigger, pause.since_due - INSTANT, end - INSTANT)
    return skipped, trigger.next_after(max(end, pause.since_due) - INSTANT)


def _span(trigger: Trigger, after: datetime, until: datetime) -> Span | None:
    """The due times of (after, until]; None if there are none."""
    count = trigger.count(after, until)
    first = trigger.next_after(after)
    return Span(first, trigger.latest(after, until, 1)[0], count) if count and first else None


def _last_late(first_due: datetime, now: datetime, misfire: Misfire) -> datetime:
    """The last instant at which a due time is too late to run."""
    return max(first_due - INSTANT, now - timedelta(seconds=misfire.grace_seconds) - INSTANT)


def spread(job_id: str, jitter_seconds: int) -> timedelta:
    """How long after each due time the job starts: from 0 to `jitter_seconds`, drawn once from its id.

    Jobs that are due together do not start together, and the runs of one job stay as far apart as its due times.
    """
    draw = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8])
    return timedelta(milliseconds=draw % (jitter_seconds * 1000 + 1))

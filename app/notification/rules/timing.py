"""What the passing of time says about a condition. Pure: each answer has an instant of its own, which comes from stored times, so that it
is the same whenever somebody looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.execution.ends import EndedRun, LiveRun
from app.notification.rules.conditions import Condition
from app.queue.model import Status
from templates_lib.messages import say

USUAL_RUNS, LEAST_RUNS, USUAL_PERCENT, USUAL_FACTOR = 100, 20, 99, 1.25
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Overdue:
    """Something that has gone on for too long: since when that is so, what tells it from others, and the reason."""

    at: datetime
    id: str
    why: str
    execution_id: str | None = None


def usual_limit(runs: Iterable[EndedRun]) -> float | None:
    """Returns after how many seconds a run takes longer than usual, by the runs before it, the latest one first: 1.25 × the 99th percentile
    of the last 100 that succeeded. With 100 runs of 1 s to 100 s it is 1.25 × 99 s = 123.75 s. None with fewer than 20 runs."""
    durations = [run.duration_seconds for run in runs if run.status == Status.SUCCESS and run.duration_seconds is not None]
    last = sorted(durations[:USUAL_RUNS])
    if len(last) < LEAST_RUNS:
        return None
    return USUAL_FACTOR * last[math.ceil(len(last) * USUAL_PERCENT / 100) - 1]


def late_since(due: datetime, grace_seconds: float) -> datetime:
    """Returns when a run that was due is late."""
    return due + timedelta(seconds=grace_seconds)


def overdue_runs(
    condition: Mapping[str, Any], runs: Iterable[LiveRun], now: datetime, *, jitter_seconds: float = 0, usual_seconds: float | None = None
) -> list[Overdue]:
    """Returns which of the runs of a job that have not ended have gone on for too long by now. A run starts up to `jitter_seconds` after it
    is due, and takes more than `usual_seconds` if it takes longer than usual."""
    found = (_overdue(condition, run, jitter_seconds=jitter_seconds, usual_seconds=usual_seconds) for run in runs)
    return sorted(overdue for overdue in found if overdue is not None and overdue.at <= now)


def unplanned(condition: Mapping[str, Any], due: datetime, now: datetime, *, jitter_seconds: float = 0) -> Overdue | None:
    """Returns that a run is late of which the due time has come and nobody has planned it; None if it is not."""
    at = late_since(due, condition["grace_seconds"] + jitter_seconds)
    return Overdue(at, f"late:{due.isoformat()}", _late_words(due)) if at <= now else None


def was_overdue(
    condition: Mapping[str, Any], run: EndedRun, *, jitter_seconds: float = 0, usual_seconds: float | None = None
) -> tuple[Overdue, datetime] | None:
    """Returns that an ended run had gone on for too long, and when that was over; None if it had not."""
    live = LiveRun(
        id=run.id,
        job_id=run.job_id,
        status=Status.RUNNING if run.started_at is not None else Status.QUEUED,
        queued_at=run.queued_at or run.completed_at,
        scheduled_for=run.scheduled_for if run.status != Status.SKIPPED else None,
        started_at=run.started_at,
    )
    settled = run.completed_at
    if condition["type"] in {Condition.LATE, Condition.QUEUED_LONG}:
        settled = run.started_at or run.completed_at
        live = _unstarted(live)
    overdue = _overdue(condition, live, jitter_seconds=jitter_seconds, usual_seconds=usual_seconds)
    return (overdue, settled) if overdue is not None and overdue.at < settled else None


def deadlines(condition: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Returns the latest deadline that has passed, and the one before it. A deadline in an hour that a clock change leaves out is an hour
    later."""
    zone, at = ZoneInfo(condition["timezone"]), time.fromisoformat(condition["at"])
    today = now.astimezone(zone).date()
    latest = next(day for day in _back(today) if _moment(day, at, zone) <= now)
    return _moment(latest, at, zone), _moment(latest - DAY, at, zone)


def missed_deadline(condition: Mapping[str, Any], successes: Sequence[datetime], now: datetime) -> Overdue | None:
    """Returns that a job had no success between the deadline before the latest one and the latest one; None if it had."""
    deadline, before = deadlines(condition, now)
    if any(before < at <= deadline for at in successes):
        return None
    words = say("The job has not succeeded by {time} ({zone}).", time=condition["at"], zone=condition["timezone"])
    return Overdue(deadline, f"deadline:{deadline.isoformat()}", words)


def _back(day: date) -> Iterator[date]:
    while True:
        yield day
        day -= DAY


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(ZoneInfo("UTC"))


def _unstarted(run: LiveRun) -> LiveRun:
    return LiveRun(id=run.id, job_id=run.job_id, status=Status.QUEUED, queued_at=run.queued_at, scheduled_for=run.scheduled_for)


def _overdue(condition: Mapping[str, Any], run: LiveRun, *, jitter_seconds: float, usual_seconds: float | None) -> Overdue | None:
    match condition["type"]:
        case Condition.LATE if run.started_at is None and run.scheduled_for is not None:
            at = late_since(run.scheduled_for, condition["grace_seconds"] + jitter_seconds)
            return Overdue(at, f"late:{run.scheduled_for.isoformat()}", _late_words(run.scheduled_for), run.id)
        case Condition.QUEUED_LONG if run.started_at is None:
            since = max(run.queued_at, run.available_at or run.queued_at)
            seconds = condition["over_seconds"]
            words = say("The run has waited in the queue for more than {seconds} s.", seconds=seconds)
            return Overdue(since + timedelta(seconds=seconds), run.id, words, run.id)
        case Condition.RUNNING_LONG if run.status == Status.RUNNING and run.started_at is not None:
            seconds = condition["over_seconds"]
            words = say("The run takes more than {seconds} s.", seconds=seconds)
            return Overdue(run.started_at + timedelta(seconds=seconds), run.id, words, run.id)
        case Condition.RUNNING_LONGER_THAN_USUAL if run.status == Status.RUNNING and run.started_at is not None:
            if usual_seconds is None:
                return None
            words = say("The run takes longer than usual ({seconds} s).", seconds=round(usual_seconds, 1))
            return Overdue(run.started_at + timedelta(seconds=usual_seconds), run.id, words, run.id)
    return None


def _late_words(due: datetime) -> str:
    return say("The run that was due at {due} has not started.", due=f"{due:%Y-%m-%d %H:%M:%S} UTC")

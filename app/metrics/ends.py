"""What ended executions add to the totals: pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from app.execution.measured_store import Ended
from app.measures import BUCKETS, Times
from app.metrics.totals_store import Key
from app.queue.model import RAN, Reason, Status
from app.triggers import TRIGGERS

MOST_TEMPLATES = 100  # with a series of their own; the runs of further ones count as OTHER
OTHER, UNKNOWN = "other", "unknown"
SUM = "sum"  # of the seconds of a histogram, beside its buckets

# What is counted; the first part of a key.
EXECUTIONS, MISFIRES, CLAIMS = "executions", "misfires", "claims"
SKIPPED, MISSED, LOST, RETRIES, TEMPLATES = "skipped", "missed", "lost", "retries", "templates"
DURATION, DELAY = "duration", "delay"


def added(ended: Iterable[Ended], *, types: Mapping[str, str], templates: Collection[str]) -> Mapping[Key, float]:
    """Returns what these executions add. `types` are the types of schedule of their jobs, by id; `templates` have a series already."""
    counts: Counter[Key] = Counter()
    known = set(templates)
    for end in ended:
        times = max(1, end.due_times)
        schedule = types.get(end.job_id, UNKNOWN)
        counts[EXECUTIONS, schedule if schedule in TRIGGERS else UNKNOWN, end.status] += times
        if end.status == Status.MISSED:
            counts[(MISSED,)] += times
        if end.status == Status.SKIPPED:
            counts[SKIPPED, end.reason or UNKNOWN] += times
        if end.status == Status.MISSED or (end.status == Status.SKIPPED and end.reason == Reason.OVERLAP):
            counts[(MISFIRES,)] += times
        counts[(CLAIMS,)] += end.attempts
        counts[(LOST,)] += end.lost
        counts[(RETRIES,)] += max(0, end.attempts - 1)
        if end.status in RAN:
            if end.template not in known and len(known) < MOST_TEMPLATES:
                known.add(end.template)
            counts[TEMPLATES, end.template if end.template in known else OTHER, end.status] += 1
            _time(counts, DURATION, end.seconds)
        _time(counts, DELAY, end.delay)
    return {key: count for key, count in counts.items() if count}


def _time(counts: Counter[Key], what: str, seconds: float | None) -> None:
    if seconds is not None:
        counts[what, str(bisect_left(BUCKETS, seconds))] += 1
        counts[what, SUM] += max(0.0, seconds)  # type: ignore[assignment]  # a Counter holds floats as well


def values_of(counts: Mapping[Key, float]) -> Mapping[str, Mapping[tuple[str, ...], float | Times]]:
    """Returns the metrics that the totals are. What has not happened yet is 0, so that its first time is seen as a change."""
    return {
        "schedule_executions_total": {
            **{(schedule, status.value): 0.0 for schedule in TRIGGERS for status in (*RAN, Status.MISSED, Status.SKIPPED)},
            **_of(counts, EXECUTIONS),
        },
        "schedule_execution_duration_seconds": {(): _times(counts, DURATION)},
        "schedule_misfires_total": {(): counts.get((MISFIRES,), 0.0)},
        "distributed_locks_acquired_total": {(): counts.get((CLAIMS,), 0.0)},
        "jobwright_start_delay_seconds": {(): _times(counts, DELAY)},
        "jobwright_missed_total": {(): counts.get((MISSED,), 0.0)},
        "jobwright_skipped_total": {(Reason.OVERLAP.value,): 0.0, **_of(counts, SKIPPED)},
        "jobwright_lease_lost_total": {(): counts.get((LOST,), 0.0)},
        "jobwright_retries_total": {(): counts.get((RETRIES,), 0.0)},
        "jobwright_template_executions_total": _of(counts, TEMPLATES),
    }


def templates_in(counts: Mapping[Key, float]) -> set[str]:
    """Returns the templates that have a series of their own."""
    return {key[1] for key in counts if key[0] == TEMPLATES} - {OTHER}


def _of(counts: Mapping[Key, float], what: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: count for key, count in counts.items() if key[0] == what}


def _times(counts: Mapping[Key, float], what: str) -> Times:
    buckets = [counts.get((what, str(index)), 0.0) for index in range(len(BUCKETS) + 1)]
    return Times(buckets, counts.get((what, SUM), 0.0))

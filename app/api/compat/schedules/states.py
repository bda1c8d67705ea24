"""The states of schedules and the words of their executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.queue.model import FAILURES, Status

ACTIVE, PAUSED, DISABLED, FINISHED = "active", "paused", "disabled", "completed"
SCHEDULE_STATES = (ACTIVE, PAUSED, DISABLED, FINISHED)
EXECUTION_WORDS: Mapping[str, tuple[Status, ...]] = {
    "pending": (Status.QUEUED,),
    "running": (Status.RUNNING, Status.RETRYING),
    "completed": (Status.SUCCESS,),
    "failed": tuple(sorted(FAILURES)),
    "cancelled": (Status.CANCELLED,),
    "skipped": (Status.SKIPPED,),
    "missed": (Status.MISSED,),
}
_WORD_OF = {status.value: word for word, statuses in EXECUTION_WORDS.items() for status in statuses}


def state_of(job: Job, now: datetime) -> str:
    """Returns the state of a schedule: disabled comes before paused, and paused before completed."""
    if not job.definition.enabled:
        return DISABLED
    if job.paused is not None:
        return PAUSED
    return FINISHED if job.has_ended(now) else ACTIVE


def in_state(query: JobFilter, state: str | None) -> JobFilter:
    """Returns the filter narrowed to schedules in a state, as `state_of` tells it; unchanged without one."""
    if state is None:
        return query
    if state == DISABLED:
        return replace(query, enabled=False)
    if state == PAUSED:
        return replace(query, enabled=True, paused=True)
    return replace(query, enabled=True, paused=False, ended=state == FINISHED)


def execution_word(status: str) -> str:
    """Returns the word for the status of an execution."""
    return _WORD_OF.get(status, "failed")

"""The ends of executions in brief, as alert rules read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.queue.execution import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """An execution that has ended, or that was left out. `attempts` is how many there were."""

    id: str
    job_id: str
    status: str
    completed_at: datetime
    reason: str | None = None
    started_at: datetime | None = None
    scheduled_for: datetime | None = None
    duration_seconds: float | None = None
    job_version: int = 0
    attempts: int = 0
    triggered_by: str = ""
    queued_at: datetime | None = None

    @property
    def place(self) -> tuple[datetime, str]:
        """Returns its place in the order of ends: by instant, then by id."""
        return self.completed_at, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """An execution that has not ended."""

    id: str
    job_id: str
    status: str
    queued_at: datetime
    available_at: datetime | None = None
    scheduled_for: datetime | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCount:
    """How many runs of a job ended as `status`; `at` and `id` are those of the last one. A record of several missed due times counts as
    all of them."""

    job_id: str
    status: str
    count: int
    at: datetime
    id: str


def ended_run(execution: Execution) -> EndedRun | None:
    """Returns the end of an execution in brief; None if it has not ended, or was a preview."""
    if execution.completed_at is None or execution.dry or execution.is_live:
        return None
    return EndedRun(
        id=execution.id,
        job_id=execution.job_id,
        status=execution.status,
        completed_at=execution.completed_at,
        reason=execution.reason,
        started_at=execution.started_at,
        scheduled_for=execution.scheduled_for,
        duration_seconds=execution.duration_seconds,
        job_version=execution.job_version,
        attempts=len(execution.attempts),
        triggered_by=execution.triggered_by,
        queued_at=max(execution.queued_at, execution.available_at),
    )

"""What the due times of a job in shadow mode become: entries of the outbox that are written as shadow runs, not as executions."""

from __future__ import annotations

from collections.abc import Sequence

from app.jobs.model import Job
from app.jobs.records import WOULD_RUN
from app.jobs.rules import OutboxEntry
from app.jobs.shadow_store import ShadowStore
from app.mongo import Document
from app.queue.execution import Execution
from app.queue.store import QueueStore

MARK = "shadow"  # an entry with this member is a shadow run


def entries_of(job: Job, executions: Sequence[Execution]) -> list[OutboxEntry]:
    """Returns executions as the outbox of the job keeps them: as they are, or as shadow runs for a job in shadow mode."""
    if job.shadow is None:
        return [OutboxEntry(execution.as_document()) for execution in executions]
    return [OutboxEntry({MARK: True, **shadow_run(execution)}) for execution in executions]


def shadow_run(execution: Execution) -> Document:
    """Returns the document of the shadow run that stands in place of an execution."""
    span, due = execution.due_times, execution.scheduled_for or execution.queued_at
    return {
        "_id": execution.id,
        "job_id": execution.job_id,
        "outcome": WOULD_RUN if execution.is_live else str(execution.status),
        "reason": None if execution.reason is None else str(execution.reason),
        "due_at": span.first if span else due,
        "last_due_at": span.last if span else due,
        "count": span.count if span else 1,
        "triggered_by": str(execution.triggered_by),
        "at": execution.queued_at,
    }


class Planned:
    """Writes the entries of outboxes: executions into the queue, and shadow runs to their own records."""

    def __init__(self, queue: QueueStore, shadows: ShadowStore) -> None:
        self._queue, self._shadows = queue, shadows

    def write(self, entries: Sequence[OutboxEntry]) -> int:
        """Writes entries that are not written yet. Returns how many executions are new."""
        self._shadows.add([{name: value for name, value in entry.items() if name != MARK} for entry in entries if MARK in entry])
        return self._queue.add_planned([entry for entry in entries if MARK not in entry])

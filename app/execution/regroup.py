"""Executions carry the group of their job; when a job gets another group, so do they."""

from __future__ import annotations

from datetime import timedelta

from app.clock import Clock
from app.jobs.list_store import ListStore
from app.outbox.events import DomainEvent, EventHandler, JobChanged
from app.outbox.handler import Later
from app.queue.store import QueueStore

# A run that was made of the job as it was before may be written so long after the change: by a request, or by a scheduler that finishes
# what one that died had planned.
LATE_WRITES = timedelta(seconds=60)


class Regroup(EventHandler):
    """Gives the executions of a job the group that it has by now: at once, and once more for those that were written late."""

    name = "regroup"
    kinds = (JobChanged,)
    claim_for = timedelta(seconds=60)

    def __init__(self, queue: QueueStore, jobs: ListStore, clock: Clock) -> None:
        self._queue, self._jobs, self._clock = queue, jobs, clock

    @classmethod
    def wants(cls, event: DomainEvent) -> bool:
        return isinstance(event, JobChanged) and "group" in event.changed

    def hear(self, event: DomainEvent) -> None:
        if isinstance(event, JobChanged) and (group := self._jobs.group_of(event.job_id)) is not None:
            self._queue.regroup(event.job_id, group)
            left = event.at + LATE_WRITES - self._clock.now()
            if left > timedelta(0):
                raise Later(left)

"""Executions carry the group of their job; when a job gets another group, so do they."""

from __future__ import annotations

from datetime import timedelta

from app.jobs.list_store import ListStore
from app.outbox.events import DomainEvent, EventHandler, JobChanged
from app.queue.store import QueueStore


class Regroup(EventHandler):
    """Gives the executions of a job the group that it has by now."""

    name = "regroup"
    kinds = (JobChanged,)
    claim_for = timedelta(seconds=60)

    def __init__(self, queue: QueueStore, jobs: ListStore) -> None:
        self._queue, self._jobs = queue, jobs

    @classmethod
    def wants(cls, event: DomainEvent) -> bool:
        return isinstance(event, JobChanged) and "group" in event.changed

    def hear(self, event: DomainEvent) -> None:
        if isinstance(event, JobChanged) and (group := self._jobs.group_of(event.job_id)) is not None:
            self._queue.regroup(event.job_id, group)

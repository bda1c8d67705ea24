"""The runs of backfills in the queue: started, counted, cancelled."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.execution.history_store import HistoryStore
from app.execution.hourly_runs import HourlyRuns
from app.execution.runs import JobServices
from app.jobs.gate import Operation
from app.queue.execution import Execution
from app.queue.store import QueueStore
from app.signals import Signal

_BACKFILL_SPACE = uuid.UUID("0b6b3f0e-4c1d-4a55-9d0f-6f0f1f1c7a3e")


class BackfillRuns:
    """Queues a run for each due time that is made up for. `queued` is sent when they wait."""

    def __init__(
        self,
        *,
        queue: QueueStore,
        history: HistoryStore,
        limit: HourlyRuns,
        jobs: JobServices,
        audit: AuditTrail,
        clock: Clock,
        queued: Signal,
    ) -> None:
        self._queue, self._history, self._limit = queue, history, limit
        self._registry, self._gate = jobs.registry, jobs.gate
        self._audit, self._clock, self._queued = audit, clock, queued

    def start(self, actor: Actor, job_id: str, due_times: Sequence[datetime], *, key: str = "") -> int:
        """Queue a run for each of these due times, oldest first; returns how many are new. Counts as one run of the user's hour.

        Raises Forbidden, LimitReached. Killed in the middle, the same call queues the rest: an id is of its job, due time, and `key` or
        the minute.
        """
        require(actor, May.RUN_JOBS)
        job = self._registry.visible(actor, job_id)
        now = self._clock.now()
        name = key or f"{now:%Y-%m-%dT%H:%M}"
        runs = [
            Execution.backfilled(
                job,
                now + number * timedelta(milliseconds=1),
                by=actor.email,
                stands_for=due,
                execution_id=str(uuid.uuid5(_BACKFILL_SPACE, f"{job_id}\0{due.isoformat()}\0{name}")),
            ).asked_by(correlation_id=actor.correlation_id, traceparent=actor.traceparent)
            for number, due in enumerate(due_times)
        ]
        diff = [{"field": "/backfill", "before": None, "after": {"from": due_times[0], "to": due_times[-1], "runs": len(due_times)}}]
        self._gate.check(actor, job, Operation.BACKFILL, payload={"due_times": list(due_times)}, diff=diff)
        self._limit.count(actor)
        with self._audit.action(actor, "job.backfill", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            new = self._queue.add(runs)
        self._queued.send()
        return new

    def made_up_for(self, job_id: str, begin: datetime, end: datetime) -> set[datetime]:
        """Due times of [begin, end) that have a run which succeeded or is still to end."""
        return self._history.made_up_for(job_id, begin, end)

    def waiting(self, actor: Actor, job_id: str) -> int:
        """How many runs of backfills the job has not ended yet."""
        require(actor, May.SEE_EXECUTIONS)
        self._registry.get(actor, job_id)
        return self._queue.waiting_of_backfill(job_id)

    def cancel(self, actor: Actor, job_id: str) -> int:
        """Cancel what waits of the job's backfills; what runs goes on. Returns how many."""
        require(actor, May.CANCEL)
        job = self._registry.visible(actor, job_id)
        with self._audit.action(actor, "job.backfill_cancel", kind="job", target_id=job_id, name=job.definition.name):
            return self._queue.drop_backfill(job_id, by=actor.email, now=self._clock.now())

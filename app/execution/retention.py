"""Forgets executions that are old or too many, with their logs; off the hot path, and never what is still needed."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.clock import Clock
from app.config import Settings
from app.events import get_logger
from app.execution.history_store import HistoryStore
from app.execution.log_store import LogStore
from app.jobs.dispatch_store import DispatchStore
from app.queue.model import Status

log = get_logger(__name__)

BATCH = 500
BATCHES_A_TICK = 40  # 20,000 executions; the next tick goes on
_UNSUCCESSFUL = (Status.FAILED, Status.TIMEOUT, Status.CANCELLED, Status.MISSED)


class Retention:
    """Age by status, and a number a job. The audit log is never touched.

    Left alone: what has not ended, what its end still owes to somebody, and everything of a job whose outbox is full: its executions
    could be written again, and a run that was forgotten would run twice.
    """

    def __init__(self, *, history: HistoryStore, logs: LogStore, jobs: DispatchStore, clock: Clock, settings: Settings) -> None:
        self._history, self._logs, self._jobs, self._clock = history, logs, jobs, clock
        days = {
            Status.SUCCESS: settings.keep_success_days,
            Status.SKIPPED: settings.keep_skipped_days,
            **dict.fromkeys(_UNSUCCESSFUL, settings.keep_failure_days),
        }
        self._ages = {status: timedelta(days=count) for status, count in days.items() if count}
        self._most = settings.keep_per_job

    def tick(self) -> int:
        """Remove a bounded number of what is due to go; returns how many executions went."""
        now, removed = self._clock.now(), 0
        for status, age in self._ages.items():
            removed += self._remove(BATCHES_A_TICK - removed // BATCH, status=status, before=now - age)
        for job_id, newest in self._history.crowded(self._most) if self._most else ():
            if removed >= BATCHES_A_TICK * BATCH:
                break
            removed += self._remove(BATCHES_A_TICK - removed // BATCH, job_id=job_id, before=newest)
        if removed:
            log.info("retention.removed", executions=removed)
        return removed

    def _remove(self, batches: int, *, before: datetime, status: Status | None = None, job_id: str | None = None) -> int:
        removed = 0
        for _ in range(batches):
            ids = self._history.forgettable(
                before=before, status=status, job_id=job_id, spare_jobs=self._jobs.with_full_outbox(), limit=BATCH
            )
            if not ids:
                break
            self._logs.remove(ids)  # first: an execution without its log is found again, a log without its execution is not
            self._history.remove(ids)
            removed += len(ids)
        return removed

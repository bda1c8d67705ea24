"""Pauses a job that failed too often in a row."""

from __future__ import annotations

from datetime import timedelta

from app.audit.model import SYSTEM
from app.errors import Conflict, NotFound, StaleVersion
from app.events import get_logger
from app.execution.history_store import HistoryStore
from app.jobs.model import Cause, Job
from app.jobs.pausing import Pausing
from app.jobs.service import JobRegistry
from app.outbox.handler import Later
from app.queue.execution import Execution
from app.queue.model import FAILURES
from app.queue.owing import End, EndHandler

log = get_logger(__name__)

AGAIN_AFTER = timedelta(seconds=1)


class SelfPause(EndHandler):
    """Looks at a job after each of its failures, where the job is to pause itself after some."""

    name = "self_pause"
    statuses = FAILURES
    claim_for = timedelta(seconds=10)

    def __init__(self, history: HistoryStore, registry: JobRegistry, pausing: Pausing) -> None:
        self._history, self._registry, self._pausing = history, registry, pausing

    @classmethod
    def wants(cls, end: End) -> bool:
        return end.pause_after_failures > 0

    def carry_out(self, record: Execution) -> None:
        try:
            job = self._registry.get(SYSTEM, record.job_id)
            if self._failed_too_often(job):
                self._pause(job)
        except StaleVersion:  # somebody changed the job meanwhile: look again at what they made of it
            raise Later(AGAIN_AFTER) from None
        except (NotFound, Conflict) as error:
            log.debug("self_pause.nothing_to_pause", job=record.job_id, reason=str(error))

    def _failed_too_often(self, job: Job) -> bool:
        """Counts from the job's last change on: whoever resumes or edits it gives it a fresh start."""
        limit = job.definition.pause_after_failures
        if not limit or (job.paused and job.paused.cause is Cause.PERSON) or not job.definition.enabled:
            return False
        return self._history.failures_in_a_row(job.id, job.updated_at, limit) >= limit

    def _pause(self, job: Job) -> None:
        limit = job.definition.pause_after_failures
        self._pausing.pause(
            SYSTEM, job.id, {"reason": f"{limit} runs failed in a row" if limit > 1 else "A run failed"}, version=job.version
        )
        log.warning("job.paused_itself", job=job.id, failures=limit)

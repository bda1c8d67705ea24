"""Pauses the jobs that failed too often in a row."""

from __future__ import annotations

from app.audit.model import SYSTEM
from app.errors import Conflict, NotFound, StaleVersion
from app.events import get_logger
from app.execution.store import ExecutionStore
from app.jobs.model import Cause
from app.jobs.pausing import Pausing
from app.jobs.service import JobRegistry
from app.mongo import Document
from app.ticks import each

log = get_logger(__name__)

BATCH = 200


class Verdicts:
    """A failure marks its execution in the write that ends it, so that no kill between the two forgets to look at the job."""

    def __init__(self, executions: ExecutionStore, registry: JobRegistry, pausing: Pausing) -> None:
        self._executions, self._registry, self._pausing = executions, registry, pausing

    def tick(self) -> int:
        """Look at the jobs of marked executions; returns how many were paused."""
        rows = self._executions.unjudged(BATCH)
        return sum(each("verdicts", rows, self._look_at, give_up=lambda row, _: self._executions.judged(row["_id"])))

    def _look_at(self, row: Document) -> bool:
        paused = False
        try:
            paused = self._judge(row["job_id"])
        except StaleVersion:
            return False  # someone was quicker: look again at what they made of it
        except (NotFound, Conflict) as error:
            log.debug("verdict.nothing_to_pause", job=row["job_id"], reason=str(error))
        self._executions.judged(row["_id"])
        return paused

    def _judge(self, job_id: str) -> bool:
        """Counts from the job's last change on: whoever resumes or edits it gives it a fresh start."""
        job = self._registry.get(SYSTEM, job_id)
        limit = job.definition.pause_after_failures
        if not limit or (job.paused and job.paused.cause is Cause.PERSON) or not job.definition.enabled:
            return False
        if self._executions.failures_in_a_row(job_id, job.updated_at, limit) < limit:
            return False
        self._pausing.pause(SYSTEM, job_id, {"reason": f"{limit} failed in a row" if limit > 1 else "It failed"}, version=job.version)
        log.warning("job.paused_itself", job=job_id, failures=limit)
        return True

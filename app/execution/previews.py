"""Previews: what a run would do, found out by the job's template without changing anything."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import ApprovalNeeded
from app.execution.hourly_runs import HourlyRuns
from app.execution.runs import RUN_SPACE, JobServices
from app.jobs.body import non_defaults
from app.jobs.gate import Operation
from app.jobs.model import Job
from app.mongo import Document
from app.queue.execution import Execution
from app.queue.model import AttemptError, Status
from app.queue.store import QueueStore
from app.signals import Signal
from templates_lib.messages import say


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewResult:
    """What a preview found: how it ended, and the result or the error."""

    status: str
    result: Mapping[str, Any] | None
    error: AttemptError | None

    def as_document(self) -> Document:
        return {"status": str(self.status), "result": self.result, "error": self.error.as_stored() if self.error else None}


class Previews:
    """Runs previews beside whatever runs. `queued` is sent when one waits."""

    def __init__(self, *, queue: QueueStore, limit: HourlyRuns, jobs: JobServices, audit: AuditTrail, clock: Clock, queued: Signal) -> None:
        self._queue, self._limit, self._audit, self._clock, self._queued = queue, limit, audit, clock, queued
        self._registry, self._gate = jobs.registry, jobs.gate

    def start(self, actor: Actor, job: Job, *, of: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Have a job's template say what a run would do, as `actor` asks; returns the id of the execution. `of` stands for the job, whose
        history it is not."""
        preview = Execution.preview(job, self._clock.now(), of=of, parameters=parameters, execution_id=self.id_of(of))
        self._queue.add_one(preview.asked_by(correlation_id=actor.correlation_id, traceparent=actor.traceparent))
        self._queued.send()
        return preview.id

    def try_out(self, actor: Actor, body: Any, *, changed: str | None = None) -> str:
        """Starts a dry run of a job that is not saved: of a new one or, with `changed`, of that job with the changes in `body`. Returns the
        key for `result_of_try`. Counts as one of the user's dry runs of the hour.

        Nobody has to wait for approval of a dry run. Raises ValidationFailed, Forbidden, Conflict if the template is off, LimitReached.
        """
        require(actor, May.RUN_JOBS)
        job = self._registry.draft(actor, body, changed=changed)
        with suppress(ApprovalNeeded):
            self._gate.check(actor, job, Operation.UPDATE if changed else Operation.CREATE)
        self._limit.count_dry_run(actor)
        with self._audit.action(
            actor, "job.dry_run", kind="job", target_id=job.id, name=job.definition.name, diff=non_defaults(job.definition)
        ):
            self.start(actor, job, of=_tried_by(actor, job.id))
        return job.id

    def result_of_try(self, actor: Actor, key: str) -> PreviewResult | None:
        """What a dry run of the same actor has found, once it has ended, after which it is forgotten; None before."""
        require(actor, May.RUN_JOBS)
        return self.take_result(self.id_of(_tried_by(actor, key)))

    def take_result(self, execution_id: str) -> PreviewResult | None:
        """What a preview found, once it has ended, after which it is forgotten; None before."""
        execution = self._queue.get(execution_id)
        if execution is None:
            gone = AttemptError(type="Gone", message=say("The preview is gone"))
            return PreviewResult(status=Status.FAILED, result=None, error=gone)
        if execution.is_live:
            return None
        self._queue.remove_dry(execution_id)
        return PreviewResult(status=execution.status, result=execution.result, error=execution.error)

    @staticmethod
    def id_of(of: str) -> str:
        """The id of the execution that `start` makes."""
        return str(uuid.uuid5(RUN_SPACE, f"preview {of}"))


def _tried_by(actor: Actor, key: str) -> str:
    """What a dry run is known by: nobody else's, and no request's for approval."""
    return f"{actor.id}/{key}"

"""Jobs, and their executions in the queue: made, claimed and ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.audit.model import Actor
from app.clock import ManualClock
from app.execution.store import ExecutionStore
from app.jobs.model import Job, RetryOn
from app.queue.model import Attempt, AttemptError, Outcome, Status, Trigger, new_execution
from app.services import Services

LEASE = timedelta(seconds=30)


def make_job(services: Services, actor: Actor, **fields: Any) -> Job:
    return services.jobs.create(actor, {"name": f"job {fields}", "template_type": "noop", **fields})[0]


def enqueue(executions: ExecutionStore, job: Job, clock: ManualClock, count: int = 1) -> list[str]:
    documents = [new_execution(job, now=clock.now(), triggered_by=Trigger.API) for _ in range(count)]
    assert executions.add(documents) == count
    return [document["_id"] for document in documents]


def claim(executions: ExecutionStore, clock: ManualClock, *, owner: str = "w1", limit: int = 10) -> list[Attempt]:
    return executions.claim_due(owner=owner, host="h", now=clock.now(), lease=LEASE, limit=limit)


def success() -> Outcome:
    return Outcome(status=Status.SUCCESS, result={"message": "ok"}, seconds=1.0)


def failure(kind: RetryOn = RetryOn.ERROR) -> Outcome:
    return Outcome(status=Status.FAILED, error=AttemptError(type="E", message="m", kind=kind), seconds=1.0)


def timeout() -> Outcome:
    return Outcome(status=Status.TIMEOUT, error=AttemptError(type="Timeout", message="m"), seconds=1.0)


def cancelled() -> Outcome:
    return Outcome(status=Status.CANCELLED, seconds=1.0)

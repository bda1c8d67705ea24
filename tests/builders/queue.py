"""Jobs, and their executions in the queue: made, claimed and ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from app.audit.model import Actor
from app.clock import ManualClock
from app.execution.history_store import HistoryStore
from app.execution.statistics_store import StatisticsStore
from app.jobs.model import Job, RetryOn
from app.mongo import Document
from app.queue.claim_store import ClaimStore
from app.queue.claims import Claimer, Claims
from app.queue.execution import Execution
from app.queue.model import LIVE, Attempt, AttemptError, Outcome, Reason, Status, Trigger
from app.queue.owing import End
from app.queue.retry import RetryDecision
from app.queue.slots import RunBounds
from app.queue.start_limits import StartLimits
from app.queue.start_store import StartStore
from app.queue.store import QueueStore
from app.queue.updates import AttemptEnd
from app.services import Services
from tests.builders.owing import OWING

LEASE = timedelta(seconds=30)


def new_execution(
    job: Job,
    *,
    now: datetime,
    triggered_by: Trigger = Trigger.SCHEDULE,
    status: Status = Status.QUEUED,
    reason: Reason | None = None,
    by: str | None = None,
    execution_id: str | None = None,
    **fields: Any,
) -> Execution:
    """An execution of a job; `fields` are those of Execution that are to be other than usual."""
    made = Execution.manual(job, now, by="", trigger=triggered_by, parameters=job.definition.parameters, execution_id=execution_id)
    made = replace(made, triggered_by_user=by, **fields)
    return replace(made, status=status, completed_at=None if status in LIVE else now, reason=reason)


def execution_document(job: Job, **fields: Any) -> Document:
    """The same as it is stored."""
    return new_execution(job, **fields).as_document()


def ends_of(ends: Sequence[tuple[Attempt, Outcome, float | None]], followed: Collection[str] = ()) -> list[AttemptEnd]:
    """Ends of attempts, each with the delay of the next one or None for the end of the execution. `followed` are the jobs that others run
    after."""
    decided = [AttemptEnd(attempt, outcome, RetryDecision(delay)) for attempt, outcome, delay in ends]
    return [
        replace(end, owed=OWING.of(End.of_attempt(end.attempt, end.outcome.status, followed=end.attempt.job_id in followed)))
        if end.ends_execution
        else end
        for end in decided
    ]


class Queue:
    """The queue as one worker or several see it: the stores of executions, and a memory of claims for each owner."""

    def __init__(self, database: Database[Document]) -> None:
        self.database = database
        self.queue, self.claims = QueueStore(database, OWING), ClaimStore(database, OWING)
        self.limits = StartLimits(StartStore(database), self.queue)
        self.history, self.statistics = HistoryStore(database), StatisticsStore(database)
        self._workers: dict[str, Claims] = {}

    def document(self, execution_id: str) -> Document | None:
        """An execution as it is stored."""
        return self.database["job_executions"].find_one({"_id": execution_id})

    def worker(self, owner: str = "w1", *, host: str = "h", lease: timedelta = LEASE, bounds: RunBounds | None = None) -> Claims:
        """The claims of one worker; what it remembers stays from call to call."""
        claimer = Claimer(owner=owner, host=host, lease=lease, bounds=bounds or RunBounds())
        if owner not in self._workers or self._workers[owner]._claimer != claimer:
            self._workers[owner] = Claims(self.claims, self.limits, claimer)
        return self._workers[owner]

    def claim_due(
        self,
        *,
        now: datetime,
        limit: int = 10,
        owner: str = "w1",
        host: str = "h",
        lease: timedelta = LEASE,
        bounds: RunBounds | None = None,
        until: datetime | None = None,
    ) -> list[Attempt]:
        """Claim as one worker."""
        return self.worker(owner, host=host, lease=lease, bounds=bounds).claim_due(now=now, limit=limit, until=until)

    def finish(
        self,
        ends: Sequence[tuple[Attempt, Outcome, float | None]],
        *,
        now: datetime,
        followed: Collection[str] = (),
        owner: str = "w1",
    ) -> set[str]:
        """Write ends as one worker, and give way to who waits for the slots; returns the ids that were refused."""
        decided = ends_of(ends, followed)
        refused = self.claims.finish(decided, now=now)
        self.worker(owner).free_slots_of(decided, now)
        return refused

    def end_lost(self, attempt: Attempt, outcome: Outcome, delay: float | None, *, now: datetime, followed: Collection[str] = ()) -> bool:
        """Write the end of an attempt whose worker is lost."""
        return self.claims.finish_lost(ends_of([(attempt, outcome, delay)], followed)[0], now=now)


def make_job(services: Services, actor: Actor, **fields: Any) -> Job:
    return services.jobs.create(actor, {"name": f"job {fields}", "template_type": "noop", **fields})[0]


def enqueue(executions: Queue, job: Job, clock: ManualClock, count: int = 1) -> list[str]:
    documents = [new_execution(job, now=clock.now(), triggered_by=Trigger.API) for _ in range(count)]
    assert executions.queue.add(documents) == count
    return [document.id for document in documents]


def claim(executions: Queue, clock: ManualClock, *, owner: str = "w1", limit: int = 10) -> list[Attempt]:
    return executions.claim_due(owner=owner, now=clock.now(), lease=LEASE, limit=limit)


def success() -> Outcome:
    return Outcome(status=Status.SUCCESS, result={"message": "ok"}, seconds=1.0)


def failure(kind: RetryOn = RetryOn.ERROR) -> Outcome:
    return Outcome(status=Status.FAILED, error=AttemptError(type="E", message="m", kind=kind), seconds=1.0)


def timeout() -> Outcome:
    return Outcome(status=Status.TIMEOUT, error=AttemptError(type="Timeout", message="m"), seconds=1.0)


def cancelled() -> Outcome:
    return Outcome(status=Status.CANCELLED, seconds=1.0)

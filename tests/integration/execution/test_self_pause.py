"""Jobs that fail too often in a row pause themselves."""

from __future__ import annotations

from typing import Any

import pytest

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.errors import StaleVersion
from app.execution.history_store import HistoryStore
from app.execution.self_pause import SelfPause
from app.factory import Store
from app.jobs.model import Job
from app.outbox.carrier import Carrier
from app.queue.model import Outcome, Status, Trigger
from app.queue.store import execution_outbox
from app.services import Services
from tests.builders.queue import LEASE, Queue, failure, new_execution, success, timeout


class Looking:
    """Carries out what failures owe to the pausing of jobs."""

    def __init__(self, store: Store, services: Services, clock: ManualClock) -> None:
        self.outbox = execution_outbox(store.database)
        self._carrier = Carrier(self.outbox, SelfPause(HistoryStore(store.database), services.jobs, services.pausing), clock)
        self._jobs = services.jobs

    def paused(self, job: Job) -> bool:
        """Whether the job is paused, once all that is owed by now is carried out."""
        self._carrier.tick()
        return self._jobs.get(SYSTEM, job.id).paused is not None


@pytest.fixture
def looking(store: Store, services: Services, clock: ManualClock) -> Looking:
    return Looking(store, services, clock)


def job_of(services: Services, actor: Actor, **fields: Any) -> Job:
    body = {"name": "j", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}, "pause_after_failures": 3}
    return services.jobs.create(actor, {**body, **fields})[0]


def run(store: Store, job: Job, clock: ManualClock, outcome: Outcome, *, delay: float | None = None) -> None:
    executions = Queue(store.database)
    clock.advance(1)
    executions.queue.add([new_execution(job, now=clock.now(), triggered_by=Trigger.SCHEDULE)])
    (attempt,) = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=1)
    executions.finish([(attempt, outcome, delay)], now=clock.now())


def test_the_third_failure_in_a_row_pauses_the_job(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, looking: Looking
) -> None:
    job = job_of(services, super_admin)
    for outcome in (failure(), timeout(), success(), failure(), Outcome(status=Status.CANCELLED), timeout()):
        run(store, job, clock, outcome)
        assert not looking.paused(job)
    run(store, job, clock, failure())
    assert looking.paused(job)
    found = services.jobs.get(super_admin, job.id)
    assert found.paused is not None
    assert (found.paused.reason, found.paused.by, found.paused.until, found.next_run_at) == ("3 runs failed in a row", "system", None, None)
    newest = services.audit.history(AuditFilter(kind="job", target_id=job.id), limit=1)[0]
    assert (newest["action"], newest["actor"]["email"]) == ("job.pause", "system")
    services.pausing.resume(super_admin, job.id)
    for _ in range(2):
        run(store, job, clock, failure())
        assert not looking.paused(job), "who resumes it gives it a fresh start"
    run(store, job, clock, failure())
    assert looking.paused(job)


def test_a_retry_is_no_failure_yet_and_a_lost_worker_is_one(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, looking: Looking
) -> None:
    job = job_of(services, super_admin, pause_after_failures=1)
    run(store, job, clock, failure(), delay=3600.0)
    assert not looking.paused(job)
    executions = Queue(store.database)
    clock.advance(3600)
    executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=1)
    clock.advance(60)
    (lost,) = executions.claims.find_lost(clock.now(), 10)
    assert executions.end_lost(lost, failure(), None, now=clock.now())
    assert looking.paused(job)
    assert services.jobs.get(super_admin, job.id).paused.reason == "A run failed"


def test_jobs_that_cannot_or_need_not_be_paused_are_left_alone(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, looking: Looking
) -> None:
    by_hand = job_of(services, super_admin, name="by hand", schedule={"type": "manual"}, pause_after_failures=1)
    gone = job_of(services, super_admin, name="gone", pause_after_failures=1)
    off = job_of(services, super_admin, name="off", pause_after_failures=1)
    never = job_of(services, super_admin, name="never", pause_after_failures=0)
    for job in (by_hand, gone, off, never):
        run(store, job, clock, failure())
    services.jobs.delete(super_admin, gone.id)
    services.jobs.set_enabled(super_admin, off.id, enabled=False)
    assert [looking.paused(job) for job in (by_hand, off, never)] == [False, False, False]
    assert store.database["job_executions"].count_documents({"owed": {"$exists": True}}) == 0, "all are settled"


def test_a_job_that_is_edited_meanwhile_is_looked_at_again(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(services, super_admin, pause_after_failures=1)
    run(store, job, clock, failure())

    def crossed(*args: Any, **kwargs: Any) -> None:
        raise StaleVersion(1, 2)

    with monkeypatch.context() as patch:
        patch.setattr(services.pausing, "pause", crossed)
        assert not looking.paused(job)
    assert not looking.paused(job), "not before a moment has passed"
    clock.advance(1)
    assert looking.paused(job)

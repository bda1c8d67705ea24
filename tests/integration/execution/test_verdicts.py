"""Jobs that fail too often in a row pause themselves."""

from __future__ import annotations

from typing import Any

import pytest

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.errors import StaleVersion
from app.execution.store import ExecutionStore
from app.execution.verdict import Verdicts
from app.factory import Store
from app.jobs.model import Job
from app.queue.model import Outcome, Status, Trigger, new_execution
from app.services import Services
from tests.builders.queue import LEASE, failure, success, timeout


@pytest.fixture
def verdicts(store: Store, services: Services) -> Verdicts:
    return Verdicts(ExecutionStore(store.database), services.jobs, services.pausing)


def job_of(services: Services, actor: Actor, **fields: Any) -> Job:
    body = {"name": "j", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}, "pause_after_failures": 3}
    return services.jobs.create(actor, {**body, **fields})[0]


def run(store: Store, job: Job, clock: ManualClock, outcome: Outcome, *, delay: float | None = None) -> None:
    executions = ExecutionStore(store.database)
    clock.advance(1)
    executions.add([new_execution(job, now=clock.now(), triggered_by=Trigger.SCHEDULE)])
    (attempt,) = executions.claim_due(owner="w", host="h", now=clock.now(), lease=LEASE, limit=1)
    executions.finish([(attempt, outcome, delay)], now=clock.now())


def test_the_third_failure_in_a_row_pauses_the_job(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, verdicts: Verdicts
) -> None:
    job = job_of(services, super_admin)
    for outcome in (failure(), timeout(), success(), failure(), Outcome(status=Status.CANCELLED), timeout()):
        run(store, job, clock, outcome)
        assert verdicts.tick() == 0
    run(store, job, clock, failure())
    assert (verdicts.tick(), verdicts.tick()) == (1, 0)
    found = services.jobs.get(super_admin, job.id)
    assert found.paused is not None
    assert (found.paused.reason, found.paused.by, found.paused.until, found.next_run_at) == ("3 failed in a row", "system", None, None)
    newest = services.audit.history(AuditFilter(kind="job", target_id=job.id), limit=1)[0]
    assert (newest["action"], newest["actor"]["email"]) == ("job.pause", "system")
    services.pausing.resume(super_admin, job.id)
    for _ in range(2):
        run(store, job, clock, failure())
        assert verdicts.tick() == 0, "who resumes it gives it a fresh start"
    run(store, job, clock, failure())
    assert verdicts.tick() == 1


def test_a_retry_is_no_failure_yet_and_a_lost_worker_is_one(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, verdicts: Verdicts
) -> None:
    job = job_of(services, super_admin, pause_after_failures=1)
    run(store, job, clock, failure(), delay=3600.0)
    assert verdicts.tick() == 0
    executions = ExecutionStore(store.database)
    clock.advance(3600)
    executions.claim_due(owner="w", host="h", now=clock.now(), lease=LEASE, limit=1)
    clock.advance(60)
    (lost,) = executions.find_lost(clock.now(), 10)
    assert executions.end_lost(lost, failure(), None, now=clock.now())
    assert verdicts.tick() == 1
    assert services.jobs.get(super_admin, job.id).paused.reason == "It failed"


def test_jobs_that_cannot_or_need_not_be_paused_are_left_alone(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, verdicts: Verdicts
) -> None:
    by_hand = job_of(services, super_admin, name="by hand", schedule={"type": "manual"}, pause_after_failures=1)
    gone = job_of(services, super_admin, name="gone", pause_after_failures=1)
    off = job_of(services, super_admin, name="off", pause_after_failures=1)
    never = job_of(services, super_admin, name="never", pause_after_failures=0)
    for job in (by_hand, gone, off, never):
        run(store, job, clock, failure())
    services.jobs.delete(super_admin, gone.id)
    services.jobs.set_enabled(super_admin, off.id, enabled=False)
    assert (verdicts.tick(), ExecutionStore(store.database).unjudged(10)) == (0, [])
    assert services.jobs.get(super_admin, never.id).paused is None


def test_an_edit_that_crosses_the_verdict_is_looked_at_again(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(services, super_admin, pause_after_failures=1)
    run(store, job, clock, failure())

    def crossed(*args: Any, **kwargs: Any) -> None:
        raise StaleVersion(1, 2)

    with monkeypatch.context() as patch:
        patch.setattr(services.pausing, "pause", crossed)
        assert verdicts.tick() == 0
    assert verdicts.tick() == 1

"""Backfill: which due times it runs, behind what, and that it harms no run that is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.errors import ValidationFailed
from app.factory import Store
from app.jobs.model import Job
from app.queue.execution import DueTimes, Execution
from app.queue.model import AttemptError, Outcome, Reason, Status
from app.queue.store import QueueStore
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import Queue
from tests.builders.scheduling import dispatcher
from tests.conftest import START, Api, csrf
from tests.posting import Page

LEASE = timedelta(seconds=30)
HOURLY = {"type": "cron", "expression": "0 * * * *"}


def make(services: Services, actor: Actor, **fields: Any) -> Job:
    return services.jobs.create(actor, {"name": "hourly", "template_type": "noop", "schedule": HOURLY, **fields})[0]


def span(first: float, last: float) -> dict[str, str]:
    """Hours from START, which is noon."""
    return {"from": (START + timedelta(hours=first)).isoformat(), "to": (START + timedelta(hours=last)).isoformat()}


def work(store: Store, clock: ManualClock, status: Status = Status.SUCCESS, limit: int = 10) -> list[Any]:
    executions = Queue(store.database)
    attempts = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=limit)
    error = None if status is Status.SUCCESS else AttemptError(type="E", message="m")
    executions.finish([(one, Outcome(status=status, error=error), None) for one in attempts], now=clock.now()) if attempts else None
    return attempts


def test_it_runs_the_range_oldest_first_one_at_a_time(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    job = make(services, super_admin)
    plan = services.backfills.start(super_admin, job.id, span(-5, 0))
    wanted = [START + timedelta(hours=n) for n in range(-5, 0)]
    assert list(plan.due_times) == wanted
    done = []
    while attempts := work(store, clock):
        assert len(attempts) == 1, "they share the job's one place"
        done.append(attempts[0].stands_for)
        clock.advance(1)
    assert done == wanted


def test_what_has_run_already_is_left_out_unless_asked_for(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = make(services, super_admin)
    engine = dispatcher(store, services, clock)
    for outcome in (Status.SUCCESS, Status.FAILED, Status.SUCCESS):
        clock.advance(3600)
        engine.tick()
        (attempt,) = work(store, clock, outcome)
        assert attempt.stands_for is None
    clock.advance(60)
    body = span(0.5, 3.01)
    plan = services.backfills.plan(super_admin, job.id, body)
    assert (list(plan.due_times), plan.done) == ([START + timedelta(hours=2)], 2)
    assert len(services.backfills.plan(super_admin, job.id, {**body, "again": True}).due_times) == 3
    services.backfills.start(super_admin, job.id, body)
    with pytest.raises(ValidationFailed, match="has already run"):
        services.backfills.start(super_admin, job.id, body)
    (made_up,) = work(store, clock)
    assert made_up.stands_for == START + timedelta(hours=2)
    with pytest.raises(ValidationFailed, match="has already run"):
        services.backfills.start(super_admin, job.id, body)


def test_a_due_run_waits_for_a_backfill_and_is_never_skipped_for_it(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = make(services, super_admin, overlap="skip")
    engine = dispatcher(store, services, clock)
    services.backfills.start(super_admin, job.id, span(-20, 0))
    executions = Queue(store.database)
    clock.advance(3599)
    (first,) = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=10)
    clock.advance(1)
    assert engine.tick() == 1
    assert executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=10) == []
    (due,) = store.database["job_executions"].find({"triggered_by": "schedule"})
    assert due["status"] == "queued"
    clock.advance(1)
    executions.finish([(first, Outcome(status=Status.SUCCESS), None)], now=clock.now())
    (second,) = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=10)
    assert second.execution_id == due["_id"], "it goes before the rest of the backfill"
    # The other way round: while the due run is at work, the next due time is skipped as ever.
    clock.advance(3600)
    engine.tick()
    skipped = store.database["job_executions"].find_one({"triggered_by": "schedule", "status": "skipped"})
    assert skipped is not None
    assert skipped["reason"] == "overlap"


def test_blackouts_are_left_out(services: Services, super_admin: Actor) -> None:
    services.calendars.create(super_admin, "c", {"timezone": "UTC", "weekly": [{"days": ["mon"], "from": "08:00", "to": "10:00"}]})
    job = make(services, super_admin, schedule={**HOURLY, "calendars": ["c"]})
    plan = services.backfills.plan(super_admin, job.id, span(-5, 0))
    assert (len(plan.due_times), plan.blackout) == (3, 2)


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        (span(0, -1), "/to", "later than from"),
        (span(-1, 1), "/to", "future"),
        (span(-24 * 60, 0), "/to", "1,440 scheduled times"),
        ({"from": "yesterday", "to": "2026-01-01T00:00:00Z"}, "/from", "date"),
        ({"from": "2026-01-01T00:00:00Z"}, "/to", "required"),
        ({}, "/from", "required"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    services: Services, super_admin: Actor, body: dict[str, str], pointer: str, words: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        services.backfills.start(super_admin, make(services, super_admin).id, body)
    assert pointer in [error.pointer for error in refused.value.errors]
    assert any(words in error.message for error in refused.value.errors)


@pytest.mark.parametrize("schedule", [{"type": "manual"}, {"type": "interval", "interval_seconds": 60}])
def test_a_job_without_due_times_in_the_past_says_so(services: Services, super_admin: Actor, schedule: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        services.backfills.plan(super_admin, make(services, super_admin, schedule=schedule).id, span(-1, 0))


def test_over_rest(api: Api, admin_api: Api, services: Services, super_admin: Actor) -> None:
    job = make(services, super_admin).id
    path = f"/api/admin/scheduler-jobs/{job}/backfill"
    dry = api("POST", path, {**span(-3, 0), "dry_run": True})
    assert (dry.status_code, dry.json["runs"], dry.json["due_times"][0]) == (202, 3, "2026-03-02T09:00:00.000Z")
    assert api("GET", "/api/admin/job-executions").json["total"] == 0
    assert api("POST", path, span(-3, 0)).json["runs"] == 3
    rows = api("GET", "/api/admin/job-executions").json["executions"]
    assert {row["triggered_by"] for row in rows} == {"backfill"}
    assert {row["stands_for"] for row in rows} == set(dry.json["due_times"])
    assert api("DELETE", path).json == {"message": "3 runs cancelled"}
    assert {row["status"] for row in api("GET", "/api/admin/job-executions").json["executions"]} == {"cancelled"}
    dangerous = services.jobs.create(
        super_admin, {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}, "schedule": HOURLY}
    )[0].id
    asked = admin_api("POST", f"/api/admin/scheduler-jobs/{dangerous}/backfill", span(-3, 0))
    assert (asked.status_code, asked.json["approval"]["operation"]) == (202, "job.backfill")
    actions = [event["action"] for event in services.audit.history(AuditFilter(kind="job", target_id=job))]
    assert actions[:2] == ["job.backfill_cancel", "job.backfill"]


def test_on_the_page(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = make(services, super_admin).id
    page = browser_client.get(f"/jobs/{job}/backfill").get_data(as_text=True)
    assert "Queue 24 runs" in page, "nothing was missed: the last day is offered"
    filled = {**dict(Page(page).pairs()), "from": "2026-03-02T09:00", "to": "2026-03-02T12:00", "csrf_token": csrf(page)}
    shown = browser_client.post(f"/jobs/{job}/backfill", data={**filled, "show": "1"}).get_data(as_text=True)
    assert "Queue 3 runs" in shown
    assert "These runs start one after the other" in shown
    assert services.backfill_runs.waiting(super_admin, job) == 0
    taken = browser_client.post(f"/jobs/{job}/backfill", data={**filled, "take": "from=2026-03-02T06:00&to=2026-03-02T08:00"})
    assert 'value="2026-03-02T06:00"' in taken.get_data(as_text=True)
    assert "Queue 2 runs" in taken.get_data(as_text=True)
    wrong = browser_client.post(f"/jobs/{job}/backfill", data={**filled, "from": "", "to": "one day"})
    assert (wrong.status_code, "2 fields need another value" in wrong.get_data(as_text=True)) == (422, True)
    assert browser_client.post(f"/jobs/{job}/backfill", data=filled).status_code == 302
    assert "Backfill: 3 runs waiting" in browser_client.get(f"/jobs/{job}").get_data(as_text=True)
    assert browser_client.post(f"/jobs/{job}/backfill/cancel", data={"csrf_token": csrf(page)}).status_code == 302
    assert services.backfill_runs.waiting(super_admin, job) == 0


def test_the_last_outage_is_the_range_that_is_offered(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    job = make(services, super_admin)
    for status, reason, hour in (("skipped", "overlap", 9), ("missed", "misfire", 3), ("skipped", "paused", 7)):
        record = Execution.summary(
            job,
            START,
            DueTimes(first=START.replace(hour=hour), last=START.replace(hour=hour + 2), count=3),
            status=Status(status),
            reason=Reason(reason),
        )
        QueueStore(store.database, OWING).add_one(record)
    page = browser_client.get(f"/jobs/{job.id}/backfill").get_data(as_text=True)
    assert 'value="2026-03-02T07:00"' in page
    assert 'value="2026-03-02T09:01"' in page
    assert "Queue 3 runs" in page
    assert "Last outage" in page

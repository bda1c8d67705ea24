"""Shadow mode: due times are planned and recorded, each exactly once, and nothing runs; over the service, REST, the commands and pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.errors import ApprovalNeeded, Conflict, ValidationFailed
from app.factory import Store
from app.factory.handlers import _end_handlers
from app.factory.stores import Stores
from app.jobs.model import Job
from app.queue.model import Status
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import new_execution
from tests.builders.scheduling import at_work, dispatcher, every_second, records
from tests.conftest import Api
from tests.support import eventually

JOBS = "/api/admin/scheduler-jobs"


def shadows(store: Store, job: Job) -> list[dict[str, Any]]:
    return list(store.database["shadow_runs"].find({"job_id": job.id}).sort("due_at", 1))


def begin(services: Services, actor: Actor, job: Job) -> Job:
    return services.shadowing.begin(actor, job.id, {"reason": "trying out"})


def test_due_times_become_shadow_runs_and_nothing_runs(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    engine = dispatcher(store, services, clock)
    for _ in range(3):
        clock.advance(1)
        engine.tick()
    runs = shadows(store, job)
    assert [run["outcome"] for run in runs] == ["run"] * 3
    assert len({run["due_at"] for run in runs}) == 3
    assert records(store, job) == []
    assert services.shadowing.runs(super_admin, job.id, limit=10).would_have_run == 3


def test_each_due_time_is_recorded_once_by_many_schedulers(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    with at_work(3, store, services, clock):
        for _ in range(20):
            clock.advance(1)
            eventually(lambda: _next(services, super_admin, job) > clock.now())
    counts = [run["due_at"] for run in shadows(store, job)]
    assert len(counts) == len(set(counts)) == 20


def test_a_scheduler_that_dies_after_planning_loses_no_shadow_run(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    engine = dispatcher(store, services, clock)
    clock.advance(1)
    with monkeypatch.context() as patch:
        patch.setattr(engine._planned, "write", lambda entries: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            engine.tick()
    assert shadows(store, job) == []
    clock.advance(10)
    dispatcher(store, services, clock).recover()
    dispatcher(store, services, clock).recover()
    assert (len(shadows(store, job)), records(store, job)) == (1, [])


def test_an_outage_is_recorded_as_missed_with_its_count(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    job = begin(services, super_admin, every_second(services, super_admin, misfire={"policy": "skip", "grace_seconds": 2}))
    clock.advance(100)
    dispatcher(store, services, clock).tick()
    outcomes = {run["outcome"]: run["count"] for run in shadows(store, job)}
    assert outcomes == {"missed": 97, "run": 1}
    assert len(shadows(store, job)) == 4
    assert records(store, job) == []


def test_the_end_of_shadow_mode_runs_nothing_at_once(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    clock.advance(50)  # nobody has planned these
    after = services.shadowing.end(super_admin, job.id)
    assert after.next_run_at is not None
    assert after.next_run_at > clock.now()
    assert after.shadow is None
    engine = dispatcher(store, services, clock)
    engine.recover()
    clock.advance(1)
    engine.tick()
    assert [row["status"] for row in records(store, job)] == ["queued"]
    assert sum(run["count"] for run in shadows(store, job)) == 50


def test_shadow_mode_can_end_at_a_chosen_due_time(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    """As a hand-over does: a due time that has passed becomes a run, and its shadow run goes."""
    job = services.shadowing.begin(super_admin, every_second(services, super_admin).id, {}, held_by="migration:1")
    engine = dispatcher(store, services, clock)
    for _ in range(5):
        clock.advance(1)
        engine.tick()
    wanted = clock.now() - timedelta(seconds=1)
    with pytest.raises(Conflict, match="belongs to a migration"):
        services.shadowing.end(super_admin, job.id)
    services.shadowing.end(super_admin, job.id, held_by="migration:1", next_run_at=wanted)
    engine.tick()
    ran = [row["scheduled_for"] for row in records(store, job)]
    assert ran == [wanted, clock.now()]
    assert {run["due_at"] for run in shadows(store, job)}.isdisjoint(ran)


@pytest.mark.parametrize("change", ["pause", "disable"])
def test_a_job_that_is_paused_or_switched_off_stays_so_when_its_shadow_mode_ends(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, change: str
) -> None:
    """A hand-over may wait for hours, and people change the job meanwhile."""
    job = services.shadowing.begin(super_admin, every_second(services, super_admin).id, {}, held_by="migration:1")
    if change == "pause":
        services.pausing.pause(super_admin, job.id, {"reason": "not now"})
    else:
        services.jobs.set_enabled(super_admin, job.id, enabled=False)
    wanted = clock.now() + timedelta(seconds=2)
    after = services.shadowing.end(super_admin, job.id, held_by="migration:1", next_run_at=wanted)
    assert (after.shadow, after.next_run_at) == (None, None)
    clock.advance(5)
    dispatcher(store, services, clock).tick()
    assert records(store, job) == []
    if change == "pause":
        services.pausing.resume(super_admin, job.id)
        dispatcher(store, services, clock).recover()
        assert [(row["reason"], row["due_times"]["first"], row["due_times"]["count"]) for row in records(store, job)] == [
            ("paused", wanted, 4)
        ]


def test_beginning_twice_changes_nothing_and_a_manual_job_is_refused(services: Services, super_admin: Actor) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    assert begin(services, super_admin, job).version == job.version
    manual = services.jobs.create(super_admin, {"name": "by hand", "template_type": "noop", "schedule": {"type": "manual"}})[0]
    with pytest.raises(Conflict, match="nothing that shadow mode could record"):
        begin(services, super_admin, manual)
    with pytest.raises(ValidationFailed):
        services.shadowing.begin(super_admin, job.id, {"reason": 5, "other": 1})


def test_a_job_that_runs_after_another_is_recorded(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    first = services.jobs.create(super_admin, {"name": "first", "template_type": "noop", "schedule": {"type": "manual"}})[0]
    body = {"name": "second", "template_type": "noop", "schedule": {"type": "manual"}, "depends_on": [{"job": "first"}]}
    second = begin(services, super_admin, services.jobs.create(super_admin, body)[0])
    stores = Stores.over(store.database, OWING)
    followers = next(handler for handler in _end_handlers(services.settings, stores, services) if handler.name == "followers")
    ended = new_execution(first, now=clock.now(), status=Status.SUCCESS)
    followers.carry_out(ended)
    followers.carry_out(ended)
    assert [(run["outcome"], run["triggered_by"]) for run in shadows(store, second)] == [("run", "dependency")]
    assert records(store, second) == []


def test_an_admin_needs_an_approval_to_end_the_shadow_mode_of_a_dangerous_job(
    services: Services, super_admin: Actor, admin: Actor, clock: ManualClock
) -> None:
    schedule = {"type": "interval", "interval_seconds": 60}
    body = {"name": "wipe", "template_type": "misbehave", "parameters": {"how": "raise"}, "schedule": schedule}
    job = begin(services, super_admin, services.jobs.create(super_admin, body)[0])
    with pytest.raises(ApprovalNeeded) as needed:
        services.shadowing.end(admin, job.id)
    row = services.approvals.ask(admin, needed.value.ask)
    services.approvals.approve(super_admin, row["_id"])
    assert services.jobs.get(super_admin, job.id).shadow is None


def test_shadow_runs_count_nowhere(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    """Neither as runs of their job, nor in lists of what is due, nor in the metrics that alerts look at."""
    job = begin(services, super_admin, every_second(services, super_admin))
    engine = dispatcher(store, services, clock)
    for _ in range(3):
        clock.advance(1)
        engine.tick()
    stored = services.jobs.get(super_admin, job.id)
    assert (stored.last_run_at, stored.last_status) == (None, None)
    assert store.database["job_executions"].count_documents({}) == 0
    values = services.metrics.of_database()
    assert values is not None
    assert values["jobwright_queue_backlog"] == {(): 0.0}
    assert not any(values["jobwright_executions"].values())
    assert services.directory.due_between(super_admin, clock.now() - timedelta(days=1), clock.now() + timedelta(days=1), 10) == []


def test_rest_shows_and_changes_shadow_mode(
    admin_api: Api, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job = every_second(services, super_admin)
    answer = admin_api("POST", f"{JOBS}/{job.id}/shadow", {"reason": "a week beside the old one"})
    assert answer.status_code == 200, answer.json
    assert answer.json["job"]["shadow"]["reason"] == "a week beside the old one"
    clock.advance(1)
    dispatcher(store, services, clock).tick()
    listed = admin_api("GET", f"{JOBS}/{job.id}/shadow-runs").json
    assert (listed["would_have_run"], [row["outcome"] for row in listed["shadow_runs"]]) == (1, ["run"])
    assert [row["id"] for row in admin_api("GET", f"{JOBS}?shadow=true").json["jobs"]] == [job.id]
    assert admin_api("GET", f"{JOBS}?shadow=false").json["jobs"] == []
    ended = admin_api("DELETE", f"{JOBS}/{job.id}/shadow")
    assert (ended.status_code, ended.json["job"]["shadow"]) == (200, None)


@pytest.mark.parametrize("language", ["en", "de"])
def test_pages_show_shadow_mode(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, clock: ManualClock, language: str
) -> None:
    job = begin(services, super_admin, every_second(services, super_admin))
    clock.advance(1)
    dispatcher(store, services, clock).tick()
    headers = {"Accept-Language": language}
    page = browser_client.get(f"/jobs/{job.id}", headers=headers).text
    words = {"en": ("Shadow mode: nothing runs by itself", "1 time", "Shadow runs"), "de": ("Schattenbetrieb", "1 Mal", "Schattenläufe")}
    for text in words[language]:
        assert text in page
    assert "&#34;&gt;" not in page
    assert '">2' not in page.partition('id="shadow-runs"')[2].partition("</table>")[0]
    assert {"en": "shadow mode", "de": "Schattenbetrieb"}[language] in browser_client.get("/jobs?state=shadow", headers=headers).text


def _next(services: Services, actor: Actor, job: Job) -> datetime:
    return services.jobs.get(actor, job.id).next_run_at or datetime.max.replace(tzinfo=UTC)

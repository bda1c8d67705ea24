"""Blackouts and maintenance in the registry, by the dispatcher, over REST and on the pages."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.errors import Conflict, ValidationFailed
from app.factory import Store
from app.jobs.model import Cause
from app.scheduling.dispatcher import Dispatcher
from app.services import Services
from tests.builders.scheduling import at_work, dispatcher, every_second, records
from tests.conftest import START, Api, csrf
from tests.support import seconds_of

# START is a Monday, 12:00 UTC.
LUNCH = {"timezone": "UTC", "weekly": [{"days": ["mon"], "from": "12:01", "to": "12:03"}]}


def run_for(engine: Dispatcher, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
        engine.tick()
        engine.recover()


def seconds(first: int, last: int) -> list[datetime]:
    return [START + timedelta(seconds=n) for n in range(first, last + 1)]


SCHEDULE = {"type": "cron", "expression": "* * * * * *", "calendars": ["lunch"]}


def test_a_blackout_is_one_record_and_what_surrounds_it_runs(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    services.calendars.create(super_admin, "lunch", LUNCH)
    job = every_second(services, super_admin, overlap="queue", schedule=SCHEDULE)
    engine = dispatcher(store, services, clock)
    run_for(engine, clock, 60)
    closed = services.jobs.get(super_admin, job.id)
    assert closed.paused is not None
    assert (closed.paused.cause, closed.paused.reason, closed.next_run_at) == (Cause.CALENDAR, "lunch", START + timedelta(minutes=3))
    assert closed.version == job.version, "nobody changed the job"
    run_for(engine, clock, 125)
    rows = records(store, job)
    assert seconds_of(rows) == seconds(1, 185)
    (skipped,) = [row for row in rows if row["status"] == "skipped"]
    assert (skipped["reason"], skipped["due_times"]["count"]) == ("blackout", 120)
    assert services.jobs.get(super_admin, job.id).paused is None


def test_a_blackout_that_is_taken_away_ends_at_once(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    services.calendars.create(super_admin, "lunch", LUNCH)
    job = every_second(services, super_admin, overlap="queue", schedule=SCHEDULE)
    engine = dispatcher(store, services, clock)
    run_for(engine, clock, 90)
    services.calendars.update(super_admin, "lunch", {"timezone": "UTC", "dates": [{"from": "2030-01-01"}]})
    run_for(engine, clock, 10)
    rows = records(store, job)
    assert seconds_of(rows) == seconds(1, 100)
    assert [row["due_times"]["count"] for row in rows if row["reason"] == "blackout"] == [30]


@pytest.mark.parametrize("ending", ["disable", "reschedule", "delete", "pause"])
def test_whatever_ends_a_blackout_early_leaves_no_due_time_out(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, ending: str
) -> None:
    services.calendars.create(super_admin, "lunch", LUNCH)
    job = every_second(services, super_admin, overlap="queue", schedule=SCHEDULE)
    engine = dispatcher(store, services, clock)
    run_for(engine, clock, 90)
    if ending == "disable":
        services.jobs.set_enabled(super_admin, job.id, enabled=False)
    elif ending == "delete":
        services.jobs.delete(super_admin, job.id)
    elif ending == "pause":
        services.pausing.pause(super_admin, job.id, {"reason": "r"})
        clock.advance(10)
        services.pausing.resume(super_admin, job.id)
    else:
        services.jobs.update(super_admin, job.id, {"schedule": {"type": "cron", "expression": "* * * * * *"}})
    engine.recover()
    until = 100 if ending == "pause" else 90
    assert seconds_of(records(store, job)) == seconds(1, until)
    if ending in {"reschedule", "pause"}:
        run_for(engine, clock, 5)
        assert seconds_of(records(store, job))[:until] == seconds(1, until)


def test_a_person_cannot_resume_what_a_calendar_holds(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    services.calendars.create(super_admin, "lunch", LUNCH)
    job = every_second(services, super_admin, schedule=SCHEDULE)
    run_for(dispatcher(store, services, clock), clock, 61)
    with pytest.raises(Conflict, match="calendar"):
        services.pausing.resume(super_admin, job.id)


def test_maintenance_starts_nothing_and_restores_what_was(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    jobs = [every_second(services, super_admin, name=f"j{n}", overlap="queue") for n in range(3)]
    paused = every_second(services, super_admin, name="paused by hand")
    services.pausing.pause(super_admin, paused.id, {"reason": "mine"})
    before = {job.id: services.jobs.get(super_admin, job.id) for job in [*jobs, paused]}
    engine = dispatcher(store, services, clock)
    run_for(engine, clock, 5)
    services.maintenance.begin(super_admin, {"reason": "moving house"})
    run_for(engine, clock, 30)
    during = services.jobs.get(super_admin, jobs[0].id)
    assert during.paused is not None
    assert (during.paused.cause, during.paused.reason, during.next_run_at) == (Cause.MAINTENANCE, "moving house", None)
    assert services.maintenance.end(super_admin)
    run_for(engine, clock, 5)
    for job in jobs:
        rows = records(store, job)
        assert seconds_of(rows) == seconds(1, 40)
        (skipped,) = [row for row in rows if row["status"] == "skipped"]
        assert (skipped["reason"], skipped["due_times"]["count"]) == ("maintenance", 29), "its end is not part of it"
        after = services.jobs.get(super_admin, job.id)
        assert (after.definition, after.version, after.paused) == (before[job.id].definition, before[job.id].version, None)
    assert services.jobs.get(super_admin, paused.id).paused == before[paused.id].paused
    assert records(store, paused) == []


def test_an_end_of_maintenance_that_was_killed_half_way_is_finished(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = every_second(services, super_admin, overlap="queue")
    engine = dispatcher(store, services, clock)
    services.maintenance.begin(super_admin, {"reason": "r"})
    run_for(engine, clock, 3)
    with monkeypatch.context() as patch:
        patch.setattr(services.maintenance, "_replan_jobs", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            services.maintenance.end(super_admin)
    run_for(engine, clock, 3)
    assert records(store, job) == []
    assert services.maintenance.settle() == 1
    run_for(engine, clock, 3)
    assert seconds_of(records(store, job)) == seconds(1, 9)


def test_switches_of_maintenance_race_with_dispatchers_and_lose_nothing(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    jobs = [every_second(services, super_admin, name=f"j{n}", overlap="queue") for n in range(5)]
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            services.maintenance.begin(super_admin, {"reason": "r"})
            services.maintenance.end(super_admin)
            services.maintenance.settle()

    engine = threading.Thread(target=switch)
    with at_work(3, store, services, clock):
        engine.start()
        for _ in range(40):
            clock.advance(1)
            stop.wait(0.02)
        stop.set()
        engine.join()
    services.maintenance.end(super_admin)
    last = dispatcher(store, services, clock)
    for _ in range(3):
        services.maintenance.settle()
        run_for(last, clock, 1)
    for job in jobs:
        assert seconds_of(records(store, job)) == seconds(1, 43)


def test_calendars_over_rest(api: Api, admin_api: Api) -> None:
    created = admin_api("POST", "/api/admin/calendars", {"name": "lunch", **LUNCH})
    assert created.status_code == 201
    assert created.json["upcoming"][0] == {"start": "2026-03-02T12:01:00.000Z", "end": "2026-03-02T12:03:00.000Z"}
    assert api("POST", "/api/admin/calendars", {"name": "lunch", **LUNCH}).status_code == 409
    assert api("POST", "/api/admin/calendars", {"name": "$x", **LUNCH}).json["errors"][0]["pointer"] == "/name"
    assert (
        api(
            "POST", "/api/admin/calendars", {"name": "y", "timezone": "UTC", "weekly": [{"days": ["mon"], "from": "9", "to": "10:00"}]}
        ).json["errors"][0]["pointer"]
        == "/weekly/0/from"
    )
    job = {"name": "j", "template_type": "noop", "schedule": {**SCHEDULE, "calendars": ["lunch", "gone"]}}
    assert api("POST", "/api/admin/scheduler-jobs", job).json["errors"] == [
        {"pointer": "/schedule/calendars/1", "detail": "is not the name of a blackout calendar: 'gone'"}
    ]
    made = api("POST", "/api/admin/scheduler-jobs", {**job, "schedule": SCHEDULE})
    assert made.json["job"]["schedule"]["calendars"] == ["lunch"]
    refused = api("DELETE", "/api/admin/calendars/lunch")
    assert (refused.status_code, "1 job uses this calendar (j)" in refused.json["detail"]) == (409, True)
    stale = api("PUT", "/api/admin/calendars/lunch", LUNCH, If_Match='"7"')
    assert stale.status_code == 412
    assert api("PUT", "/api/admin/calendars/lunch", LUNCH, If_Match='"1"').json["calendar"]["version"] == 2
    api("DELETE", f"/api/admin/scheduler-jobs/{made.json['job']['_id']}")
    assert api("DELETE", "/api/admin/calendars/lunch").status_code == 200
    assert api("GET", "/api/admin/calendars").json == {"calendars": []}
    assert api("GET", "/api/admin/calendars/lunch").status_code == 404


def test_maintenance_over_rest_is_a_super_admins(api: Api, admin_api: Api, services: Services) -> None:
    assert admin_api("PUT", "/api/admin/maintenance", {"reason": "r"}).status_code == 403
    assert api("PUT", "/api/admin/maintenance", {"reason": " "}).json["errors"][0]["pointer"] == "/reason"
    on = api("PUT", "/api/admin/maintenance", {"reason": "moving"}).json
    assert (on["on"], on["reason"], on["by"]) == (True, "moving", "admin@example.com")
    assert admin_api("GET", "/api/admin/maintenance").json["on"] is True
    assert api("DELETE", "/api/admin/maintenance").json == {"on": False}
    actions = [event["action"] for event in services.audit.history(AuditFilter(kind="installation", target_id="maintenance"))]
    assert actions == ["maintenance.end", "maintenance.begin"]


def test_the_pages(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    assert "No blackout calendars yet" in browser_client.get("/calendars").get_data(as_text=True)
    page = browser_client.get("/calendars/new").get_data(as_text=True)
    services.calendars.create(super_admin, "lunch", LUNCH)
    assert "12:03" in browser_client.get("/calendars/lunch").get_data(as_text=True)
    form = browser_client.get("/jobs/new?template=noop").get_data(as_text=True)
    assert 'name="s.calendar:lunch"' in form
    token = {"csrf_token": csrf(page)}
    fields = {"s.type": "cron", "s.expression": "* * * * *", "s.timezone": "UTC", "s.calendar:lunch": "1", "s.typical": "90"}
    preview = browser_client.post("/jobs/schedule-preview", data={**token, **fields}).get_data(as_text=True)
    assert preview.count("skipped by the blackout calendar lunch") == 2
    assert preview.count("the previous run may still be running: it takes about 1 minute 30 seconds") == 4
    answer = browser_client.post("/maintenance", data={**token, **_texts(browser_client.get("/maintenance"), "moving house")})
    assert answer.status_code == 302
    assert "moving house" in browser_client.get("/jobs").get_data(as_text=True)
    assert browser_client.post("/maintenance/end", data=token).status_code == 302
    assert "moving house" not in browser_client.get("/jobs").get_data(as_text=True)
    assert browser_client.post("/calendars/lunch/delete", data=token).status_code == 302


def _texts(page: Any, text: str) -> dict[str, str]:
    """The pairs of a form with one text field, filled."""
    from tests.posting import Page

    pairs = dict(Page(page.get_data(as_text=True)).pairs())
    (field,) = [name for name in pairs if name.endswith(("reason", ".0"))]
    return {**pairs, field: text}


def test_an_empty_calendar_is_refused(services: Services, super_admin: Actor) -> None:
    with pytest.raises(ValidationFailed):
        services.calendars.create(super_admin, "x", {"timezone": "UTC"})

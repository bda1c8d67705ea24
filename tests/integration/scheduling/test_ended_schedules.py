"""Schedules that have ended or not begun: told in words and in lists, and not switched on by any way."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.services import Services
from tests.builders.scheduling import dispatcher
from tests.conftest import Api, csrf
from tests.posting import text

JOBS = "/api/admin/scheduler-jobs"
ADVICE = {
    "interval": {"/schedule/end_at": "is in the past. Choose a later end, or remove the end."},
    "cron": {"/schedule/end_at": "is in the past. Choose a later end, or remove the end."},
    "once": {"/schedule/run_at": "is in the past. Choose a later time."},
}


def at(clock: ManualClock, seconds: float) -> str:
    return (clock.now() + timedelta(seconds=seconds)).isoformat()


def bounded(clock: ManualClock, kind: str) -> dict[str, Any]:
    """A schedule of a kind that ends within an hour."""
    rest = {"interval": {"interval_seconds": 60}, "cron": {"expression": "* * * * *"}, "once": {"run_at": at(clock, 3600)}}[kind]
    return {"type": kind, **rest, **({} if kind == "once" else {"end_at": at(clock, 3600)})}


def make(services: Services, actor: Actor, name: str = "bounded", **fields: Any) -> Job:
    return services.jobs.create(actor, {"name": name, "template_type": "noop", "parameters": {}, **fields})[0]


def pointers(answer: Any) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in answer.json["errors"]}


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "Every minute"),
        ({"start_at": "2027-01-01T00:00:00+01:00"}, "Every minute, from 2026-12-31 23:00:00 UTC"),
        ({"end_at": "9999-12-31T23:59:59Z"}, "Every minute, until 9999-12-31 23:59:59 UTC"),
        (
            {"start_at": "0001-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
            "Every minute, from 0001-01-01 00:00:00 until 2027-01-01 00:00:00 UTC",
        ),
    ],
)
@pytest.mark.parametrize("rule", [{"type": "interval", "interval_seconds": 60}, {"type": "cron", "expression": "* * * * *"}])
def test_the_words_of_a_schedule_say_from_when_and_until_when(
    api: Api, browser_client: FlaskClient, rule: dict[str, Any], bounds: dict[str, str], words: str
) -> None:
    job = api("POST", JOBS, {"name": "x", "template_type": "noop", "parameters": {}, "schedule": {**rule, **bounds}}).json["job"]
    assert job["schedule_words"] == words
    assert words in text(browser_client.get("/jobs"))
    assert words in text(browser_client.get(f"/jobs/{job['_id']}"))
    german = api("GET", f"{JOBS}/{job['_id']}", Accept_Language="de").json["job"]["schedule_words"]
    assert (" bis " in german, " ab " in german or "von " in german) == ("end_at" in bounds, "start_at" in bounds)


@pytest.mark.parametrize("kind", list(ADVICE))
def test_an_ended_schedule_says_when_and_cannot_be_switched_on_by_any_way(
    services: Services, super_admin: Actor, api: Api, browser_client: FlaskClient, clock: ManualClock, store: Store, kind: str
) -> None:
    job = make(services, super_admin, schedule=bounded(clock, kind), enabled=False)
    path, advice = f"{JOBS}/{job.id}", ADVICE[kind]
    assert (api("GET", path).json["job"]["ended"], api("GET", f"{JOBS}?ended=true").json["total"]) == (False, 0)
    clock.advance(3600)
    assert (api("GET", path).json["job"]["ended"], api("GET", f"{JOBS}?ended=true").json["total"]) == (True, 1)
    for page in ("/jobs", "/jobs?state=ended", f"/jobs/{job.id}"):
        assert "ended on <time" in text(browser_client.get(page)), page
    for method, where, sent in (
        ("POST", f"{path}/enable", None),
        ("PUT", path, {"enabled": True}),
        ("PUT", path, {"enabled": True, "description": "x"}),
    ):
        answer = api(method, where, sent)
        assert (answer.status_code, pointers(answer)) == (422, advice)
    bulk = {"action": "enable", "filter": {"ended": True}}
    words = " ".join(next(iter(advice.items()))).removeprefix("/")
    planned, done = (api("POST", f"{JOBS}/bulk", {**bulk, "dry_run": dry}).json["items"] for dry in (True, False))
    assert [(one["effect"], one["detail"]) for one in planned] == [("cannot", words)]
    assert [(one["result"], one["detail"]) for one in done] == [("failed", words)]
    token = csrf(text(browser_client.get("/jobs")))
    shown = browser_client.post("/jobs/bulk", data={"csrf_token": token, "query": "state=ended", "all": "1", "action": "enable"})
    assert "is in the past" in text(shown)
    assert "is in the past" in text(browser_client.post(f"/jobs/{job.id}/enable", data={"csrf_token": token}))
    assert not services.jobs.get(super_admin, job.id).definition.enabled
    assert api("PUT", path, {"description": "what is off may be changed"}).status_code == 200
    again = {**bounded(clock, kind)}
    assert api("PUT", path, {"enabled": True, "schedule": again}).json["job"]["ended"] is False


def test_a_file_does_not_switch_an_ended_job_on(services: Services, super_admin: Actor, clock: ManualClock) -> None:
    make(services, super_admin, schedule=bounded(clock, "cron"), enabled=False)
    clock.advance(3600)
    file = services.exchange.export(super_admin, "yaml", JobFilter()).replace("enabled: false", "enabled: true")
    plan = services.exchange.plan(super_admin, file)
    assert [error.pointer for step in plan.steps for error in step.errors] == ["/schedule/end_at"]


def test_the_filter_says_what_the_record_says(services: Services, super_admin: Actor, clock: ManualClock, store: Store) -> None:
    """Every kind of schedule, on, off and paused, before, at and after its end."""
    engine = dispatcher(store, services, clock)
    schedules = [
        *(bounded(clock, kind) for kind in ADVICE),
        {"type": "manual"},
        {"type": "cron", "expression": "0 0 1 1 *"},
        {"type": "interval", "interval_seconds": 3000, "end_at": at(clock, 3600)},
    ]
    for number, (schedule, enabled, pause) in enumerate(
        itertools.product(schedules, (True, False), (None, {}, {"until": at(clock, 4000)}))
    ):
        job = make(services, super_admin, f"j{number:02}", schedule=schedule, enabled=enabled)
        if pause is not None and enabled and schedule["type"] != "manual":
            services.pausing.pause(super_admin, job.id, {"reason": "x", **pause})
    store.database["dynamic_jobs"].update_one({"name": "j00"}, {"$set": {"schedule_error": "broken", "next_run_at": None}})
    seen: set[int] = set()
    for seconds in (0.0, 1800.0, 1799.999, 0.001, 0.001, 3600.0):
        clock.advance(seconds)
        engine.tick()
        engine.close()
        now: datetime = clock.now()
        every = services.directory.page(super_admin, JobFilter(), limit=100).items
        for wanted in (True, False):
            found = services.directory.page(super_admin, JobFilter(ended=wanted), limit=100).items
            assert {job.id for job in found} == {job.id for job in every if job.has_ended(now) is wanted}
        seen.add(sum(job.has_ended(now) for job in every))
    assert len(seen) > 2, "nothing changed over time"


def test_a_job_kept_with_another_zone_breaks_no_list_and_can_be_mended(
    services: Services, super_admin: Actor, api: Api, browser_client: FlaskClient, clock: ManualClock, store: Store
) -> None:
    """As one was kept before zones were held to the names of IANA."""
    jobs = [make(services, super_admin, f"z{n}", schedule={"type": "cron", "expression": "0 2 * * *"}) for n in range(3)]
    services.pausing.pause(super_admin, jobs[1].id, {"reason": "x"})
    services.jobs.set_enabled(super_admin, jobs[2].id, enabled=False)
    store.database["dynamic_jobs"].update_many({}, {"$set": {"schedule.timezone": "localtime"}})
    for page in (
        "/jobs",
        "/calendar",
        "/calendar?view=week",
        "/calendar?view=day",
        "/",
        *(f"/jobs/{one.id}{end}" for one in jobs for end in ("", "/edit")),
    ):
        assert browser_client.get(page).status_code == 200, page
    assert api("GET", JOBS).json["total"] == 3
    wrong = {"/schedule/timezone": "'localtime' is not an IANA time zone, such as Europe/Berlin"}
    assert pointers(api("POST", f"{JOBS}/{jobs[2].id}/enable")) == wrong
    assert pointers(api("POST", f"{JOBS}/{jobs[1].id}/resume")) == wrong
    assert api("POST", f"{JOBS}/{jobs[0].id}/backfill", {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}).status_code == 422
    assert api("PUT", f"{JOBS}/{jobs[0].id}", {"description": "x"}).status_code == 200
    clock.advance(86_400)
    engine = dispatcher(store, services, clock)
    engine.tick()
    assert "not an IANA time zone" in api("GET", f"{JOBS}/{jobs[0].id}").json["job"]["schedule_error"]
    assert api("GET", f"{JOBS}?broken=true").json["total"] == 1
    fixed = {"schedule": {"type": "cron", "expression": "0 2 * * *", "timezone": "Europe/Berlin"}}
    for one in jobs:
        mended = api("PUT", f"{JOBS}/{one.id}", fixed)
        assert (mended.status_code, mended.json["job"]["schedule_error"]) == (200, None)
    store.database["dynamic_jobs"].update_many({}, {"$set": {"schedule.timezone": "right/UTC"}})
    for one in jobs:
        assert api("DELETE", f"{JOBS}/{one.id}").status_code == 200
        assert api("POST", f"{JOBS}/{one.id}/undelete").json["job"]["enabled"] is False


def test_a_calendar_kept_with_another_zone_breaks_no_page(api: Api, browser_client: FlaskClient, store: Store) -> None:
    body = {"name": "old", "timezone": "UTC", "weekly": [{"days": ["mon"], "from": "00:00", "to": "24:00"}]}
    assert api("POST", "/api/admin/calendars", body).status_code == 201
    job = {
        "name": "x",
        "template_type": "noop",
        "parameters": {},
        "schedule": {"type": "cron", "expression": "0 2 * * *", "calendars": ["old"]},
    }
    made = api("POST", JOBS, job).json["job"]
    store.database["calendars"].update_many({}, {"$set": {"timezone": "localtime"}, "$inc": {"version": 1}})
    assert api("GET", "/api/admin/calendars/old").json["upcoming"] == []
    for page in ("/calendars", "/calendars/old", f"/jobs/{made['_id']}", f"/jobs/{made['_id']}/edit", "/jobs"):
        assert browser_client.get(page).status_code == 200, page
    refused = api(
        "PUT", "/api/admin/calendars/old", {key: value for key, value in body.items() if key != "name"} | {"timezone": "localtime"}
    )
    assert list(pointers(refused)) == ["/timezone"]
    assert api("PUT", "/api/admin/calendars/old", {"timezone": "UTC", "weekly": body["weekly"]}).status_code == 200

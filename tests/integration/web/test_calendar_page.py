"""The calendar: what ran and what is due, by the viewer's own days; counted once, and kept to one's own groups."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.execution.day_store import Tally
from app.factory import Store
from app.scheduling.day_table import MOST_TIMES
from app.services import Services
from app.triggers import CronTrigger
from tests.conftest import START
from tests.posting import text


def make(services: Services, actor: Actor, name: str, expression: str = "0 2 * * *", **changes: Any) -> str:
    schedule = {"type": "cron", "expression": expression, **changes.pop("schedule", {})}
    return services.jobs.create(actor, {"name": name, "template_type": "noop", "schedule": schedule, **changes})[0].id


def ran(store: Store, job_id: str, status: str, at: datetime, seconds: float = 4.0) -> None:
    job = store.database["dynamic_jobs"].find_one({"_id": job_id})
    assert job is not None
    store.database["job_executions"].insert_one(
        {
            "_id": f"{job_id}{at.isoformat()}",
            "job_id": job_id,
            "job_name": job["name"],
            "group": job.get("group") or "",
            "template_type": "noop",
            "status": status,
            "reason": None,
            "queued_at": at,
            "started_at": at,
            "completed_at": at + timedelta(seconds=seconds),
            "duration_seconds": seconds,
            **({"live": True, "completed_at": None, "duration_seconds": None} if status == "running" else {}),
        }
    )


def cells(client: FlaskClient, query: str, selector: str) -> list[str]:
    answer = client.get(f"/calendar?{query}")
    assert answer.status_code == 200
    return [re.sub(r"\s+", " ", node.text(separator=" ")).strip() for node in LexborHTMLParser(text(answer)).css(selector)]


def day(client: FlaskClient, on: str = "2026-03-02") -> LexborHTMLParser:
    return LexborHTMLParser(text(client.get(f"/calendar?view=day&on={on}")))


def named(page: LexborHTMLParser) -> list[str]:
    return [cell.text() for cell in page.css(".gantt-name")]


@pytest.fixture
def berlin(browser_client: FlaskClient) -> FlaskClient:
    browser_client.set_cookie("jobwright_zone", "Europe/Berlin")
    return browser_client


def test_a_month_is_of_the_viewers_days(berlin: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job = make(services, super_admin, "nightly")
    for at, status in (
        (datetime(2026, 3, 1, 22, 59, tzinfo=UTC), "success"),
        (datetime(2026, 3, 1, 23, 1, tzinfo=UTC), "failed"),
        (datetime(2026, 2, 22, 22, 59, tzinfo=UTC), "success"),
    ):
        ran(store, job, status, at)
    found = cells(berlin, "on=2026-03-02", "table.month td")
    assert len(found) == 42
    by_day = dict(zip([*range(23, 29), *range(1, 32), *(f"April {n}" for n in range(1, 6))], found, strict=True))
    assert by_day[1] == "1 1 run"
    assert by_day[2].startswith("2 1 run 1 failed")
    assert "due" not in by_day[2], "today's two o'clock is over"
    assert by_day[3] == "3 1 due 03:00 nightly"
    assert by_day[30] == "30 1 due 04:00 nightly", "summer time begins on the 29th; the job is in UTC"
    assert cells(berlin, "on=2026-02-10", "table.month td")[-1] == "1 1 run"


def test_a_week_has_an_hour_that_is_not_there_and_one_twice(berlin: FlaskClient, services: Services, super_admin: Actor) -> None:
    make(services, super_admin, "each hour", "0 * * * *")
    spring = cells(berlin, "view=week&on=2026-03-29", "table.heat td")
    assert (spring[6 + 7 * 2], spring[6 + 7 * 3]) == ("", "+1 due")
    autumn = cells(berlin, "view=week&on=2026-10-25", "table.heat td")
    assert (autumn[6 + 7 * 2], autumn[6 + 7 * 3]) == ("+2 due", "+1 due")
    assert sum(int(one.split()[0]) for one in autumn if one) == 7 * 24 + 1


def test_a_day_shows_runs_beside_each_other(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    long, quick = make(services, super_admin, "long", "0 14 * * *"), make(services, super_admin, "quick", "*/5 * * * *")
    ran(store, long, "failed", START - timedelta(hours=3), 7200.0)
    ran(store, quick, "running", START - timedelta(minutes=30))
    page = day(browser_client)
    assert named(page) == ["long", "quick"]
    bars = [
        (bar.attributes["class"], float(bar.attributes["x"] or 0), float(bar.attributes["width"] or 0)) for bar in page.css(".gantt a rect")
    ]
    assert sorted(bars) == [("state-failed", 540.0, 120.0), ("state-running", 690.0, 30.0)]
    assert [float(mark.attributes["x"] or 0) for mark in page.css("rect.gantt-due")] == [840.0]
    (due,) = [path.attributes["d"] or "" for path in page.css("path.gantt-due")]
    assert due.startswith("M720 4H723v12H720zM725 4H728v12H725z"), "each five minutes from now on"
    assert due.count("M") == 144
    assert [svg.attributes["aria-label"] for svg in page.css(".gantt svg")] == ["1 run, 1 due", "1 run, 144 due"]
    assert "No job ran" in text(browser_client.get("/calendar?view=day&on=2026-01-01"))
    assert "No runs on this day" in text(browser_client.get("/calendar?view=day&on=2026-01-01"))


def test_a_row_has_every_run_of_its_job(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.views.timeline.MOST_SINGLE", 1)
    each, seldom = make(services, super_admin, "each", "0 * * * *"), make(services, super_admin, "seldom", "0 3 * * *")
    for minutes in (0, 2, 10, 200):
        ran(store, each, "success", START.replace(hour=0) + timedelta(minutes=minutes))
    ran(store, each, "failed", START.replace(hour=0) + timedelta(minutes=30))
    ran(store, seldom, "success", START.replace(hour=3), 0.1)
    ran(store, each, "success", START - timedelta(days=1))
    store.database["job_executions"].update_one({"queued_at": START.replace(hour=0, minute=10)}, {"$set": {"dry": True}})
    page = day(browser_client)
    assert named(page) == ["each", "seldom"]
    paths = [(path.attributes["class"], path.attributes["d"]) for path in page.css(".gantt a path")]
    assert ("state-success", "M0 4H5v12H0zM200 4H203v12H200z") in paths, "two that touch are one; a preview is none"
    assert ("state-failed", "M30 4H33v12H30z") in paths
    assert ("state-success", "M180 4H183v12H180z") in paths, "no newer run has pushed it out"
    assert page.css_first(".gantt svg").attributes["aria-label"] == "4 runs, 12 due"  # type: ignore[union-attr]
    links = {link.attributes["href"] for link in page.css(".gantt a:has(path)")}
    assert f"/executions?job={each}&status=failed&from=2026-03-02&to=2026-03-02" in links
    assert "5 executions." in page.text()
    assert not re.search("The timeline shows|This page shows", page.text())


@pytest.mark.parametrize(("whole", "merged", "found"), [(0, 1000, True), (0, 0, False)])
def test_a_day_of_very_many_runs_shows_the_jobs_that_stand_out(
    browser_client: FlaskClient,
    services: Services,
    super_admin: Actor,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    whole: int,
    merged: int,
    found: bool,
) -> None:
    for name, value in (("MOST_ROWS", 2), ("MOST_SINGLE", 1), ("MOST_WHOLE", whole), ("MOST_MERGED", merged)):
        monkeypatch.setattr(f"web.views.timeline.{name}", value)
    ids = {name: make(services, super_admin, name, "0 * * * *") for name in ("bad", "long", "newest", "other")}
    ran(store, ids["bad"], "failed", START - timedelta(hours=5))
    ran(store, ids["bad"], "success", START - timedelta(hours=4))
    ran(store, ids["long"], "success", START - timedelta(hours=3), 600.0)
    ran(store, ids["other"], "success", START - timedelta(hours=2))
    ran(store, ids["newest"], "success", START - timedelta(hours=1))
    page = day(browser_client)
    assert named(page) == ["bad", "long"]
    assert len(page.css(".gantt a rect")) == 2
    paths = sorted(path.attributes["class"] or "" for path in page.css(".gantt a path"))
    assert paths == (["state-failed", "state-success", "state-success"] if found else [])
    assert "This page shows 2 of the jobs of this day" in page.text()
    assert ("The timeline shows" in page.text()) is not found


def test_what_is_due_all_the_time_is_one_bar(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    make(services, super_admin, "office hours", "* 8-17 * * *", schedule={"timezone": "Asia/Kolkata"})
    make(services, super_admin, "always", "* * * * * *")
    for on, begins in (("2026-03-02", "M720 4H"), ("2026-03-03", "M0 4H")):
        page = day(browser_client, on)
        due = dict(zip(named(page), [path.attributes["d"] or "" for path in page.css("path.gantt-due")], strict=True))
        assert due["always"] == f"{begins}1440v12{begins[1:].split()[0].join('Hz')}"
    assert due["office hours"] == "M150 4H750v12H150z", "half past two to half past twelve in UTC"


def test_a_run_over_midnight_is_on_both_days(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job, midnight = make(services, super_admin, "over", "0 23 * * *"), START.replace(hour=0)
    ran(store, job, "success", midnight - timedelta(hours=1), 7200.0)
    bars = [
        [(bar.attributes["x"], bar.attributes["width"]) for bar in day(browser_client, on).css(".gantt a rect")]
        for on in ("2026-03-01", "2026-03-02", "2026-03-03")
    ]
    assert bars == [[("1380.0", "60.0")], [("0.0", "60.0")], []]


def test_the_axis_is_the_clock_on_the_wall(berlin: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    """On 29 March, 02:00 to 03:00 is not there in Berlin; on 25 October it is there twice."""
    job = make(services, super_admin, "quick", "30 3 * * *", schedule={"timezone": "Europe/Berlin"})
    ran(store, job, "success", datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
    ran(store, job, "success", datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    for hour in (0, 1):
        ran(store, job, "success", datetime(2026, 10, 25, hour, 30, tzinfo=UTC))
    spring, autumn = day(berlin, "2026-03-29"), day(berlin, "2026-10-25")
    assert [bar.attributes["x"] for bar in spring.css(".gantt a rect")] == ["210.0", "90.0"]
    assert [path.attributes["d"] for path in spring.css(".gantt a path")] == ["M90 4H93v12H90zM210 4H213v12H210z"]
    assert [mark.attributes["x"] for mark in spring.css("rect.gantt-due")] == ["210.0"]
    assert [bar.attributes["x"] for bar in autumn.css(".gantt a rect")] == ["150.0", "150.0"], "half past two, twice"


@pytest.mark.parametrize(
    "query", ["view=x", "on=x", "on=9999-12-31", "on=0001-01-01", "view=week&on=9998-12-31", "view=day&on=1970-01-01", "on=2026-02-30"]
)
def test_odd_addresses_are_answered(browser_client: FlaskClient, query: str) -> None:
    assert browser_client.get(f"/calendar?{query}").status_code == 200


def test_a_settled_day_is_counted_once_and_the_last_days_again(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job, begin = make(services, super_admin, "j"), START.replace(hour=0) - timedelta(days=9)
    end = START.replace(hour=0) + timedelta(days=1)
    ran(store, job, "success", begin + timedelta(hours=1))
    ran(store, job, "success", START - timedelta(minutes=5))
    first = services.overview.hours(super_admin, begin, end)
    assert first == {
        begin + timedelta(hours=1): Tally({"success": 1}, 4.0),
        START - timedelta(hours=1): Tally({"success": 1}, 4.0),
    }
    ran(store, job, "failed", begin + timedelta(hours=2))
    ran(store, job, "failed", START - timedelta(minutes=4))
    assert services.overview.hours(super_admin, begin, end) == first, "both were counted a moment ago"
    clock.advance(61)
    again = services.overview.hours(super_admin, begin, end)
    assert begin + timedelta(hours=2) not in again, "a day of last week has settled"
    assert again[START - timedelta(hours=1)] == Tally({"success": 1, "failed": 1}, 4.0)
    assert services.overview.hours(super_admin, begin, begin + timedelta(hours=1)) == {}
    store.database["execution_days"].update_many({}, {"$unset": {"seconds": ""}})
    whole = services.overview.hours(super_admin, begin, end)
    assert whole[begin + timedelta(hours=2)] == Tally({"failed": 1}, 0.0), "what an earlier release counted is counted again"
    assert store.database["execution_days"].count_documents({}) == 2, "days without any are not kept"


def test_whoever_is_kept_to_groups_sees_theirs(services: Services, super_admin: Actor, store: Store) -> None:
    mine, theirs = make(services, super_admin, "mine", group="north"), make(services, super_admin, "theirs", group="south")
    for job in (mine, theirs):
        ran(store, job, "success", START - timedelta(hours=1))
    kept = replace(super_admin, groups=frozenset({"north"}))
    begin, end = START - timedelta(days=1), START + timedelta(days=2)
    assert sum(one.total for one in services.overview.hours(kept, begin, end).values()) == 1
    due = services.forecast.hours(kept, START, end, "UTC")
    assert {one.name for hour in due.values() for one in hour.named} == {"mine"}
    assert [row.job_id for row in services.overview.drawn(kept, begin, end, 10)] == [mine]
    assert [row.job_id for row in services.overview.minutes(kept, begin, end)] == [mine]
    assert [row.job_id for row in services.overview.minutes(kept, begin, end, [mine, theirs])] == [mine]
    assert services.forecast.due_jobs(kept, begin, end, 10) == {mine: "mine"}
    assert list(services.forecast.due_times(kept, begin, end, [mine, theirs])) == [mine]


# -- what is due ------------------------------------------------------------------------------------------------------

EXPRESSIONS = st.sampled_from(
    ["*/7 * * * *", "0 * * * *", "5,35 9-17 * * 1-5", "30 2 * * *", "0 6 1 * *", "* * * * *", "15 */6 * * *", "0 0 * * 0"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]), st.integers(0, 400))
def test_the_forecast_is_what_the_triggers_say(services: Services, store: Store, expressions: list[str], zone: str, days: int) -> None:
    store.database["dynamic_jobs"].delete_many({})
    for place, expression in enumerate(expressions):
        make(services, SYSTEM, f"j{place}", expression, schedule={"timezone": zone})
    begin = START + timedelta(days=days, minutes=17)
    end = begin + timedelta(days=2)
    services.forecast._answers.clear()
    found = services.forecast.hours(SYSTEM, begin, end, zone)
    expected = 0
    for expression in expressions:
        trigger = CronTrigger(expression=expression, timezone=zone)
        expected += trigger.count(begin - timedelta(milliseconds=1), end - timedelta(milliseconds=1))
    assert sum(one.count for one in found.values()) == expected
    assert all(at.minute == 0 and one.count > 0 for at, one in found.items())
    ids = services.forecast.due_jobs(SYSTEM, begin, end, 60)
    times = services.forecast.due_times(SYSTEM, begin, end, list(ids))
    assert sum(one.count for one in times.values()) == expected
    for job_id, one in times.items():
        trigger = CronTrigger(expression=expressions[int(ids[job_id][1:])], timezone=zone)
        told = takewhile(lambda at: at < end, trigger.iter_after(begin - timedelta(milliseconds=1)))
        assert one.count > MOST_TIMES or [at for at, _ in one.spans] == list(told)
        assert all(begin <= at and at + length <= end for at, length in one.spans)
        assert len(one.spans) == one.count if one.count <= MOST_TIMES else len(one.spans) <= 2 * 96 + 1


def test_a_crowded_minute_and_the_nearest_free_one(services: Services, super_admin: Actor) -> None:
    jobs = [make(services, super_admin, f"j{n}", "0 2 * * *") for n in range(5)]
    make(services, super_admin, "next minute", "1 2 * * *")
    make(services, super_admin, "off", "0 2 * * *", enabled=False)
    services.jobs.create(
        super_admin, {"name": "each minute", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 3600}}
    )
    at = datetime(2026, 3, 3, 2, tzinfo=UTC)
    rush = services.forecast.rush(at)
    assert (rush.others, rush.free, rush.others_then) == (6, at + timedelta(minutes=2), 0), "the interval of an hour falls on it too"
    assert services.forecast.rush(at, without=jobs[0]).others == 5
    assert services.forecast.rush(at + timedelta(minutes=30)).free is None


def test_a_week_adds_up_its_days_and_a_month_shows_the_share_of_failures(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    job = make(services, super_admin, "nightly")
    for hours, status in ((1, "failed"), (2, "success"), (3, "success"), (4, "success")):
        ran(store, job, status, START - timedelta(hours=hours))
    totals = cells(browser_client, "view=week&on=2026-03-02", "table.heat tfoot td")
    assert totals[0] == "4 1 failed"
    month = LexborHTMLParser(text(browser_client.get("/calendar?on=2026-03-02")))
    assert [bar.attributes["width"] for bar in month.css(".share .state-failed")] == ["25.0"]
    jump = month.css_first("#jump")
    assert jump is not None
    assert jump.attributes["value"] == "2026-03-02"


def test_failing_jobs_come_first_in_a_day(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    early, late = make(services, super_admin, "early"), make(services, super_admin, "late")
    ran(store, early, "success", START - timedelta(hours=9), 1.0)
    ran(store, late, "failed", START - timedelta(hours=2), 1.0)
    page = day(browser_client)
    assert named(page) == ["late", "early"]
    assert [bar.attributes["width"] for bar in page.css(".gantt rect.state-failed")] == ["9.0"], "a failure can be seen and pressed"

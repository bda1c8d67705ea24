"""The dashboard: what needs someone, what runs, what comes, how the last day was; kept to one's own groups, answered from indexes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.jobs.records import RunEnd
from app.mongo import Document
from app.services import Services
from tests.conftest import START

HOURLY = {"type": "cron", "expression": "0 * * * *"}


def make(services: Services, actor: Actor, name: str, **changes: Any) -> str:
    return services.jobs.create(actor, {"name": name, "template_type": "noop", "schedule": HOURLY, **changes})[0].id


def ran(store: Store, services: Services, actor: Actor, job_id: str, status: str, at: datetime, **changes: Any) -> None:
    """An execution as the engine would have left it."""
    job = services.jobs.get(actor, job_id)
    row: Document = {
        "_id": f"{job_id}{at.isoformat()}{status}",
        "job_id": job_id,
        "job_name": job.definition.name,
        "group": job.definition.group,
        "template_type": "noop",
        "status": status,
        "reason": None,
        "queued_at": at,
        "started_at": at,
        "completed_at": at + timedelta(seconds=4),
        "duration_seconds": 4.0,
        "progress": None,
        "error": {"message": "no route to host"} if status == "failed" else None,
        "result": None,
        "triggered_by": "schedule",
        "triggered_by_user": None,
        **changes,
    }
    if status == "running":
        row |= {"live": True, "completed_at": None, "duration_seconds": None}
    store.database["job_executions"].insert_one(row)
    if row["completed_at"] is not None:
        DispatchStore(store.database).note_runs([RunEnd(job_id, at, status)])


def page(client: FlaskClient, address: str = "/") -> LexborHTMLParser:
    answer = client.get(address)
    assert answer.status_code == 200
    return LexborHTMLParser(answer.get_data(as_text=True))


def section(found: LexborHTMLParser, heading: str) -> str:
    node = next(one for one in found.css("#dashboard section") if (h := one.css_first("h2")) is not None and h.text().startswith(heading))
    return " ".join(node.text().split())


def test_an_installation_where_nothing_happens_says_so(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "by hand only", "template_type": "noop"})
    found = page(browser_client)
    assert "Nothing is failing, and nothing ran in the last 24 hours." in section(found, "Needs attention")
    assert "No scheduler is online on this database. No job starts." in section(found, "Needs attention")
    assert [" ".join(h.text().split()).removesuffix(" 0") for h in found.css("#dashboard h2")] == [
        "Needs attention",
        "Running now",
        "Next runs",
        "Health",
        "Templates in use",
    ], "no empty chart is shown"
    assert found.css_first("svg.hours") is None


def test_a_day_is_told_by_hour_and_outcome(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    good, bad, mended = (make(services, super_admin, name) for name in ("good", "bad", "mended"))
    for hours in (1, 2, 30):
        ran(store, services, super_admin, good, "success", START - timedelta(hours=hours))
    ran(store, services, super_admin, bad, "success", START - timedelta(hours=3))
    ran(store, services, super_admin, bad, "failed", START - timedelta(minutes=5))
    ran(store, services, super_admin, mended, "failed", START - timedelta(hours=5))
    ran(store, services, super_admin, mended, "success", START - timedelta(hours=4))
    ran(store, services, super_admin, good, "skipped", START - timedelta(hours=1))
    day = services.overview.day(super_admin)
    assert (day.total, day.success) == (7, pytest.approx(4 / 6))
    assert [row.job_name for row in services.attention.failing(super_admin).open] == ["bad"]
    found = page(browser_client)
    needs = section(found, "Needs attention")
    assert "bad" in needs
    assert "no route to host" in needs
    assert "mended" not in needs
    last = section(found, "Last 24 hours")
    assert "7 executions" in last
    assert "66.7 % of runs succeeded" in last
    rows = [[cell.text() for cell in row.css("td")] for row in found.css(".last-day tbody tr")]
    assert ["11:00", "3", "1 successful, 1 skipped, 1 failed"] in rows
    assert [len(chart.css("rect")) for chart in found.css(".last-day:has(#last-day) svg.hours")] == [5, 2], (
        "failures have a chart of their own"
    )


def test_what_runs_shows_how_long_it_will_take(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    counted, typical = make(services, super_admin, "counted"), make(services, super_admin, "typical")
    for minutes in range(3):
        ran(store, services, super_admin, typical, "success", START - timedelta(minutes=60 + minutes), duration_seconds=90.0)
    ran(store, services, super_admin, counted, "running", START - timedelta(seconds=30), progress={"done": 25, "total": 100, "note": ""})
    ran(store, services, super_admin, typical, "running", START - timedelta(seconds=30))
    left = {one.execution.job_name: one.seconds_left for one in services.overview.running(super_admin)}
    assert left == {"counted": 90.0, "typical": 60.0}
    assert "25 %" in section(page(browser_client, "/?live"), "Running now")


def test_the_page_of_maintenance_lists_what_still_runs(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    started = START - timedelta(seconds=30)
    ran(store, services, super_admin, make(services, super_admin, "long"), "running", started, execution_host="node-7")
    ran(store, services, super_admin, make(services, super_admin, "nowhere yet"), "running", started)
    rows = [[" ".join(cell.text().split()) for cell in row.css("td")] for row in page(browser_client, "/maintenance").css("main tbody tr")]
    assert {row[0]: row[3] for row in rows} == {"long": "node-7", "nowhere yet": "–"}


def test_what_comes_within_a_day_is_there_and_no_more(services: Services, super_admin: Actor) -> None:
    make(services, super_admin, "soon")
    make(services, super_admin, "off", enabled=False)
    make(services, super_admin, "next week", schedule={"type": "once", "run_at": (START + timedelta(days=7)).isoformat()})
    paused = make(services, super_admin, "paused")
    services.pausing.pause(super_admin, paused, {"reason": "x"})
    assert [job.definition.name for job in services.overview.coming(super_admin)] == ["soon"]


def test_whoever_is_kept_to_groups_sees_those(services: Services, super_admin: Actor, store: Store) -> None:
    own, other = make(services, super_admin, "own", group="north"), make(services, super_admin, "other", group="south")
    for job_id in (own, other):
        ran(store, services, super_admin, job_id, "failed", START - timedelta(minutes=5))
        ran(store, services, super_admin, job_id, "running", START)
    kept = replace(super_admin, role="admin", groups=frozenset({"north"}))
    day = services.overview.day(kept)
    assert (day.total, [row.job_name for row in services.attention.failing(kept).open]) == (1, ["own"])
    assert [one.execution.job_name for one in services.overview.running(kept)] == ["own"]
    assert [job.definition.name for job in services.overview.coming(kept)] == ["own"]


def test_broken_jobs_are_loud(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job_id = make(services, super_admin, "orphan")
    store.database["dynamic_jobs"].update_one({"_id": job_id}, {"$set": {"template_type": "gone_kind"}})
    assert "orphan cannot run: its template 'gone_kind' is gone" in section(page(browser_client), "Needs attention")


def test_a_late_job_needs_someone(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    late, paused = make(services, super_admin, "left alone"), make(services, super_admin, "paused one")
    services.pausing.pause(super_admin, paused, {"reason": "x"})
    assert "Nothing is failing" in section(page(browser_client), "Needs attention")
    for job_id in (late, paused):
        store.database["dynamic_jobs"].update_one({"_id": job_id}, {"$set": {"next_run_at": START - timedelta(minutes=5)}})
    words = section(page(browser_client), "Needs attention")
    assert "left alone is late: it was due 5 min ago and has not started" in words
    assert "paused one" not in words


def test_two_weeks_are_told_by_day(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    make(services, super_admin, "not yet run")
    assert page(browser_client).css_first("#two-weeks") is None
    job_id = make(services, super_admin, "j")
    runs = (
        (13, "success", 10.0),
        (13, "success", 30.0),
        (13, "failed", 500.0),
        (2, "success", 5.0),
        (2, "skipped", 0.0),
        (14, "failed", 1.0),
    )
    for place, (days, status, seconds) in enumerate(runs):
        at = START - timedelta(days=days, minutes=place)
        ran(store, services, super_admin, job_id, status, at, duration_seconds=seconds)
    ran(store, services, super_admin, job_id, "success", START - timedelta(days=2, minutes=9), duration_seconds=900.0, dry=True)
    store.database["execution_days"].delete_many({})
    found = page(browser_client)
    words = section(found, "Last 14 days")
    assert "4 runs" in words
    assert "75.0 % of them succeeded" in words
    assert "15.0 s average duration of a successful run" in words
    assert [" ".join(row.text(separator=" ").split()) for row in found.css("#dashboard section:has(#two-weeks) tbody tr")] == [
        "Tue 17 Feb 3 1 20.0 s",
        "Sat 28 Feb 1 0 5.00 s",
    ]
    assert [bar.attributes["height"] for bar in found.css("svg.trend.short:not(.hours) rect")] == ["100.0", "25.0"]


def test_previews_are_counted_off(services: Services, super_admin: Actor, store: Store) -> None:
    job_id = make(services, super_admin, "j")
    ran(store, services, super_admin, job_id, "success", START - timedelta(minutes=5))
    ran(store, services, super_admin, job_id, "success", START - timedelta(minutes=6), dry=True)
    ran(store, services, super_admin, job_id, "failed", START - timedelta(minutes=4), dry=True)
    day = services.overview.day(super_admin)
    assert (day.total, day.success, services.attention.failing(super_admin).open) == (1, 1.0, [])
    assert sum(one.seconds for one in day.hours.values()) == 4.0


def test_the_day_is_counted_from_an_index_alone(services: Services, super_admin: Actor, store: Store) -> None:
    ran(store, services, super_admin, make(services, super_admin, "j"), "success", START - timedelta(minutes=5))
    asked: list[Document] = []
    executions = services.overview._statistics._executions

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(executions, name)

        def aggregate(self, stages: list[Document], **options: Any) -> Any:
            asked.append({"aggregate": executions.name, "pipeline": stages, "cursor": {}})
            return executions.aggregate(stages, **options)

    services.overview._statistics._executions = Spy()  # type: ignore[assignment]
    services.overview._statistics.tallies(START - timedelta(days=1))
    plan = store.database.command("explain", asked[0], verbosity="queryPlanner")
    winner = repr(
        plan["queryPlanner"]["winningPlan"] if "queryPlanner" in plan else plan["stages"][0]["$cursor"]["queryPlanner"]["winningPlan"]
    )
    assert "'indexName': 'ended_in_seconds'" in winner
    assert "'FETCH'" not in winner

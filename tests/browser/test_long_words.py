"""A word without a break in every text that people and jobs write: no page becomes wider than its window."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from pymongo import MongoClient

from tests.browser.conftest import visit
from tests.browser.test_every_page import WIDEST, walk
from tests.lengths import LONG
from tests.support import Service, eventually

JOBS = "/api/admin/scheduler-jobs"


def word(length: int = 300, letter: str = "W") -> str:
    return letter * length


@pytest.fixture(scope="module")
def house(service: Service, mongod: str) -> Service:
    """Each kind of thing, with the longest word that each of its fields takes."""
    with service.api() as api:
        calendar = {"timezone": "Europe/Berlin", "description": word(), "dates": [{"from": "2026-12-24", "note": word(200)}]}
        api.post("/api/admin/calendars", json={"name": word(100), **calendar}).raise_for_status()
        settings = {
            "host": f"{word(60, 'h')}.{word(60, 'h')}.{word(60, 'h')}.example.com",
            "port": 25,
            "security": "none",
            "sender": f"{word(60, 's')}@example.com",
        }
        api.post("/api/admin/connections", json={"name": word(80), "kind": "smtp", "settings": settings}).raise_for_status()
        definition = {"name": word(80), "description": word(), "category": word(60), "icon": "zap", "help": word(), "parameters": {}}
        api.post(
            "/api/admin/job-templates", json={"type": word(60, "w"), "base": "test_scheduler", "definition": definition}
        ).raise_for_status()
        api.post(f"/api/admin/job-templates/{word(60, 'w')}/publish", json={"note": word()}).raise_for_status()
        user = {"email": f"{word(60, 'u')}@{word(60, 'u')}.example.com", "name": word(200), "role": "admin", "groups": [word(100)]}
        account = api.post("/api/admin/users", json=user).raise_for_status().json()["user"]["_id"]
        api.post(f"/api/admin/users/{account}/tokens", json={"name": word(100), "scopes": ["read"]}).raise_for_status()
        body = {
            "name": word(120),
            "description": word(2000),
            "template_type": "test_scheduler",
            "tags": [word(50), word(50, "T")],
            "group": word(100),
            "schedule": {"type": "cron", "expression": "0 2 * * *", "calendars": [word(100)]},
            "concurrency": {"group": word(100)},
            "retry_policy": {"max_retries": 0},
            "notifications": {"on_failure": [f"{word(60, 'm')}@example.com"]},
        }
        job = api.post(JOBS, json=body).raise_for_status().json()["job"]["_id"]
        api.post(
            JOBS, json={"name": word(120, "X"), "template_type": "test_scheduler", "depends_on": [{"job": job, "when": "end"}]}
        ).raise_for_status()
        api.put(f"{JOBS}/{job}", json={"description": word(1999, "D"), "tags": [word(50, "U")]}).raise_for_status()
        api.post(f"{JOBS}/{job}/notes", json={"text": word(4000)}).raise_for_status()
        api.post(f"{JOBS}/{job}/pause", json={"reason": word(500)}).raise_for_status()
        address = {"name": word(80), "proof": "github", "events": [word(80)]}
        url = api.post(f"{JOBS}/{job}/inbound", json=address).raise_for_status().json()["url"]
        api.post(url, json={word(): word()})
        registered = {"name": word(100), "displayName": word(100), "description": word(), "jobType": word(60), "config": {word(): word()}}
        manifest = {"version": word(60), "displayName": word(80), "address": f"https://{word(60, 'h')}.example.com", "jobs": [registered]}
        api.put(f"/api/services/{word(60)}/manifest", json=manifest).raise_for_status()
        beat = {"instance": word(60), "version": word(60), "jobs": [word(100)]}
        api.post(f"/api/services/{word(60)}/heartbeat", json=beat).raise_for_status()
        api.put("/api/admin/job-templates/test_scheduler/presets", json={"name": word(80), "parameters": {}})
        for parameters in ({}, {"outcome": "error"}):
            run = api.post(f"{JOBS}/{job}/run", json={"parameters": parameters}).raise_for_status().json()["execution_id"]
            eventually(lambda run=run: api.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
    with MongoClient(mongod) as client:
        _say_long_words(client[service.environment["JOBWRIGHT_DATABASE"]])
    return service


def _say_long_words(database: Any) -> None:
    """What ended has long words in all that jobs report."""
    result = {"message": word(), word(): word(), "number": 1, "deep": {word(): [word()]}}
    error = {"type": word(), "message": word(), "traceback": f"Traceback\n  {word(2000)}", "kind": "error"}
    for row in list(database["job_executions"].find()):
        failed = row["status"] == "failed"
        attempts = [{**one, "error": error if failed else None, "host": word()} for one in row["attempts"]]
        changes = {
            "result": result,
            "error": error if failed else None,
            "attempts": attempts,
            "execution_host": word(),
            "triggered_by_user": word(),
            "resolved": [{"pointer": f"/{word()}", "value": word()}],
            "parameters": {word(): word()},
        }
        database["job_executions"].update_one({"_id": row["_id"]}, {"$set": changes})
        now = datetime.now(UTC)
        lines = [
            {"timestamp": now, "level": "ERROR", "message": text} for text in (word(8000), f"\x1b[31m{word(500)}\x1b[0m\u202e{word(300)}")
        ]
        database["execution_logs"].insert_one(
            {"_id": f"{row['_id']}/00009.00000001", "attempt": 9, "count": 2, "levels": ["ERROR"], "lines": lines}
        )
    database["nodes"].update_many({}, {"$set": {"host": word()}})


@pytest.mark.parametrize("width", [390, 1280] if LONG else [390])
def test_no_page_is_wider_than_its_window(chromium: Browser, house: Service, width: int) -> None:
    watched = visit(chromium, house, width=width, javascript=width == 1280)
    seen, wrong = walk(watched, width)
    watched.context.close()
    assert "\n".join(wrong) == ""
    assert {
        "/jobs/:id",
        "/jobs/:id/revisions",
        "/executions/:id",
        "/executions/:id/compare",
        "/calendar?view=day",
        "/users/:id",
        "/audit",
        "/jobs/:id/inbound/:id",
        f"/services/{word(60)}",
        "/job-types",
    } <= seen


# What folds out of pages, and the innermost elements that stand out of the window then.
OPENED = """() => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  return document.documentElement.scrollWidth;
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_nor_what_folds_out_of_it_or_floats_over_it(chromium: Browser, house: Service, width: int) -> None:
    watched, wrong = visit(chromium, house, width=width), list[str]()
    page = watched.page
    with house.api() as api:
        job = next(one["_id"] for one in api.get(JOBS).json()["jobs"] if one["name"] == word(120))
        runs = [one["_id"] for one in api.get(f"{JOBS}/{job}/executions").json()["executions"]]
    paths = [f"/executions/{run}" for run in runs] + [
        f"/jobs/{job}{part}" for part in ("", "/edit", "/run-with", "/pause", "/revisions", "/inbound")
    ]
    lists = ["/", "/jobs", "/audit", "/executions", "/connections", "/services", f"/services/{word(60)}", "/service-accounts"]
    for path in [*lists, *paths]:
        page.goto(house.address + path)
        wide = page.evaluate(OPENED)
        wrong += [f"{path}: {wide} wide, because of {page.evaluate(WIDEST)}"] if wide > width else []
    page.goto(f"{house.address}/jobs/{job}")
    page.locator("form:is([action$='/disable'], [action$='/enable']) button").evaluate("one => one.form.requestSubmit()")
    expect(page.locator(".toast")).to_be_visible()
    page.wait_for_load_state()
    wrong += [f"a toast: {page.evaluate(WIDEST)}"] if page.evaluate("document.documentElement.scrollWidth") > width else []
    page.keyboard.press("Control+k")
    page.locator("#palette-q").fill("WWWWW")
    expect(page.locator("#palette-0")).to_be_visible()
    floating = page.locator("#palette-0").evaluate(
        "one => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth"
    )
    wrong += ["the palette"] if floating or page.evaluate("document.documentElement.scrollWidth") > width else []
    page.goto(f"{house.address}/jobs/{job}")
    page.evaluate("document.getElementById('delete-job').showModal()")
    box = page.locator("#delete-job").bounding_box()
    wrong += ["a dialog"] if box is None or box["x"] < 0 or box["x"] + box["width"] > width else []
    watched.context.close()
    assert "\n".join(wrong) == ""

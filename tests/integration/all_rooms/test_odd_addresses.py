"""Instants at both ends of the calendar, NUL and numbers beyond 64 bits, in each place that takes them: an answer or a refusal with the
reason, never an error of ours, and no answer that breaks off."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.execution.log_store import LogStore, chunk
from app.factory import Store
from app.services import Services
from tests.conftest import Api, csrf
from tests.posting import post, text

JOBS = "/api/admin/scheduler-jobs"
EVENTS = "/api/admin/audit-events"
FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
BEYOND = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00")
HUGE = ("9223372036854775808", "99999999999999999999", "9" * 5000, "-9223372036854775809")
ZONES = ("Pacific/Kiritimati", "Etc/GMT+12")
DAILY = {"type": "cron", "expression": "0 2 * * *"}
ODD = ("%00", "a%00b", "%ED%A0%80", "%FF%FE", "%E2%80%AE", "%F4%8F%BF%BF", "%5C%00(", "x" * 3000)


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "edge", "template_type": "noop", "parameters": {}, **changes}


def pointers(answer: Any) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in answer.json["errors"]}


def make(api: Api, **changes: Any) -> dict[str, Any]:
    answer = api("POST", JOBS, body(**changes))
    assert answer.status_code == 201, answer.json
    job: dict[str, Any] = answer.json["job"]
    return job


# -- schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", BEYOND)
@pytest.mark.parametrize("field", ["start_at", "end_at", "run_at"])
def test_an_instant_beyond_the_calendar_is_refused_at_its_field(api: Api, text: str, field: str) -> None:
    schedule = {"type": "once", "run_at": text} if field == "run_at" else {**DAILY, field: text}
    for path, sent in ((JOBS, body(schedule=schedule)), (f"{JOBS}/validate", body(schedule=schedule))):
        answer = api("POST", path, sent)
        assert (answer.status_code, pointers(answer)) == (422, {f"/schedule/{field}": "must be between the years 1 and 9999 in UTC"})
    job = make(api)
    assert pointers(api("PUT", f"{JOBS}/{job['_id']}", {"schedule": schedule})) == {
        f"/schedule/{field}": "must be between the years 1 and 9999 in UTC"
    }


@pytest.mark.parametrize("zone", [*ZONES, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    "kind", [DAILY, {"type": "interval", "interval_seconds": 31_536_000}, {"type": "cron", "expression": "* * * * * *"}]
)
def test_the_open_ends_of_a_schedule_are_kept_and_shown_in_each_zone(
    api: Api, browser_client: FlaskClient, zone: str, kind: dict[str, Any]
) -> None:
    job = make(api, schedule={**kind, "timezone": zone, "start_at": FIRST, "end_at": LAST})
    assert (job["schedule"]["start_at"], job["schedule"]["end_at"]) == ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z")
    assert job["next_run_at"] is not None
    for viewer in ZONES:
        browser_client.set_cookie("jobwright_zone", viewer)
        for page in ("/jobs", f"/jobs/{job['_id']}", f"/jobs/{job['_id']}/edit", "/calendar", "/calendar?view=day", "/"):
            assert browser_client.get(page).status_code == 200, page
    assert api("PUT", f"{JOBS}/{job['_id']}", {"schedule": job["schedule"]}).status_code == 200
    assert post(browser_client, f"/jobs/{job['_id']}/edit", {"/name": "renamed"}).status_code in {302, 303}


@pytest.mark.parametrize("start", ["9998-01-01T00:00:00Z", "9999-12-29T00:00:00Z", "9999-12-31T00:00:00Z", LAST])
def test_a_schedule_of_the_last_years_is_computed_or_refused_where_it_was_sent(api: Api, start: str) -> None:
    for kind in (DAILY, {"type": "interval", "interval_seconds": 3600}):
        answer = api("POST", f"{JOBS}/validate", body(schedule={**kind, "timezone": "Pacific/Kiritimati", "start_at": start}))
        if start < "9999-12-30":
            assert (answer.status_code, answer.json["next_runs"][0] >= start[:10]) == (200, True)
        else:
            assert list(pointers(answer)) == ["/schedule/start_at"]


def test_pauses_and_backfills_reach_to_both_ends(api: Api, browser_client: FlaskClient, clock: ManualClock) -> None:
    job = make(api, schedule={**DAILY, "expression": "0 0 1 1 *"})
    path = f"{JOBS}/{job['_id']}"
    assert api("POST", f"{path}/pause", {"reason": "for ever", "until": LAST}).status_code == 200
    browser_client.set_cookie("jobwright_zone", "Pacific/Kiritimati")
    assert browser_client.get(f"/jobs/{job['_id']}").status_code == 200
    assert api("POST", f"{path}/resume").status_code == 200
    assert list(pointers(api("POST", f"{path}/pause", {"reason": "x", "until": FIRST}))) == ["/until"]
    for beyond in BEYOND:
        assert list(pointers(api("POST", f"{path}/pause", {"reason": "x", "until": beyond}))) == ["/until"]
        bulk = {"action": "pause", "job_ids": [job["_id"]], "reason": "x", "until": beyond}
        assert list(pointers(api("POST", f"{JOBS}/bulk", bulk))) == ["/until"]
        assert list(pointers(api("POST", f"{path}/backfill", {"from": "2026-01-01T00:00:00Z", "to": BEYOND[0]}))) == ["/to"]
    for begin in (FIRST, *BEYOND[1:]):
        found = api("POST", f"{path}/backfill", {"from": begin, "to": "2026-01-01T00:00:00Z", "dry_run": True})
        assert (found.status_code, found.json["runs"]) == (202, 56)  # each New Year from 1970 to 2025
    done = api("POST", f"{JOBS}/bulk", {"action": "pause", "job_ids": [job["_id"]], "reason": "x", "until": LAST})
    assert done.json["counts"] == {"done": 1}
    token = csrf(text(browser_client.get("/jobs")))
    for until in ("9999-12-31T23:59", "0001-01-01T00:00", "99999-01-01T00:00"):
        answer = browser_client.post(f"/jobs/{job['_id']}/pause", data={"csrf_token": token, "reason": "x", "until": until})
        assert answer.status_code < 500, until


@pytest.mark.parametrize("year", [1, 9999])
@pytest.mark.parametrize("view", ["month", "week", "day"])
@pytest.mark.parametrize("zone", ZONES)
def test_the_calendar_shows_any_date(api: Api, browser_client: FlaskClient, year: int, view: str, zone: str) -> None:
    make(api, schedule={**DAILY, "timezone": "Etc/GMT+12"})
    browser_client.set_cookie("jobwright_zone", zone)
    for day in ("01-01", "12-31"):
        assert browser_client.get(f"/calendar?view={view}&on={year:04}-{day}").status_code == 200


@pytest.mark.parametrize("zone", ZONES)
def test_lists_take_open_ends_in_each_zone(api: Api, browser_client: FlaskClient, zone: str) -> None:
    job = make(api)
    assert api("POST", f"{JOBS}/{job['_id']}/run").status_code == 202
    browser_client.set_cookie("jobwright_zone", zone)
    whole = browser_client.get("/executions?from=0001-01-01&to=9999-12-31")
    assert (whole.status_code, "edge" in text(whole)) == (200, True)
    for begin, end in (("0001-01-01", "9999-12-31"), ("9999-12-31", "0001-01-01")):
        assert browser_client.get(f"/audit?begin={begin}&end={end}").status_code == 200
        for kind in ("jsonl", "csv"):
            exported = browser_client.get(f"/audit/export.{kind}?begin={begin}&end={end}")
            assert (exported.status_code, "job.create" in text(exported)) == (200, begin < end)


@pytest.mark.parametrize("begin", [FIRST, BEYOND[1], "0001-01-01T00:00:00%2B00:00"])
@pytest.mark.parametrize("end", [LAST, BEYOND[0]])
def test_the_audit_trail_takes_open_ends_over_rest(api: Api, begin: str, end: str) -> None:
    make(api)
    begin, end = (one.replace("+", "%2B") for one in (begin, end))
    assert [one["action"] for one in api("GET", f"{EVENTS}?begin={begin}&end={end}").json["events"]][-1:] != []
    exported = api("GET", f"{EVENTS}/export?begin={begin}&end={end}&format=csv")
    assert (exported.status_code, "job.create" in text(exported)) == (200, True)
    naive = api("GET", f"{EVENTS}?begin=2026-01-01T00:00:00")
    assert (naive.status_code, naive.json["errors"][0]["parameter"]) == (422, "begin")


# -- NUL, halves of characters, huge numbers --------------------------------------------------------------------------


def everything(services: Services, store: Store, api: Api) -> dict[str, str]:
    """A job and an execution with a log, by the names that paths call them."""
    job = make(api)
    run = api("POST", f"{JOBS}/{job['_id']}/run").json["execution_id"]
    line = {"timestamp": datetime(2026, 3, 2, tzinfo=UTC), "level": "INFO", "message": "a\0b (x"}
    LogStore(store.database).append([chunk(run, 1, 0, [line])])
    return {"job": job["_id"], "run": run}


REST = (
    f"{JOBS}?search={{}}",
    f"{JOBS}?tag={{}}",
    f"{JOBS}?group={{}}",
    f"{JOBS}?owner={{}}",
    f"{JOBS}?template_type={{}}",
    f"{JOBS}?page={{}}",
    f"{JOBS}?limit={{}}",
    f"{JOBS}?sort={{}}",
    f"{JOBS}/export?search={{}}",
    f"{JOBS}/export?tag={{}}",
    f"{JOBS}/{{}}",
    f"{JOBS}/%s/stats?x={{}}",
    f"{JOBS}/%s/revisions?before={{}}",
    f"{JOBS}/%s/revisions?limit={{}}",
    f"{JOBS}/%s/executions?page={{}}",
    f"{JOBS}/%s/executions?status={{}}",
    f"{EVENTS}?actor={{}}",
    f"{EVENTS}?action={{}}",
    f"{EVENTS}?kind={{}}",
    f"{EVENTS}?target_id={{}}",
    f"{EVENTS}?correlation_id={{}}",
    f"{EVENTS}?before={{}}",
    f"{EVENTS}?limit={{}}",
    f"{EVENTS}?begin={{}}",
    f"{EVENTS}/export?actor={{}}",
    f"{EVENTS}/export?action={{}}",
    f"{EVENTS}/export?begin={{}}",
    f"{EVENTS}/export?format={{}}",
    "/api/admin/job-executions?job_id={}",
    "/api/admin/job-executions?page={}",
    "/api/admin/job-executions/{}",
    "/api/admin/job-executions/{}/logs",
    "/api/admin/job-executions/%r/logs?after={}",
    "/api/admin/job-executions/%r/logs?limit={}",
    "/api/admin/job-templates/{}",
    "/api/admin/calendars/{}",
    "/api/admin/connections/{}",
    "/api/admin/users/{}",
    "/api/admin/approvals?page={}",
    "/api/admin/approvals/{}",
    "/api/admin/job-templates/noop/impact?to={}",
)
PAGES = (
    "/jobs?q={}",
    "/jobs?tag={}",
    "/jobs?owner={}",
    "/jobs?page={}",
    "/jobs?sort={}",
    "/jobs/{}",
    "/jobs/export.yaml?q={}",
    "/jobs/export.{}",
    "/jobs/new?template={}",
    "/jobs/%s?page={}",
    "/jobs/%s/revisions?before={}",
    "/executions?job={}",
    "/executions?from={}",
    "/executions?page={}",
    "/executions/{}",
    "/executions/%r?q={}",
    "/executions/%r?line={}",
    "/executions/%r/log?q={}",
    "/executions/%r/log?line={}",
    "/executions/%r/live?after={}&lines=0",
    "/executions/%r/live?after=&lines={}",
    "/executions/{}/log.txt",
    "/audit?actor={}",
    "/audit?action={}",
    "/audit?before={}",
    "/audit?begin={}",
    "/audit/export.csv?actor={}",
    "/audit/export.{}",
    "/calendar?on={}",
    "/calendar?view={}",
    "/templates/{}",
    "/templates?q={}",
    "/palette?q={}",
    "/connections/{}",
    "/calendars/{}",
    "/users/{}",
    "/help/{}",
    "/approvals?page={}",
    "/static/{}",
    "/sign-in?next={}",
    "/reset/{}",
    "/jobs/%s?x={}",
    "/templates/noop/impact/{}",
)


@pytest.mark.parametrize("pattern", REST)
def test_no_text_and_no_number_of_a_request_is_an_error_of_ours(services: Services, store: Store, api: Api, pattern: str) -> None:
    known = everything(services, store, api)
    for odd in (*ODD, *HUGE):
        path = pattern.replace("%s", known["job"]).replace("%r", known["run"]).format(odd)
        answer = api("GET", path)
        assert (answer.status_code < 500, answer.get_data() is not None) == (True, True), path[:200]
        if "\0" in path.replace("%00", "\0") and "?" in path and "?x=" not in path:
            assert answer.status_code == 422, path[:200]
            assert answer.json["errors"][0]["parameter"] == path.partition("?")[2].partition("=")[0]


@pytest.mark.parametrize("pattern", PAGES)
def test_no_text_and_no_number_of_an_address_is_an_error_of_ours(
    services: Services, store: Store, api: Api, browser_client: FlaskClient, pattern: str
) -> None:
    known = everything(services, store, api)
    for odd in (*ODD, *HUGE):
        path = pattern.replace("%s", known["job"]).replace("%r", known["run"]).format(odd)
        answer = browser_client.get(path)
        assert (answer.status_code < 500, answer.get_data() is not None) == (True, True), path[:200]
        if "%00" in path.partition("?")[0]:
            assert answer.status_code == 404, path[:200]


def test_paths_with_more_digits_than_a_number_has_lead_nowhere(api: Api, browser_client: FlaskClient) -> None:
    job = make(api)
    for number in HUGE:
        assert api("POST", f"{JOBS}/{job['_id']}/revisions/{number}/restore").status_code == 404
        assert api("PUT", f"/api/admin/job-templates/noop/versions/{number}", {"state": "retired"}).status_code == 404
        assert browser_client.get(f"/templates/noop/impact/{number}").status_code == 404


def test_a_form_that_searches_takes_nul(services: Services, api: Api, browser_client: FlaskClient) -> None:
    make(api)
    token = csrf(text(browser_client.get("/jobs")))
    for query in ("q=%00", "tag=%00", "q=%ED%A0%80", f"page={'9' * 5000}"):
        answer = browser_client.post("/jobs/bulk", data={"csrf_token": token, "query": query, "all": "1", "action": "enable"})
        assert answer.status_code == 200, query
    for filter_ in ({"search": "\0"}, {"tag": "\0"}, {"owner": "\ud7ff\0"}):
        found = api("POST", f"{JOBS}/bulk", {"action": "enable", "filter": filter_, "dry_run": True})
        assert (found.status_code, found.json["items"]) == (200, [])


def test_a_log_that_holds_nul_is_searched_for_it(services: Services, store: Store, api: Api, super_admin: Actor) -> None:
    known = everything(services, store, api)
    found, _ = services.logs.search(super_admin, known["run"], text="A\0b (", level="")
    assert [line["message"] for line in found] == ["a\0b (x"]


def test_headers_are_judged_as_well(api: Api, app: Flask) -> None:
    job = make(api)
    for version in ('"9223372036854775808"', f'"{"9" * 5000}"', '"\xff"', "*, *", '"1", "2"'):
        assert api("PUT", f"{JOBS}/{job['_id']}", {"description": "x"}, **{"If-Match": version}).status_code in {409, 412, 422}, version
    assert api("POST", JOBS, body(name="b"), **{"Idempotency-Key": "\xa0" * 300}).status_code == 422
    for header in ("Accept-Language", "X-Request-Id", "Cookie", "X-Forwarded-For", "Accept", "User-Agent", "If-None-Match", "Range"):
        for value in ("\xed\xa0\x80", "9" * 5000, "%00"):
            assert api("GET", JOBS, **{header: value}).status_code < 500, header
            assert app.test_client().get("/sign-in", headers={header: value}).status_code < 500, header


def test_an_export_that_the_store_refuses_fails_before_it_begins(
    api: Api, browser_client: FlaskClient, services: Services, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked before the first byte: what it refuses is an error with its status, and not a file that breaks off."""
    known = everything(services, store, api)
    refused = {"$where": "this is no query"}
    monkeypatch.setattr("app.audit.store._query", lambda _: {"$refused": refused})
    monkeypatch.setattr("app.execution.log_store._after", lambda *_: {"$refused": refused})
    for ask, path in ((api, f"{EVENTS}/export"), (None, "/audit/export.csv"), (None, f"/executions/{known['run']}/log.txt")):
        answer = ask("GET", path) if ask else browser_client.get(path)
        assert answer.status_code == 500, path
    outcomes = [one["outcome"] for one in store.database["audit_log"].find({"action": "audit.export"}).sort("seq", 1)]
    assert outcomes == ["done", "failed", "done", "failed"]


@pytest.mark.parametrize(
    "address", [f"{JOBS}//run", f"{JOBS}//", "/api/admin//scheduler-jobs", "/api//admin/scheduler-jobs", f"{EVENTS}//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_address_with_an_empty_part_is_no_other_address(api: Api, method: str, address: str) -> None:
    """`/jobs//run`, from a client whose id was empty, is not the job `run`."""
    answer = api(method, address, {} if method == "POST" else None)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")

"""Everything that is wrong with a body is told in one answer, each error at its own place, all of them in one style."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import Actor
from app.config import Settings
from app.jobs.reading import read_definition
from app.services import Services
from tests.conftest import Api
from tests.posting import post, text

JOBS = "/api/admin/scheduler-jobs"
ROOT = Path(__file__).parents[3]
HOURLY = {"type": "interval", "interval_seconds": 3600}


def told(answer: Any) -> dict[str, str]:
    assert answer.status_code in {409, 422}, answer.get_data(as_text=True)
    return {one["pointer"]: one["detail"] for one in answer.json["errors"]}


WRONG = {
    "name": "x" * 121,
    "template_type": "noop",
    "parameters": {"seconds": -1, "more": 2},
    "priority": 11,
    "enabled": "yes",
    "foo": 1,
    "schedule": {"type": "cron", "expression": "99 * * * *", "timezone": "Mars/Base", "jitter_seconds": -1, "calendars": ["gone", 5]},
    "timeout_seconds": 100_000,
    "notifications": {"on_failure": ["nobody", "a@example.com"]},
    "tags": ["a", ""],
    "depends_on": [{"job": 5}, {"job": "nobody"}, {"when": "end"}],
    "retry_policy": {"retry_on": ["rain"]},
}
PLACES = {
    "/name",
    "/parameters/seconds",
    "/parameters/more",
    "/priority",
    "/enabled",
    "/foo",
    "/schedule/expression",
    "/schedule/timezone",
    "/schedule/jitter_seconds",
    "/schedule/calendars/0",
    "/schedule/calendars/1",
    "/timeout_seconds",
    "/notifications/on_failure/0",
    "/tags/1",
    "/depends_on/0/job",
    "/depends_on/1/job",
    "/depends_on/2/job",
    "/retry_policy/retry_on/0",
}


def test_create_validate_and_update_tell_all_that_is_wrong_at_once(api: Api) -> None:
    job = api("POST", JOBS, {"name": "one", "template_type": "noop"}).json["job"]["_id"]
    for answer in (api("POST", JOBS, WRONG), api("POST", f"{JOBS}/validate", WRONG), api("PUT", f"{JOBS}/{job}", WRONG)):
        assert set(told(answer)) == PLACES


def test_a_name_that_is_taken_is_told_with_the_rest_and_alone_is_a_conflict(api: Api) -> None:
    api("POST", JOBS, {"name": "one", "template_type": "noop"})
    both = api("POST", JOBS, {"name": "one", "template_type": "no_such", "foo": 1})
    assert (both.status_code, set(told(both))) == (422, {"/name", "/template_type", "/foo"})
    alone = api("POST", JOBS, {"name": "one", "template_type": "noop"})
    assert (alone.status_code, set(told(alone))) == (409, {"/name"})


def test_an_empty_body_asks_for_what_is_required(api: Api) -> None:
    assert set(told(api("POST", JOBS, {}))) == {"/name", "/template_type"}


def test_a_dynamic_value_that_is_none_is_told_beside_what_the_schema_refuses(api: Api) -> None:
    body = {
        "name": "x",
        "template_type": "email_notification",
        "parameters": {
            "connection": "none",
            "recipients": [],
            "subject": "{{ nothing }}",
            "body": "x",
            "odd": 1,
        },
    }
    assert set(told(api("POST", JOBS, body))) == {
        "/parameters/connection",
        "/parameters/recipients",
        "/parameters/subject",
        "/parameters/odd",
    }


@pytest.mark.parametrize(
    ("schedule", "where"),
    [
        ({"type": "cron", "expression": "0 0 * * *", "start_at": "2026-05-02T00:00:00Z", "end_at": "x"}, {"/schedule/end_at"}),
        ({"type": "once", "run_at": "2026-04-01T10:00:00Z", "start_at": "2026-05-01T00:00:00Z"}, {"/schedule/start_at"}),
        ({"type": "once", "run_at": "2026-04-01T10:00:00Z", "end_at": "2026-03-15T00:00:00Z"}, {"/schedule/end_at"}),
        (
            {"type": "cron", "expression": "0 0 1 1 *", "start_at": "2026-03-03T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"},
            {"/schedule/end_at"},
        ),
        ({"expression": "99 * * * *", "end_at": 5}, {"/schedule/type", "/schedule/end_at"}),
        ({"type": "interval", "interval_seconds": "x"}, {"/schedule/interval_seconds"}),
        ({"type": "nope", "start_at": "bad", "timezone": "Berln"}, {"/schedule/type", "/schedule/start_at", "/schedule/timezone"}),
        ({"type": "nope", "expression": "61 * * * *", "interval_seconds": 5}, {"/schedule/type"}),
    ],
)
def test_an_error_stands_at_a_place_that_was_sent(api: Api, schedule: dict[str, Any], where: set[str]) -> None:
    assert set(told(api("POST", JOBS, {"name": "x", "template_type": "noop", "schedule": schedule}))) == where


def test_defaults_are_never_what_is_wrong(settings: Settings) -> None:
    short = replace(settings, max_timeout_seconds=600)
    reading = read_definition({"name": "x", "template_type": "noop"}, short)
    assert (reading.errors, reading.definition.timeout_seconds) == ((), 600)


def test_other_bodies_tell_all_at_once(api: Api, services: Services, super_admin: Actor) -> None:
    job = api("POST", JOBS, {"name": "one", "template_type": "noop", "schedule": HOURLY}).json["job"]["_id"]
    api("POST", "/api/admin/calendars", {"name": "days", "timezone": "UTC", "weekly": [{"days": ["sat"], "from": "00:00", "to": "12:00"}]})
    api("POST", "/api/admin/connections", {"name": "Shop", "kind": "mongodb", "settings": {"uri": "mongodb://x", "database": "d"}})
    cases: list[tuple[str, str, Any, set[str]]] = [
        ("POST", f"{JOBS}/{job}/pause", {"reason": 5, "until": "2020-01-01T00:00:00Z", "foo": 1}, {"/reason", "/until", "/foo"}),
        ("POST", f"{JOBS}/{job}/pause", {"until": "2020-01-01"}, {"/until"}),
        ("POST", f"{JOBS}/{job}/backfill", {"to": "2099-01-01T00:00:00Z", "dry_run": 5, "foo": 1}, {"/from", "/to", "/dry_run", "/foo"}),
        (
            "POST",
            f"{JOBS}/{job}/run",
            {"parameters": {"seconds": -1, "no": 1}, "foo": 1},
            {"/parameters/seconds", "/parameters/no", "/foo"},
        ),
        ("POST", f"{JOBS}/{job}/clone", {"name": "one", "enabled": 5, "foo": 1}, {"/name", "/enabled", "/foo"}),
        ("POST", f"{JOBS}/bulk", {"action": "pause", "job_ids": [], "until": "x", "foo": 1}, {"/job_ids", "/until", "/foo"}),
        (
            "POST",
            "/api/admin/connections",
            {"name": "Shop", "kind": "mongodb", "settings": {"uri": 5, "odd": 1}, "foo": 1},
            {"/name", "/foo", "/settings/uri", "/settings/odd", "/settings/database"},
        ),
        ("POST", "/api/admin/connections", {"name": "?"}, {"/name", "/kind", "/settings"}),
        (
            "POST",
            "/api/admin/calendars",
            {"name": "days", "timezone": "Mars/Base", "foo": 1, "weekly": 5},
            {"/name", "/timezone", "/foo", "/weekly"},
        ),
        ("POST", "/api/admin/calendars", {"timezone": 5}, {"/name", "/timezone"}),
        ("POST", "/api/admin/users", {"email": super_admin.email, "role": "king", "foo": 1}, {"/email", "/role", "/foo"}),
        ("POST", f"/api/admin/users/{super_admin.id}/tokens", {"name": "", "scopes": [], "foo": 1}, {"/name", "/scopes", "/foo"}),
        ("POST", "/api/admin/job-templates", {"type": "noop", "base": "no", "foo": 1}, {"/type", "/base", "/foo"}),
        (
            "POST",
            "/api/admin/job-templates",
            {"type": "?", "base": "noop", "definition": {"name": ""}},
            {"/type", "/definition/name", "/definition/description", "/definition/category"},
        ),
        ("PUT", "/api/admin/job-templates/noop/presets/%20", {"parameters": 5, "foo": 1}, {"/name", "/parameters", "/foo"}),
        ("PUT", "/api/admin/job-templates/noop/standing", {"roles": ["admin"], "note": 5}, {"/roles", "/note"}),
    ]
    for method, path, body, where in cases:
        assert set(told(api(method, path, body))) == where, (method, path, body)


def test_a_file_tells_all_that_is_wrong_with_all_of_its_jobs(api: Api) -> None:
    api("POST", JOBS, {"name": "one", "template_type": "noop"})
    good = {"name": "two", "template_type": "noop"}
    jobs = [{"name": "one", "template_type": "noop", "foo": 1, "parameters": {"seconds": -1}}, good, "nonsense", {"name": 5, "priority": 0}]
    plan = api("POST", f"{JOBS}/plan", {"jobwright": 1, "jobs": jobs}).json
    found = {step["place"]: {one["pointer"] for one in step["errors"]} for step in plan["steps"]}
    assert found == {0: {"/foo", "/parameters/seconds"}, 1: set(), 2: {""}, 3: {"/name", "/template_type", "/priority"}}
    applied = told(api("POST", f"{JOBS}/apply", {"jobwright": 1, "jobs": jobs}))
    assert set(applied) == {
        "/jobs/0/foo",
        "/jobs/0/parameters/seconds",
        "/jobs/2",
        "/jobs/3/name",
        "/jobs/3/template_type",
        "/jobs/3/priority",
    }


def test_a_form_tells_all_at_once_in_the_words_of_rest(browser_client: Any, api: Api) -> None:
    api("POST", JOBS, {"name": "one", "template_type": "noop"})
    filled = {"/name": "one", "/seconds": "-1", "s.type": "cron", "s.expression": "99 * * * *", "/priority": "11"}
    page = text(post(browser_client, "/jobs/new?template=noop", filled))
    rest = told(
        api(
            "POST",
            JOBS,
            {
                "name": "one",
                "template_type": "noop",
                "parameters": {"seconds": -1},
                "priority": 11,
                "schedule": {"type": "cron", "expression": "99 * * * *"},
            },
        )
    )
    assert set(rest) == {"/name", "/parameters/seconds", "/priority", "/schedule/expression"}
    for words in rest.values():
        assert words.replace("'", "&#39;") in page, words


def test_errors_are_predicates_without_a_full_stop(api: Api) -> None:
    """Of the source: each error of a field begins with a small letter or a value, and ends without a full stop."""
    odd = []
    for path in [path for folder in ("app", "web", "templates_lib") for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"FieldError", "Problem"} and len(node.args) > 1:
                words = node.args[1]
                if isinstance(words, ast.Call) and getattr(words.func, "id", "") in {"say", "say_many"}:
                    words = words.args[0]
                if isinstance(words, ast.Constant) and isinstance(words.value, str):
                    begins_well = words.value.startswith(("If-Match ", "Idempotency-Key ", "Last-Event-ID "))
                    if not begins_well and (words.value[:1].isupper() or words.value.endswith(".")):
                        odd.append((path.name, words.value))
    assert odd == []
    for detail in told(api("POST", JOBS, WRONG)).values():
        assert not detail[:1].isupper(), detail
        assert not detail.endswith("."), detail


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            f"{JOBS}?page=x&limit=0&enabled=maybe&last_status=odd&owner=%00&foo=1",
            {
                "page": "must be a whole number",
                "limit": "must be at least 1 and at most 200",
                "enabled": "must be true or false",
                "last_status": "must be one of success, failed, timeout, cancelled, never",
                "owner": "must not hold the character NUL",
                "foo": "is not a known field",
            },
        ),
        (f"{JOBS}?search={'x' * 201}&tag=", {"search": "must have at most 200 characters"}),
        (
            "/api/admin/audit-events?search=%00&actor=%00&before=x&limit=501&begin=never",
            {
                "actor": "must not hold the character NUL",
                "search": "is not a known field; must not hold the character NUL",
                "before": "must be a whole number",
                "limit": "must be at least 1 and at most 500",
                "begin": "must be a date and time with its zone, such as 2026-03-29T02:30:00Z",
            },
        ),
    ],
)
def test_a_query_tells_all_at_once_in_the_words_of_bodies(api: Api, address: str, expected: dict[str, str]) -> None:
    answer = api("GET", address)
    assert answer.status_code == 422
    assert {one["parameter"]: one["detail"] for one in answer.json["errors"]} == expected


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_holds_each_entry_once(api: Api) -> None:
    api("POST", JOBS, {"name": "first", "template_type": "noop"})
    body = {
        "name": "one",
        "template_type": "noop",
        "tags": ["a", "b", "a", "Gr\u00fcn", "Gru\u0308n"],
        "notifications": {"on_failure": ["Ada@example.com", "Ada@EXAMPLE.com", "ada@example.com", "Ada@example.com"]},
        "depends_on": [{"job": "first"}, {"job": "first", "when": "success"}],
        "retry_policy": {"retry_on": ["error", "error"]},
    }
    job = api("POST", JOBS, body).json["job"]
    assert (job["tags"], job["retry_policy"]["retry_on"], len(job["depends_on"])) == (["a", "b", "Gr\u00fcn"], ["error"], 1)
    assert job["notifications"]["on_failure"] == ["Ada@example.com", "ada@example.com"]


def test_errors_after_a_repeated_entry_keep_their_place(api: Api) -> None:
    api("POST", JOBS, {"name": "first", "template_type": "noop"})
    body = {"name": "one", "template_type": "noop", "depends_on": [{"job": "first"}, {"job": "first"}, {"job": "nobody"}]}
    assert set(told(api("POST", JOBS, body))) == {"/depends_on/2/job"}

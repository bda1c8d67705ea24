"""REST on the real database: bodies and envelopes of requirement 002, and wrong input of every kind."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest
from flask import Flask
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.errors import StoreUnavailable
from app.factory import Store, build_services, create_app
from app.mongo import Document, store_errors
from app.services import Services
from tests.conftest import Api
from tests.support import PASSWORD

JOBS = "/api/admin/scheduler-jobs"
RUNS = "/api/admin/job-executions"


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "Weekly cleanup", "template_type": "noop", "parameters": {}, **changes}


def make(api: Api, **changes: Any) -> dict[str, Any]:
    answer = api("POST", JOBS, body(**changes))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    job: dict[str, Any] = answer.json["job"]
    return job


def pointers(answer: Any) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in answer.json["errors"]}


def test_create_answers_as_the_document_says(api: Api) -> None:
    answer = api("POST", JOBS, body(schedule={"type": "cron", "expression": "0 2 * * 0", "timezone": "Europe/Berlin"}, tags=["a"]))
    assert (answer.status_code, answer.json["message"]) == (201, "Job created successfully")
    job = answer.json["job"]
    assert (answer.headers["ETag"], answer.headers["Location"]) == ('"1"', f"{JOBS}/{job['_id']}")
    assert job["next_run_at"] == "2026-03-08T01:00:00.000Z"
    assert job["schedule_words"] == "At 02:00, only on Sunday"
    assert (job["retry_policy"]["max_retries"], job["timeout_seconds"], job["created_by"]) == (3, 3600, "admin@example.com")
    assert api("GET", f"{JOBS}/{job['_id']}").json == {"job": job}


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "cron", "expression": "0 2 * * 0", "timezone": "Europe/Berlin", "end_at": "2027-01-01T00:00:00Z", "jitter_seconds": 60},
        {"type": "interval", "interval_seconds": 900, "start_at": "2026-03-03T00:00:00Z"},
        {"type": "once", "run_at": "2026-03-03T00:00:00Z"},
        {"type": "manual"},
    ],
)
def test_a_job_is_shown_the_same_wherever_it_is_shown(api: Api, schedule: dict[str, Any]) -> None:
    made = make(api, schedule=schedule)
    assert made["schedule"].items() >= {key: value for key, value in schedule.items() if not key.endswith("_at")}.items()
    assert {key for key in schedule if key.endswith("_at")} == {key for key in made["schedule"] if key.endswith("_at")}
    assert api("GET", f"{JOBS}/{made['_id']}").json["job"] == made
    assert api("GET", JOBS).json["jobs"] == [made]


def test_list_filters_searches_sorts_and_pages(api: Api) -> None:
    for n in range(7):
        make(api, name=f"job {n}", tags=["odd" if n % 2 else "even"], enabled=n != 3, group="g" if n == 5 else "")
    get = lambda query: api("GET", f"{JOBS}?{query}").json
    assert get("limit=3&page=3") | {"jobs": None} == {"jobs": None, "total": 7, "page": 3, "pages": 3}
    assert [job["name"] for job in get("limit=3&page=2&sort=-name")["jobs"]] == ["job 3", "job 2", "job 1"]
    assert get("tag=odd")["total"] == 3
    assert get("enabled=false")["jobs"][0]["name"] == "job 3"
    assert get("group=g")["total"] == 1
    assert get("search=JOB+5")["total"] == 1
    assert get("search=.*")["total"] == 0, "a search is text, not a pattern"
    assert get("template_type=misbehave")["total"] == 0


def test_an_export_is_filtered_as_the_list(api: Api) -> None:
    make(api, name="on")
    make(api, name="off", enabled=False)
    resting = make(api, name="resting", schedule={"type": "interval", "interval_seconds": 60})["_id"]
    assert api("POST", f"{JOBS}/{resting}/pause", {"reason": "x"}).status_code == 200
    for query in ("paused=true", "broken=false", "ended=false", "last_status=never", "owner=nobody", "enabled=false&paused=false"):
        listed = api("GET", f"{JOBS}?{query}").get_json()["jobs"]
        answer = api("GET", f"{JOBS}/export?format=json&{query}")
        assert answer.status_code == 200, query
        assert [one["name"] for one in json.loads(answer.get_data())["jobs"]] == [one["name"] for one in listed], query


def test_update_changes_what_is_sent_and_keeps_the_rest(api: Api, store: Store) -> None:
    job = make(api, parameters={"seconds": 2}, retry_policy={"max_retries": 7, "retry_delay_seconds": 5})
    path = f"{JOBS}/{job['_id']}"
    answer = api("PUT", path, {"retry_policy": {"max_retries": 1}, "description": "d"}, If_Match='"1"')
    changed = answer.json["job"]
    assert (answer.status_code, answer.headers["ETag"], changed["version"]) == (200, '"2"', 2)
    assert (changed["retry_policy"]["max_retries"], changed["retry_policy"]["retry_delay_seconds"]) == (1, 5)
    assert (changed["parameters"], changed["description"], changed["name"]) == ({"seconds": 2}, "d", "Weekly cleanup")
    stale = api("PUT", path, {"description": "mine"}, If_Match='"1"')
    assert (stale.status_code, stale.json["actual_version"]) == (412, 2)
    assert api("GET", path).json["job"]["description"] == "d"
    assert api("GET", path, If_None_Match='"2"').status_code == 304
    revision = store.database["job_revisions"].find_one({"job_id": job["_id"]})
    assert revision is not None
    assert revision["definition"]["retry_policy"]["max_retries"] == 7


def test_of_two_changes_at_once_one_is_told(app: Flask, api: Api) -> None:
    path = f"{JOBS}/{make(api)['_id']}"
    barrier = threading.Barrier(8)

    def change(number: int) -> int:
        barrier.wait()
        status: int = api("PUT", path, {"description": f"by {number}"}, If_Match='"1"').status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200, *[412] * 7]


def test_delete_retires_and_frees_the_name(api: Api, store: Store) -> None:
    job = make(api)
    path = f"{JOBS}/{job['_id']}"
    run = api("POST", f"{path}/run").json["execution_id"]
    assert api("DELETE", path).json == {"message": "Job deleted"}
    assert [api(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert api("GET", f"{RUNS}/{run}").json["execution"]["reason"] == "job_gone"
    assert store.database["dynamic_jobs"].find_one({"_id": job["_id"]}) is not None
    make(api)


def test_enable_disable_and_idempotent_repeats(api: Api) -> None:
    job = make(api, schedule={"type": "interval", "interval_seconds": 60})
    path = f"{JOBS}/{job['_id']}"
    off = api("POST", f"{path}/disable").json["job"]
    assert (off["enabled"], off["next_run_at"], off["version"]) == (False, None, 2)
    assert api("POST", f"{path}/disable").json["job"]["version"] == 2
    on = api("POST", f"{path}/enable").json["job"]
    assert (on["enabled"], on["next_run_at"]) == (True, "2026-03-02T12:01:00.000Z")


def test_a_job_is_paused_and_resumed(api: Api) -> None:
    path = f"{JOBS}/{make(api, schedule={'type': 'interval', 'interval_seconds': 60})['_id']}"
    paused = api("POST", f"{path}/pause", {"reason": " new disks ", "until": "2026-03-03T08:00:00+01:00"})
    assert paused.status_code == 200
    assert paused.json["job"]["paused"] == {
        "cause": "person",
        "reason": "new disks",
        "until": "2026-03-03T07:00:00.000Z",
        "by": "admin@example.com",
        "at": "2026-03-02T12:00:00.000Z",
    }
    assert api("GET", path).json["job"] == paused.json["job"] == api("GET", JOBS).json["jobs"][0]
    assert api("POST", f"{path}/run").status_code == 202, "by hand it still runs"
    resumed = api("POST", f"{path}/resume").json["job"]
    assert (resumed["paused"], resumed["next_run_at"], resumed["version"]) == (None, "2026-03-02T12:01:00.000Z", 3)
    assert api("POST", f"{path}/pause", {"reason": "x"}, If_Match='"1"').status_code == 412
    for wrong, pointer in (
        ({"reason": "  "}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"reason": 5}, "/reason"),
        ({"reason": "a\u202eb"}, "/reason"),
        ({"reason": "x", "until": "2026-03-02T11:00:00Z"}, "/until"),
        ({"reason": "x", "until": "tomorrow"}, "/until"),
        ({"reason": "x", "until": "2026-03-03T08:00:00"}, "/until"),
        ({"reason": "x", "by": "me"}, "/by"),
        ([], ""),
    ):
        answer = api("POST", f"{path}/pause", wrong)
        assert (answer.status_code, [*pointers(answer)]) == (422, [pointer]), wrong
    for without in ({}, {"reason": ""}):
        assert api("POST", f"{path}/pause", without).json["job"]["paused"]["reason"] == ""
    by_hand = make(api, name="by hand", schedule={"type": "manual"})["_id"]
    assert api("POST", f"{JOBS}/{by_hand}/pause", {"reason": "x"}).status_code == 409
    assert api("POST", f"{JOBS}/nobody/pause", {"reason": "x"}).status_code == 404


def test_run_with_overrides_records_them_and_asks_nothing_of_the_job(api: Api) -> None:
    job = make(api, parameters={"seconds": 1, "secret": "hunter2hunter2"})
    answer = api("POST", f"{JOBS}/{job['_id']}/run", {"parameters": {"seconds": 3}})
    assert (answer.status_code, answer.json["message"]) == (202, "Run queued: no node that starts runs is online")
    execution = api("GET", f"{RUNS}/{answer.json['execution_id']}").json
    assert execution["execution"]["parameters"] == {"seconds": 3, "secret": {"$secret": "set"}}
    assert (execution["execution"]["status"], execution["execution"]["triggered_by"], execution["logs"]) == ("queued", "api", [])
    assert api("GET", f"{JOBS}/{job['_id']}").json["job"]["parameters"]["seconds"] == 1
    again = api("POST", f"{JOBS}/{job['_id']}/run")
    assert (again.status_code, again.json["title"]) == (409, "Job already running")
    listed = api("GET", f"{JOBS}/{job['_id']}/executions?status=queued&limit=5").json
    assert (listed["total"], listed["executions"][0]["_id"]) == (1, answer.json["execution_id"])
    assert api("GET", f"{RUNS}?job_id={job['_id']}").json["total"] == 1


def test_cancel_and_retry(api: Api) -> None:
    job = make(api, parameters={"seconds": 5})
    run = api("POST", f"{JOBS}/{job['_id']}/run", {"parameters": {"seconds": 7}}).json["execution_id"]
    assert api("POST", f"{RUNS}/{run}/retry").status_code == 409
    assert api("POST", f"{RUNS}/{run}/cancel").json["execution"]["status"] == "cancelled"
    assert api("POST", f"{RUNS}/{run}/cancel").status_code == 409
    retried = api("POST", f"{RUNS}/{run}/retry").json["execution_id"]
    execution = api("GET", f"{RUNS}/{retried}").json["execution"]
    assert (execution["retry_of"], execution["triggered_by"], execution["parameters"]) == (run, "retry", {"seconds": 7})
    assert api("GET", f"{RUNS}/{retried}/logs").json == {"logs": [], "next": ""}


def test_a_secret_is_stored_sealed_and_comes_back_as_set(api: Api, store: Store) -> None:
    job = make(api, parameters={"secret": "canary-secret-value"})
    assert job["parameters"]["secret"] == {"$secret": "set"}
    changed = api("PUT", f"{JOBS}/{job['_id']}", {"parameters": {"secret": {"$secret": "set"}, "seconds": 1}})
    assert changed.status_code == 200
    run = api("POST", f"{JOBS}/{job['_id']}/run").json["execution_id"]
    everything = json.dumps(
        [list(store.database[name].find()) for name in store.database.list_collection_names()], default=str
    ) + json.dumps([api("GET", f"{JOBS}/{job['_id']}").json, api("GET", f"{RUNS}/{run}").json])
    assert "canary-secret-value" not in everything
    assert store.database["dynamic_jobs"].find_one({"_id": job["_id"]})["parameters"]["secret"]["$sealed"]  # type: ignore[index]
    none_kept = api("POST", JOBS, body(name="other", parameters={"secret": {"$secret": "set"}}))
    assert (none_kept.status_code, pointers(none_kept)) == (422, {"/parameters/secret": "must be text"})


@pytest.mark.parametrize(
    ("changes", "status", "field", "words"),
    [
        ({"template_type": "web_trigger"}, 422, "/template_type", "did you mean 'webhook_trigger'?"),
        ({"template_type": "no_such"}, 422, "/template_type", "is not an available template: 'no_such'"),
        ({"parameters": {"seconds": "soon"}}, 422, "/parameters/seconds", "must be a number"),
        ({"parameters": {"seconds": -1}}, 422, "/parameters/seconds", "at least 0"),
        ({"parameters": {"more": 1}}, 422, "/parameters/more", "not a known field"),
        ({"parameters": {"file": "forbidden"}}, 422, "/parameters/file", "must not be forbidden"),
        ({"parameters": [1]}, 422, "/parameters", "must be an object"),
        ({"schedule": {"type": "cron"}}, 422, "/schedule/expression", "required for a schedule of type cron"),
        (
            {"schedule": {"type": "cron", "expression": "99 * * * *"}},
            422,
            "/schedule/expression",
            "99 is not between 0 and 59 (at character 1)",
        ),
        ({"schedule": {"type": "cron", "expression": "0 0 30 2 *"}}, 422, "/schedule/expression", "does not exist"),
        ({"schedule": {"type": "cron", "expression": "0 0 * * *", "timezone": "Mars/Base"}}, 422, "/schedule/timezone", "IANA"),
        ({"schedule": {"type": "once", "run_at": "2026-02-30T10:00:00Z"}}, 422, "/schedule/run_at", "date and time"),
        ({"schedule": {"type": "once", "run_at": "2026-04-01T10:00:00"}}, 422, "/schedule/run_at", "needs a time zone"),
        ({"schedule": {"type": "once", "run_at": "2020-01-01T10:00:00Z"}}, 422, "/schedule/run_at", "in the future"),
        ({"schedule": {"type": "once", "run_at": "2036-01-01T10:00:00Z"}}, 422, "/schedule/run_at", "within the next 365 days"),
        ({"schedule": {"type": "interval", "interval_seconds": 0}}, 422, "/schedule/interval_seconds", "must be at least 1"),
        ({"schedule": {"type": "interval", "interval_seconds": "60"}}, 422, "/schedule/interval_seconds", "whole number"),
        ({"schedule": {"type": "weekly"}}, 422, "/schedule/type", "must be one of"),
        (
            {"schedule": {"type": "cron", "expression": "0 0 * * *", "start_at": "2026-05-02T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}},
            422,
            "/schedule/end_at",
            "later than start_at",
        ),
        (
            {"schedule": {"type": "cron", "expression": "0 0 1 1 *", "end_at": "2026-05-01T00:00:00Z"}},
            422,
            "/schedule/end_at",
            "no time at which the job is due",
        ),
        ({"name": "x" * 121}, 422, "/name", "must have at most 120 characters, but has 121"),
        ({"name": ""}, 422, "/name", "must not be empty"),
        ({"name": "   "}, 422, "/name", "must not be empty"),
        ({"name": "a\nb"}, 422, "/name", "must be one line without control characters"),
        ({"name": "safe\u202egnp.exe"}, 422, "/name", "must not contain"),
        ({"name": None}, 422, "/name", "must be text"),
        ({"name": 5}, 422, "/name", "must be text"),
        ({"name": "Taken"}, 409, "/name", "is already used by 'Taken'"),
        ({"enabled": "yes"}, 422, "/enabled", "true or false"),
        ({"timeout_seconds": 100000}, 422, "/timeout_seconds", "at most 86400"),
        ({"timeout_seconds": True}, 422, "/timeout_seconds", "whole number"),
        ({"retry_policy": {"max_retries": 1000}}, 422, "/retry_policy/max_retries", "100"),
        ({"retry_policy": {"retry_on": ["rain"]}}, 422, "/retry_policy/retry_on/0", "must be one of"),
        ({"concurrency": {"max_instances": 4}}, 422, "/concurrency/max_instances", "at most 3"),
        ({"overlap": "maybe"}, 422, "/overlap", "must be one of"),
        ({"priority": 11}, 422, "/priority", "10"),
        ({"tags": "a"}, 422, "/tags", "must be a list"),
        ({"created_by": "root"}, 422, "/created_by", "not a known field"),
        ({"_id": "mine"}, 422, "/_id", "not a known field"),
        ({"version": 9}, 422, "/version", "not a known field"),
    ],
)
def test_wrong_input_names_its_field(api: Api, changes: dict[str, Any], status: int, field: str, words: str) -> None:
    make(api, name="Taken")
    answer = api("POST", JOBS, body(**changes))
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    assert words in pointers(answer)[field]
    assert (answer.json["status"], answer.json["instance"]) == (status, JOBS)
    assert api("GET", JOBS).json["total"] == 1
    dry = api("POST", f"{JOBS}/validate", body(**changes))
    assert (dry.status_code, pointers(dry)) == (status, pointers(answer)), "validate is a dry create"


def test_several_wrong_fields_are_all_named(api: Api) -> None:
    answer = api("POST", JOBS, body(parameters={"seconds": -1, "more": 2}, schedule={"type": "cron", "expression": "x"}))
    assert set(pointers(answer)) == {"/parameters/seconds", "/parameters/more", "/schedule/expression"}


def test_validate_shows_words_and_next_runs_and_makes_nothing(api: Api) -> None:
    answer = api("POST", f"{JOBS}/validate", body(schedule={"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}))
    assert (answer.status_code, answer.json["valid"], answer.json["schedule_words"]) == (200, True, "At 02:30")
    assert answer.json["next_runs"][:2] == ["2026-03-03T01:30:00.000Z", "2026-03-04T01:30:00.000Z"]
    assert len(answer.json["next_runs"]) == 5
    assert api("GET", JOBS).json["total"] == 0


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"name": "a", "name": "b"}', "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"name=a", "application/x-www-form-urlencoded", 415),
        (b"", "application/json", 400),
        (b'{"name": "' + b"x" * 3_000_000 + b'"}', "application/json", 413),
    ],
)
def test_bodies_that_are_no_json_objects(app: Flask, api: Api, raw: bytes, kind: str, status: int) -> None:
    answer = app.test_client().post(JOBS, data=raw, content_type=kind, headers=api._headers)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(
    ("query", "name"),
    [("page=0", "page"), ("limit=9999", "limit"), ("sort=password", "sort"), ("enabled=perhaps", "enabled"), ("nonsense=1", "nonsense")],
)
def test_wrong_queries_name_their_parameter(api: Api, query: str, name: str) -> None:
    answer = api("GET", f"{JOBS}?{query}")
    assert (answer.status_code, [one["parameter"] for one in answer.json["errors"]]) == (422, [name])


@pytest.mark.parametrize("header", ["x", '"', "3", '"-1"', '"' + "9" * 30 + '"'])
def test_an_if_match_that_is_no_etag_is_refused(api: Api, header: str) -> None:
    path = f"{JOBS}/{make(api)['_id']}"
    assert api("PUT", path, {"description": "x"}, If_Match=header).status_code == 422


def test_an_idempotency_key_makes_one_job_and_one_run(api: Api, app: Flask) -> None:
    barrier = threading.Barrier(6)

    def create(_: int) -> Any:
        barrier.wait()
        return api("POST", JOBS, body(), Idempotency_Key="k-1")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(create, range(6)))
    assert {answer.status_code for answer in answers} == {201}
    (job_id,) = {answer.json["job"]["_id"] for answer in answers}
    assert api("POST", JOBS, body(description="another"), Idempotency_Key="k-1").status_code == 409
    runs = [api("POST", f"{JOBS}/{job_id}/run", None, Idempotency_Key="r-1") for _ in range(3)]
    assert len({answer.json["execution_id"] for answer in runs}) == 1
    other = make(api, name="other")["_id"]
    assert api("POST", f"{JOBS}/{other}/run", None, Idempotency_Key="r-1").status_code == 409
    assert api("POST", JOBS, body(name="x"), Idempotency_Key="k" * 300).status_code == 422


def test_no_token_a_wrong_one_and_an_expired_one(app: Flask, api: Api, services: Services, clock: ManualClock, super_admin: Actor) -> None:
    assert Api(app, None)("GET", JOBS).status_code == 401
    wrong = Api(app, "jw_wrong")("GET", JOBS)
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer realm="jobwright"')
    short = services.tokens.create(SYSTEM, email=super_admin.email, name="s", expires_at=clock.now() + timedelta(hours=1))
    assert Api(app, short)("GET", JOBS).status_code == 200
    clock.advance(3601)
    assert Api(app, short)("GET", JOBS).status_code == 401


def test_roles_and_scopes(app: Flask, api: Api, admin_api: Api, services: Services, super_admin: Actor, admin: Actor) -> None:
    from app.accounts.model import Role, Scope

    services.accounts.create_user(SYSTEM, email="u@example.com", password="long enough password", role=Role.USER)
    user = Api(app, services.tokens.create(SYSTEM, email="u@example.com", name="u"))
    assert user("GET", JOBS).status_code == 403
    assert admin_api("POST", JOBS, body(name="mine")).status_code == 201
    destructive = {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}}
    asked = admin_api("POST", JOBS, destructive)
    assert (asked.status_code, asked.json["approval"]["state"]) == (202, "pending")
    job = api("POST", JOBS, destructive).json["job"]["_id"]
    assert [
        admin_api(*call).status_code
        for call in (
            ("GET", f"{JOBS}/{job}"),
            ("PUT", f"{JOBS}/{job}", {"description": "x"}),
            ("DELETE", f"{JOBS}/{job}"),
            ("POST", f"{JOBS}/{job}/run"),
            ("POST", f"{JOBS}/{job}/disable"),
            ("POST", f"{JOBS}/{job}/pause", {"reason": "x"}),
            ("POST", f"{JOBS}/{job}/resume"),
            ("GET", "/api/admin/connections"),
            ("POST", "/api/admin/connections", {"name": "x", "kind": "smtp", "settings": {}}),
        )
    ] == [200, 202, 202, 202, 200, 409, 200, 200, 403]
    reader = Api(app, services.tokens.create(SYSTEM, email=super_admin.email, name="r", scopes=[Scope.READ]))
    assert [reader(*call).status_code for call in (("GET", JOBS), ("POST", JOBS, body(name="n")), ("POST", f"{JOBS}/{job}/run"))] == [
        200,
        403,
        403,
    ]


@pytest.mark.parametrize(
    ("role", "limit", "setting"),
    [(Role.ADMIN, 3, "JOBWRIGHT_RUNS_PER_HOUR"), (Role.SUPER_ADMIN, 5, "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN")],
)
def test_manual_runs_are_limited_by_role_and_say_when_to_come_back(
    store: Store, services: Services, clock: ManualClock, role: Role, limit: int, setting: str
) -> None:
    limited = build_services(replace(services.settings, runs_per_hour=3, runs_per_hour_super_admin=5), store, clock=clock)
    user = limited.accounts.create_user(SYSTEM, email="eve@example.com", password=PASSWORD, role=role)
    api = Api(create_app(limited), limited.tokens.create(SYSTEM, email=user.email, name="t"))
    jobs = [make(api, name=f"j{n}")["_id"] for n in range(limit + 1)]
    assert api("POST", f"{JOBS}/{jobs[0]}/run").status_code == 202
    clock.advance(600)
    answers = [api("POST", f"{JOBS}/{job}/run") for job in jobs[1:]]
    assert [answer.status_code for answer in answers] == [202] * (limit - 1) + [429]
    assert answers[-1].headers["Retry-After"] == "3000"
    assert answers[-1].json["detail"] == (
        f"eve@example.com may start {limit} runs per hour by hand ({setting}). The next one is possible at 13:00 UTC, in 50 min."
    )
    clock.advance(3000)
    assert api("POST", f"{JOBS}/{jobs[-1]}/run").status_code == 202


def test_the_registry_holds_so_many_jobs_and_no_more_whoever_races(store: Store, services: Services, super_admin: Actor) -> None:
    limited = build_services(replace(services.settings, max_jobs=10, max_jobs_per_creator=8), store, clock=services.clock)
    barrier = threading.Barrier(20)

    def create(number: int) -> str:
        barrier.wait()
        try:
            limited.jobs.create(super_admin, body(name=f"job {number}"))
        except Exception as error:
            return type(error).__name__
        return "created"

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(create, range(20)))
    assert (results.count("created"), results.count("LimitReached")) == (8, 12)
    other = replace(super_admin, email="other@example.com")
    for n in range(2):
        limited.jobs.create(other, body(name=f"other {n}"))
    with pytest.raises(Exception, match="There are already 10 jobs"):
        limited.jobs.create(other, body(name="one too many"))
    limited.jobs.delete(super_admin, next(job.id for job in limited.directory.page(super_admin, _all(), limit=50).items))
    limited.jobs.create(other, body(name="there is a seat again"))


def _all() -> Any:
    from app.jobs.filters import JobFilter

    return JobFilter()


def test_every_change_and_run_is_audited_with_its_diff(api: Api, services: Services, store: Store) -> None:
    job = make(api, parameters={"secret": "canary-secret-value"})
    api("PUT", f"{JOBS}/{job['_id']}", {"description": "new"}, X_Request_Id="req-7")
    api("POST", f"{JOBS}/{job['_id']}/run", {"parameters": {"seconds": 4}})
    events = [event for event in services.audit.history(AuditFilter(), limit=100) if event["target"]["id"] == job["_id"]][::-1]
    assert [event["action"] for event in events] == ["job.create", "job.update", "job.run"]
    assert events[1]["diff"] == [{"field": "/description", "before": "", "after": "new"}]
    assert (events[1]["actor"]["email"], events[1]["address"], events[1]["correlation_id"]) == ("admin@example.com", "127.0.0.1", "req-7")
    assert events[2]["diff"] == [{"field": "/parameters/seconds", "after": 4}]
    assert "canary" not in str(events)


def test_what_cannot_be_audited_does_not_happen(api: Api, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from pymongo.errors import AutoReconnect

    job = make(api)

    def fail(event: Any) -> None:
        raise AutoReconnect("audit is away")

    monkeypatch.setattr(services.audit._store, "append", fail)
    path = f"{JOBS}/{job['_id']}"
    calls = [
        ("POST", JOBS, body(name="n")),
        ("PUT", path, {"description": "x"}),
        ("POST", f"{path}/run"),
        ("POST", f"{path}/disable"),
        ("DELETE", path),
    ]
    assert [api(*call).status_code for call in calls] == [503] * 5
    monkeypatch.undo()
    (now,) = api("GET", JOBS).json["jobs"]
    assert now == job
    assert api("GET", RUNS).json["total"] == 0


def test_a_change_that_fails_after_its_audit_says_so(api: Api, services: Services, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(api)
    monkeypatch.setattr("app.jobs.registry_store.RegistryStore.update", lambda *args, **kwargs: False)
    assert api("PUT", f"{JOBS}/{job['_id']}", {"description": "x"}).status_code == 412
    newest = services.audit.history(AuditFilter(kind="job", target_id=job["_id"]), limit=2)
    assert sorted(event["outcome"] for event in newest) == ["done", "failed"]
    assert {event.get("of") for event in newest} == {None, *(event["_id"] for event in newest if event["outcome"] == "done")}


def test_templates_and_their_schemas(api: Api) -> None:
    listed = {one["_id"]: one for one in api("GET", "/api/admin/job-templates").json["templates"]}
    assert {"database_cleanup", "email_notification", "data_export", "webhook_trigger"} <= set(listed)
    cleanup = api("GET", "/api/admin/job-templates/database_cleanup").json
    assert cleanup["template"] == listed["database_cleanup"]
    assert cleanup["schema"]["properties"]["dryRun"]["default"] is True
    assert list(cleanup["schema"]["properties"])[:3] == ["connection", "collection", "condition"], "the order of the form"
    assert api("GET", "/api/admin/job-templates/database_cleanup/schema").json["schema"] == cleanup["schema"]
    assert api("GET", "/api/admin/job-templates/nothing").status_code == 404


def test_connections_live_masked_and_are_kept_while_used(api: Api) -> None:
    path = "/api/admin/connections"
    wrong = api("POST", path, {"name": "bad/name", "kind": "mongodb", "settings": {"uri": "http://x"}})
    assert set(pointers(wrong)) == {"/name", "/settings/uri", "/settings/database"}
    assert pointers(api("POST", path, {"name": "x", "kind": "ftp", "settings": {}})) == {
        "/kind": "must be one of mongodb, smtp, http, service, nats, sql, file_store, secret"
    }
    assert pointers(api("POST", path, {"name": "x", "settings": {}})) == {"/kind": "is required"}
    made = api("POST", path, {"name": "Shop", "kind": "mongodb", "settings": {"uri": "mongodb://u:canary@h/", "database": "shop"}})
    assert (made.status_code, made.json["connection"]["settings"]) == (201, {"uri": {"$secret": "set"}, "database": "shop"})
    one = f"{path}/{made.json['connection']['_id']}"
    assert (
        api(
            "POST", path, {"name": "Shop", "kind": "smtp", "settings": {"host": "h", "port": 25, "security": "none", "sender": "a@b.de"}}
        ).status_code
        == 409
    )
    kept = api("PUT", one, {"name": "Shop", "settings": {"uri": {"$secret": "set"}, "database": "shop2"}}, If_Match='"1"')
    assert (kept.status_code, kept.json["connection"]["version"]) == (200, 2)
    assert api("PUT", one, {"name": "Shop", "settings": {"uri": {"$secret": "set"}, "database": "x"}}, If_Match='"1"').status_code == 412
    probe = api("POST", f"{one}/test").json
    assert (probe["ok"], "canary" in probe["message"]) == (False, False)
    missing = api(
        "POST",
        JOBS,
        {
            "name": "j",
            "template_type": "database_cleanup",
            "parameters": {"connection": "Shopp", "collection": "users", "condition": {"a": 1}},
        },
    )
    assert pointers(missing) == {"/parameters/connection": "is not the name of a connection of the kind MongoDB: 'Shopp'"}
    job = make(api, template_type="database_cleanup", parameters={"connection": "Shop", "collection": "users", "condition": {"a": 1}})
    refused = api("DELETE", one)
    assert (refused.status_code, "Weekly cleanup" in refused.json["detail"]) == (409, True)
    api("DELETE", f"{JOBS}/{job['_id']}")
    assert api("DELETE", one).json == {"message": "Connection deleted"}
    assert api("GET", one).status_code == 404


def test_strangers_learn_neither_where_the_database_is_nor_which_version_runs(app: Flask, services: Services, api: Api) -> None:
    away: MongoClient[Document] = MongoClient("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=20&appname=canary")

    def ping() -> None:
        with store_errors():
            away.admin.command("ping")

    def refused() -> None:
        raise OperationFailure("canary: 127.0.0.1:1 says that the password of registry is wrong")

    for down in (ping, refused):
        client = create_app(replace(services, ping=down)).test_client()
        for path in ("/ready", "/health", "/health/detailed"):
            answer = client.get(path)
            assert (answer.status_code, "127.0.0.1" in answer.text, "canary" in answer.text) == (503, False, False), path
    with pytest.raises(StoreUnavailable) as raised:
        ping()
    assert "127.0.0.1" not in raised.value.detail
    away.close()
    client = app.test_client()
    running = version("jobwright")
    for path in (
        "/health",
        "/health/detailed",
        "/ready",
        "/live",
        "/sign-in",
        "/no-such-page",
        "/api/docs",
        "/api/openapi.json",
        "/api/nothing",
    ):
        answer = client.get(path)
        told = f"{answer.headers}{answer.text}"
        assert f'"{running}"' not in told, path
        assert "Werkzeug" not in told, path
        assert "Python" not in told, path
    assert "version" not in client.get("/health", headers={"Authorization": "Bearer jw_wrong"}).json
    assert api("GET", "/health").json["version"] == running


def test_health_pages_and_the_openapi_document(app: Flask, api: Api) -> None:
    client = app.test_client()
    assert client.get("/health").json["status"] == "healthy"
    assert client.get("/live").json == {"status": "alive"}
    assert (client.get("/ready").status_code, client.get("/ready").json["engine"]) == (200, "not here")
    assert client.get("/health/detailed").json["dependencies"]["mongodb"]["status"] == "healthy"
    document = client.get("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for path, methods in {
        JOBS: {"get", "post"},
        f"{JOBS}/{{job_id}}": {"get", "put", "delete"},
        f"{JOBS}/{{job_id}}/run": {"post"},
    }.items():
        assert methods <= set(document["paths"][path])
    assert b"swagger-ui-bundle.js" in client.get("/api/docs").data


def test_paths_that_are_not_there_and_methods_that_are_not_allowed(api: Api) -> None:
    assert (api("GET", "/api/nothing").status_code, api("GET", "/api/nothing").content_type) == (404, "application/problem+json")
    answer = api("PATCH", JOBS)
    assert (answer.status_code, "POST" in answer.headers["Allow"]) == (405, True)


@pytest.mark.parametrize("job_id", ["nothing", "../x", "%00", "a" * 5000, '{"$ne": 1}'])
def test_odd_ids_are_not_found(api: Api, job_id: str) -> None:
    for path in (f"{JOBS}/{job_id}", f"{RUNS}/{job_id}"):
        assert api("GET", path).status_code in {400, 404}


def test_schedules_are_told_in_the_language_that_is_asked_for(api: Api) -> None:
    made = api(
        "POST", "/api/admin/scheduler-jobs", {"name": "w", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 2 * * 0"}}
    )
    path = f"/api/admin/scheduler-jobs/{made.json['job']['_id']}"
    told = {language: api("GET", path, Accept_Language=language).json["job"]["schedule_words"] for language in ("de-AT,de;q=0.9", "fr", "")}
    assert told == {"de-AT,de;q=0.9": "Um 02:00, nur am Sonntag", "fr": "At 02:00, only on Sunday", "": "At 02:00, only on Sunday"}

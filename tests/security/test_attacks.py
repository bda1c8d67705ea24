"""What attackers try, on the real server over REST and web: never a 5xx, never a hang, never a silent yes."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from markupsafe import escape
from pymongo import MongoClient

from tests.commands import jobwright
from tests.support import ADMIN, PASSWORD, Service, eventually

A = "/api/admin"
JOBS = f"{A}/scheduler-jobs"
REFUSED = frozenset({400, 401, 403, 404, 405, 409, 411, 412, 413, 414, 415, 422, 429, 431})
LONGEST_SECONDS = 8.0


@dataclass
class Target:
    """A running service, who may call it, and what must not be reached."""

    service: Service
    token: str
    admin: str
    web: httpx.Client
    csrf: str
    job: str
    mongod: str
    shop: str
    hits: list[str] = field(default_factory=list)
    inner: int = 0

    def rest(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        answer = httpx.request(method, self.service.address + path, headers=headers, timeout=LONGEST_SECONDS, **more)
        assert time.monotonic() - began < LONGEST_SECONDS
        assert answer.status_code < 500, answer.text
        return answer


@pytest.fixture(scope="module")
def target(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    hits: list[str] = []

    class Inner(http.server.BaseHTTPRequestHandler):
        """A service of the inner network, which nobody outside is to reach through us."""

        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    inner = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inner)
    threading.Thread(target=inner.serve_forever, daemon=True).start()
    name, folder = "attacked", tmp_path_factory.mktemp("attacked")
    service = Service("serve", uri=mongod, database=name, data_dir=folder).wait_ready()
    environment = {**service.environment, "JOBWRIGHT_NEW_PASSWORD": "gravel lantern seven otters"}
    jobwright(environment, "user", "create", "--email", "ada@example.com", check=True)
    token, admin = service.token(), service.token("ada@example.com")
    web = httpx.Client(base_url=service.address, timeout=LONGEST_SECONDS)
    page = web.get("/sign-in").text
    csrf = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    web.post("/sign-in", data={"csrf_token": csrf, "email": ADMIN, "password": PASSWORD})
    csrf = web.get("/account").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    with service.client(token) as client:
        for kind, settings in (
            ("mongodb", {"uri": mongod, "database": f"{name}_shop"}),
            ("file_store", {"path": str(folder / "files")}),
            ("smtp", {"host": "127.0.0.1", "port": 9, "security": "none", "sender": "a@example.com"}),
        ):
            assert client.post(f"{A}/connections", json={"name": kind, "kind": kind, "settings": settings}).status_code == 201
        job = client.post(JOBS, json={"name": "target", "template_type": "noop", "overlap": "allow"}).json()["job"]["_id"]
    made = Target(service, token, admin, web, csrf, job, mongod, f"{name}_shop", hits, inner.server_port)
    yield made
    web.close()
    inner.shutdown()
    inner.server_close()
    assert service.stop() == 0
    failed = [line for line in service.events() if line.get("event") in {"request.failed", "tick.failed"}]
    with MongoClient(mongod) as client:
        client.drop_database(name)
        client.drop_database(made.shop)
    assert failed == [], "an attack broke something inside"


def job(**fields: Any) -> dict[str, Any]:
    return {"name": f"attack {time.monotonic_ns()}", "template_type": "noop", **fields}


# -- who is it --------------------------------------------------------------------------------------------------------

AUTHORIZATION = [
    "",
    "Bearer",
    "Basic YWRtaW46YWRtaW4=",
    "Bearer null",
    "Bearer undefined",
    "Bearer jw_",
    "Bearer ' OR '1'='1",
    'Bearer {"$ne": null}',
    "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoic3VwZXJfYWRtaW4ifQ.",
    "Bearer jw_" + "A" * 43,
    "Bearer " + "x" * 20_000,
    "Digest username=admin",
    "bearer\tjw_x",
    "Bearer jw_x, Bearer jw_y",
]


@pytest.mark.parametrize("header", AUTHORIZATION)
def test_no_token_no_answer(target: Target, header: str) -> None:
    for path in (JOBS, f"{A}/users", f"{A}/audit-events/export"):
        answer = httpx.get(target.service.address + path, headers={"Authorization": header}, timeout=LONGEST_SECONDS)
        assert answer.status_code in {401, 429}
        assert '"jobs":' not in answer.text


@pytest.mark.parametrize(
    "cookie",
    [
        "jobwright_session=x",
        "jobwright_session=eyJzIjoiYWRtaW4ifQ.aaaa.bbbb",
        "jobwright_session=" + "A" * 4000,
        "jobwright_device=x.y",
        "session=admin; role=super_admin",
    ],
)
def test_a_forged_cookie_is_no_session(target: Target, cookie: str) -> None:
    answer = httpx.get(f"{target.service.address}/users", headers={"Cookie": cookie}, timeout=LONGEST_SECONDS)
    assert (answer.status_code, answer.headers["Location"][:8]) == (302, "/sign-in")


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-User": "admin@example.com"},
        {"X-Remote-User": "admin"},
        {"X-Created-By": "admin"},
        {"X-Original-URL": "/users"},
        {"X-Rewrite-URL": "/users"},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
)
def test_headers_make_nobody_somebody(target: Target, header: dict[str, str]) -> None:
    assert httpx.get(f"{target.service.address}{JOBS}", headers=header).status_code in {401, 429}
    assert httpx.get(f"{target.service.address}/jobs", headers=header).status_code == 302


def test_a_session_is_a_fresh_one_after_sign_in(target: Target) -> None:
    with httpx.Client(base_url=target.service.address) as visitor:
        page = visitor.get("/sign-in").text
        before = visitor.cookies["jobwright_session"]
        csrf = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        answer = visitor.post("/sign-in", data={"csrf_token": csrf, "email": ADMIN, "password": PASSWORD})
        assert visitor.cookies["jobwright_session"] != before
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert httpx.get(f"{target.service.address}/jobs", cookies={"jobwright_session": before}).status_code == 302
        after = dict(visitor.cookies)
        token = visitor.get("/account").text.partition('name="csrf_token" value="')[2].partition('"')[0]
        visitor.post("/sign-out", data={"csrf_token": token})
        assert httpx.get(f"{target.service.address}/jobs", cookies=after).status_code == 302  # signed out on the server too


# -- bodies -----------------------------------------------------------------------------------------------------------

BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "application/json"),
    ("null", b"null", "application/json"),
    ("a number", b"1", "application/json"),
    ("a list", b"[]", "application/json"),
    ("half", b'{"name": "x"', "application/json"),
    ("twice", b'{"name": "a", "name": "b", "template_type": "noop"}', "application/json"),
    ("deep lists", b"[" * 100_000, "application/json"),
    ("deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json"),
    ("NaN", b'{"name": "x", "template_type": "noop", "timeout_seconds": NaN}', "application/json"),
    ("Infinity", b'{"name": "x", "template_type": "noop", "priority": -Infinity}', "application/json"),
    ("a huge number", b'{"name": "x", "template_type": "noop", "timeout_seconds": 1e999999}', "application/json"),
    ("many digits", b'{"name": "x", "template_type": "noop", "timeout_seconds": ' + b"9" * 100_000 + b"}", "application/json"),
    ("too large", b'{"name": "' + b"x" * 3_000_000 + b'"}', "application/json"),
    ("no UTF-8", b'{"name": "\xff\xfe"}', "application/json"),
    ("half a surrogate", b'{"name": "\\ud800", "template_type": "noop"}', "application/json"),
    ("NUL", b'{"name": "a\\u0000b", "template_type": "noop"}', "application/json"),
    ("UTF-16", '{"name": "x", "template_type": "noop"}'.encode("utf-16"), "application/json"),
    ("a form", b"name=x&template_type=noop", "application/x-www-form-urlencoded"),
    ("XML", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "application/xml"),
    ("YAML", b"!!python/object/apply:os.system ['id']", "application/yaml"),
    ("a pickle", b"\x80\x04\x95", "application/octet-stream"),
    ("plain text", b'{"name": "x", "template_type": "noop"}', "text/plain"),
    ("__proto__", b'{"__proto__": {"role": "super_admin"}, "name": "x", "template_type": "noop"}', "application/json"),
    ("__class__", b'{"__class__": "x", "name": "x", "template_type": "noop"}', "application/json"),
]


@pytest.mark.parametrize(("name", "body", "kind"), BODIES, ids=[name for name, _, _ in BODIES])
def test_a_body_that_is_not_what_it_should_be(target: Target, name: str, body: bytes, kind: str) -> None:
    answer = target.rest("POST", JOBS, content=body, headers={"Content-Type": kind})
    assert answer.status_code in REFUSED, f"{name}: {answer.status_code} {answer.text[:200]}"
    assert answer.headers["Content-Type"] == "application/problem+json"


MASS = [
    "_id",
    "id",
    "version",
    "created_by",
    "created_at",
    "updated_by",
    "origin",
    "next_run_at",
    "last_run_at",
    "paused",
    "schedule_error",
    "retired",
    "seat",
    "creator_seat",
    "approval",
    "dispatch",
    "stats",
    "request_digest",
    "template_version",
    "role",
    "approved_by",
    "dry",
]


@pytest.mark.parametrize("name", MASS)
def test_a_field_that_is_not_the_callers_is_refused(target: Target, name: str) -> None:
    for method, path in (("POST", JOBS), ("PUT", f"{JOBS}/{target.job}")):
        answer = target.rest(method, path, json={**(job() if method == "POST" else {}), name: "x"})
        assert answer.status_code == 422, answer.text
        assert f"/{name}" in [error["pointer"] for error in answer.json()["errors"]]


# -- injection --------------------------------------------------------------------------------------------------------

OPERATORS: list[Any] = [
    {"$where": "sleep(10000)"},
    {"$expr": {"$function": {"body": "function(){}", "args": [], "lang": "js"}}},
    {"$expr": {"$gt": ["$a", 1]}},
    {"$jsonSchema": {}},
    {"$comment": "x", "$where": "1"},
    {"a": {"$where": "1"}},
    {"$and": [{"$or": [{"$where": "1"}]}]},
    {"a": {"$not": {"$where": "1"}}},
    {"a": {"$elemMatch": {"$where": "1"}}},
    {"$text": {"$search": "x"}},
    {"$out": "x"},
    {"$merge": {"into": "x"}},
    {"a": {"$near": [0, 0]}},
    {"a": {"$geoWithin": {}}},
    {"$accumulator": {}},
    {"$function": {}},
    {"a": {"$gt": {"$where": "1"}}},
    {"$nor": [{"$expr": {}}]},
    {"$alwaysTrue": 1},
    {},
    {"$or": []},
    {"_id": {"$exists": True}},
    {"$or": [{}]},
    {"$nor": [{"$nor": [{}]}]},
    {"a": {"$regex": "(" * 600}},
    {"a": {"$regex": "(a+)+$" * 200}},
    {"a": {"$code": "x"}},
    {"a": {"$ref": "users", "$id": 1, "$db": "admin"}},
    {"a": {"$in": [{"$where": "1"}] * 2}},
    {"a\x00b": 1},
    {"a": {"$date": "not a date"}},
    {"a": {"$oid": "zz"}},
    {"$rename": {"a": "b"}},
    {"a": {"$set": 1}},
]


@pytest.mark.parametrize("condition", OPERATORS, ids=lambda one: json.dumps(one)[:50])
def test_no_operator_gets_in_that_is_not_on_the_list(target: Target, condition: Any) -> None:
    parameters = {"connection": "mongodb", "collection": "users", "condition": condition, "dryRun": False}
    for token in (target.token, target.admin):
        answer = target.rest("POST", JOBS, token=token, json=job(template_type="database_cleanup", parameters=parameters))
        assert answer.status_code == 422, answer.text
        assert all(error["pointer"].startswith("/parameters") for error in answer.json()["errors"])


@pytest.mark.parametrize("collection", ["system.users", "system.js", "$cmd", "a\x00b", "", "a" * 300, "oplog.rs\x00"])
def test_collections_that_are_not_for_jobs(target: Target, collection: str) -> None:
    parameters = {"connection": "mongodb", "collection": collection, "condition": {"a": 1}}
    assert target.rest("POST", JOBS, json=job(template_type="database_cleanup", parameters=parameters)).status_code == 422


QUERIES = [
    "search[$ne]=1",
    "search[$regex]=.*",
    "sort=$where",
    "sort=name;drop",
    "page=-1",
    "page=1e9",
    "page=99999999999999999999",
    "limit=0",
    "limit=1000000",
    "enabled[$ne]=x",
    "tag[]=a&tag[]=b&x=y",
    "template_type[$gt]=",
    "limit=%00",
    "sort=__proto__",
    "unknown=1",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_data(target: Target, query: str) -> None:
    assert target.rest("GET", f"{JOBS}?{query}").status_code == 422


@pytest.mark.parametrize("text", ["(a+)+$", ".*" * 90, "\\", "[", "^(?:a|aa)+$" * 5, "a" * 200, "%00", "'; return true; //"])
def test_a_search_is_text_and_not_a_pattern(target: Target, text: str) -> None:
    answer = target.rest("GET", JOBS, params={"search": text})
    assert answer.status_code == 200
    assert answer.json()["total"] == 0


PATHS = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b.csv",
    "..\\..\\x",
    "a\x00b",
    "a//b",
    "~/.ssh/id_rsa",
    "a/../../../../../tmp/x",
    "%2e%2e/x",
    ".",
    "..",
    "",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_stays_in_its_store(target: Target, path: str, tmp_path: Path) -> None:
    """Refused when it is asked for, or when it runs; nothing appears outside."""
    with MongoClient(target.mongod) as client:
        client[target.shop]["rows"].replace_one({"_id": 1}, {"_id": 1, "a": 1}, upsert=True)
    store = Path(target.service.environment["JOBWRIGHT_DATA_DIR"]) / "files"
    before = {one for one in store.parent.rglob("*") if "mongo" not in str(one)}
    parameters = {"connection": "mongodb", "collection": "rows", "destination": {"connection": "file_store", "path": path}}
    answer = target.rest("POST", JOBS, json=job(template_type="data_export", parameters=parameters, retry_policy={"max_retries": 0}))
    if answer.status_code == 422:
        return
    run = target.rest("POST", f"{JOBS}/{answer.json()['job']['_id']}/run").json()["execution_id"]
    ended = _ended(target, run)
    outside = {one for one in store.parent.rglob("*") if "mongo" not in str(one)} - before
    assert not [
        one for one in outside if store not in one.parents and one != store and "executions" not in str(one) and one.suffix == ".csv"
    ]
    assert ended["status"] == "failed" or path in {"%2e%2e/x", "~/.ssh/id_rsa"}  # plain names, odd as they are, inside the store


def _ended(target: Target, run: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = target.rest("GET", f"{A}/job-executions/{run}").json()["execution"]
        return found if found["status"] not in {"queued", "running", "retrying"} else None

    return eventually(look)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../app/keys.py",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static/..%2f..%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/....//....//etc/passwd",
        "/templates/..%2f..%2fapp",
        "/audit/export.%2e%2e",
        "/.git/config",
        "/.env",
        "/api/../.env",
    ],
)
def test_no_file_of_ours_is_served(target: Target, path: str) -> None:
    answer = target.web.get(path)
    assert answer.status_code in {301, 302, 308, 404}
    assert "root:" not in answer.text
    assert "import" not in answer.text[:200]


# -- outgoing calls ---------------------------------------------------------------------------------------------------

INNER = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://[fe80::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://localhost.:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
]
NO_ADDRESS = [
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://127.0.0.1/",
    "http://user:pass@127.0.0.1/",
    "http://",
    "//127.0.0.1/",
    "javascript:alert(1)",
    "http://a b/",
    "http://127.0.0.1:99999/",
    "dict://127.0.0.1:11211/",
    "http://evil\r\nHost: x/",
    "ldap://127.0.0.1/",
    "http://example.com@127.0.0.1/",
]


@pytest.mark.parametrize("url", INNER)
def test_no_job_reaches_the_inner_network(target: Target, url: str) -> None:
    body = job(
        template_type="webhook_trigger", parameters={"url": url.format(port=target.inner), "timeout": 3}, retry_policy={"max_retries": 0}
    )
    answer = target.rest("POST", JOBS, json=body)
    if answer.status_code == 201:
        run = target.rest("POST", f"{JOBS}/{answer.json()['job']['_id']}/run").json()["execution_id"]
        ended = _ended(target, run)
        assert ended["status"] == "failed"
    else:
        assert answer.status_code == 422
    assert target.hits == []


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_web_address_is_refused(target: Target, url: str) -> None:
    assert target.rest("POST", JOBS, json=job(template_type="webhook_trigger", parameters={"url": url})).status_code == 422


HEADERS = [
    ("Host", "evil.example"),
    ("Content-Length", "0"),
    ("Transfer-Encoding", "chunked"),
    ("Connection", "keep-alive"),
    ("X-A\r\nX-B", "1"),
    ("X-A", "1\r\nX-B: 2"),
    ("X A", "1"),
    ("", "1"),
    ("X-A", "a\x00b"),
    ("webhook-signature", "v1,x"),
    ("Idempotency-Key", "x"),
    ("X-A:", "1"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_no_header_is_smuggled_into_a_call(target: Target, name: str, value: str) -> None:
    parameters = {"url": "https://example.com/", "headers": [{"name": name, "value": value}]}
    assert target.rest("POST", JOBS, json=job(template_type="webhook_trigger", parameters=parameters)).status_code == 422


MAILS: list[dict[str, Any]] = [
    {"subject": "a\r\nBcc: b@example.com"},
    {"subject": "a\nX: y"},
    {"recipients": ["a@example.com\r\nBcc: b@example.com"]},
    {"recipients": ["a@example.com, b@example.com"]},
    {"recipients": []},
    {"recipients": ["not an address"]},
    {"recipients": ["@example.com"]},
    {"reply_to": "a@example.com\r\nX: y"},
    {"recipients": ["a@example.com"] * 2},
    {"recipients": [f"a{n}@example.com" for n in range(501)]},
    {"attachments": [{"connection": "file_store", "path": "x", "filename": "a\r\nb"}]},
    {"attachments": [{"connection": "file_store", "path": "x", "filename": "../x"}]},
    {"subject": "\x00"},
]


@pytest.mark.parametrize("change", MAILS, ids=lambda one: str(one)[:40])
def test_no_header_is_smuggled_into_a_mail(target: Target, change: dict[str, Any]) -> None:
    parameters = {"connection": "smtp", "recipients": ["a@example.com"], "subject": "s", "body": "b", **change}
    assert target.rest("POST", JOBS, json=job(template_type="email_notification", parameters=parameters)).status_code == 422


# -- schedules and schemas --------------------------------------------------------------------------------------------

SCHEDULES: list[dict[str, Any]] = [
    {"type": "cron", "expression": "* * * * * * *"},
    {"type": "cron", "expression": "*/0 * * * *"},
    {"type": "cron", "expression": "0 0 30 2 *"},
    {"type": "cron", "expression": "1,".rstrip() * 5000 + "1 * * * *"},
    {"type": "cron", "expression": "0 0 * * * ; id"},
    {"type": "cron", "expression": "$(id) * * * *"},
    {"type": "cron", "expression": "@reboot"},
    {"type": "cron", "expression": "٣ * * * *"},
    {"type": "cron", "expression": 5},
    {"type": "cron", "expression": "* * * * *", "timezone": "../../etc/passwd"},
    {"type": "cron", "expression": "* * * * *", "timezone": "/etc/localtime"},
    {"type": "cron", "expression": "* * * * *", "timezone": "x" * 10_000},
    {"type": "interval", "interval_seconds": 0},
    {"type": "interval", "interval_seconds": -1},
    {"type": "interval", "interval_seconds": 1e300},
    {"type": "interval", "interval_seconds": True},
    {"type": "once", "run_at": "9999-12-31T23:59:59+14:00"},
    {"type": "once", "run_at": "0000-00-00T00:00:00Z"},
    {"type": "once", "run_at": "2000-01-01T00:00:00Z"},
    {"type": "eval"},
    {"type": {"$ne": 1}},
    {"type": "cron", "expression": "* * * * *", "calendars": ["no such"]},
    {"type": "cron", "expression": "* * * * *", "jitter_seconds": -1},
    {"type": "cron", "expression": "* * * * *", "calendars": [{"$ne": ""}]},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: str(one)[:60])
def test_a_schedule_that_is_none(target: Target, schedule: dict[str, Any]) -> None:
    answer = target.rest("POST", JOBS, json=job(schedule=schedule))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("/schedule")


ICALS = [
    "BEGIN:VCALENDAR\r\n" * 10_000,
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260101T000000Z\r\nRRULE:FREQ=SECONDLY\r\nEND:VEVENT\r\nEND:VCALENDAR",
    "\x00" * 1000,
    "<?xml version='1.0'?>",
    "x" * 900_000,
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:99999999T999999Z\r\nEND:VEVENT\r\nEND:VCALENDAR",
]


@pytest.mark.parametrize("ical", ICALS, ids=range(len(ICALS)))
def test_a_calendar_file_that_is_a_bomb(target: Target, ical: str) -> None:
    assert (
        target.rest("POST", f"{A}/calendars", json={"name": f"c{time.monotonic_ns()}", "timezone": "UTC", "ical": ical}).status_code
        in REFUSED
    )


# -- the browser ------------------------------------------------------------------------------------------------------

FORMS = [
    "/jobs/{job}/run",
    "/jobs/{job}/delete",
    "/jobs/{job}/disable",
    "/jobs/{job}/edit",
    "/connections/new?kind=smtp",
    "/maintenance",
    "/maintenance/end",
    "/users/new",
    "/account/password",
    "/account/sessions/end",
    "/account/second-factor",
    "/account/second-factor/remove",
    "/calendars/new",
    "/sign-out",
    "/sign-in",
    "/tokens/x/revoke",
    "/approvals/x/approve",
    "/templates/preview",
]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [None, "", "forged", "another"])
def test_a_form_of_another_site_does_nothing(target: Target, path: str, token: str | None) -> None:
    if token == "another":
        with httpx.Client(base_url=target.service.address) as stranger:  # a token of the attacker's own session
            token = stranger.get("/sign-in").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    data = {} if token is None else {"csrf_token": token}
    answer = target.web.post(
        path.format(job=target.job), data=data, headers={"Origin": "https://evil.example", "Referer": "https://evil.example/"}
    )
    assert answer.status_code == 400
    assert target.rest("GET", f"{JOBS}/{target.job}").json()["job"]["enabled"]


NEXT = [
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "http:evil.example",
    "/%09/evil.example",
    "https:/evil.example",
    "///evil.example",
    "/\t/evil.example",
    "data:text/html,x",
    " https://evil.example",
    "/jobs\r\nSet-Cookie: a=b",
]


@pytest.mark.parametrize("where", NEXT)
def test_sign_in_leads_nowhere_else(target: Target, where: str) -> None:
    with httpx.Client(base_url=target.service.address) as visitor:
        csrf = visitor.get("/sign-in", params={"next": where}).text.partition('name="csrf_token" value="')[2].partition('"')[0]
        answer = visitor.post("/sign-in", data={"csrf_token": csrf, "email": ADMIN, "password": PASSWORD, "next": where})
        location = answer.headers["Location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert answer.headers.get("Set-Cookie", "").count("a=b") == 0


MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "${7*7}",
    "{% for x in config %}",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "'-alert(1)-'",
    "</textarea><script>alert(1)</script>",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("text", MARKUP)
def test_text_of_people_is_text_on_every_page(target: Target, text: str) -> None:
    made = target.rest(
        "POST", JOBS, json=job(name=f"{text} {time.monotonic_ns()}", description=text, tags=[text[:50].replace(",", "")], group=text[:50])
    )
    assert made.status_code == 201, made.text
    ident = made.json()["job"]["_id"]
    for path in (
        "/jobs",
        f"/jobs/{ident}",
        f"/jobs/{ident}/edit",
        f"/jobs?q={text}",
        "/audit?action=job",
        f"/jobs/{ident}/run-with",
        f"/jobs/{ident}/pause",
    ):
        page = target.web.get(path).text
        for raw in ("<script>alert", "<img src=x", "<svg/onload", "</textarea><script"):
            assert raw not in page, path
        if path == f"/jobs/{ident}":
            assert escape(text) in page  # as it was typed: nothing in it was run
    target.rest("DELETE", f"{JOBS}/{ident}")


@pytest.mark.parametrize(
    "path", ["/jobs", "/sign-in", "/api/docs", "/no-such-page", "/static/app.js", "/api/openapi.json", "/health", "/jobs/none"]
)
def test_every_answer_keeps_the_browser_in_bounds(target: Target, path: str) -> None:
    headers = target.web.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Python" not in headers.get("Server", "")


METHODS = ["TRACE", "CONNECT", "PROPFIND", "TRACK", "DEBUG", "X" * 500]


@pytest.mark.parametrize("method", METHODS)
def test_odd_methods_are_refused(target: Target, method: str) -> None:
    assert httpx.request(method, f"{target.service.address}/jobs", timeout=LONGEST_SECONDS).status_code in {302, 400, 404, 405, 501}


LINES = ["a\nlevel=error event=admin.signed_in", "a\r\n2026-01-01 [info] forged", "\x1b[31mred", "a\u2028b", "\u202egnp.exe"]


@pytest.mark.parametrize("text", LINES)
def test_no_line_is_forged_in_the_log(target: Target, text: str) -> None:
    target.rest("GET", JOBS, params={"search": text[:100]})
    target.rest("POST", JOBS, json=job(name=text))
    target.web.get("/jobs", params={"q": text})
    lines = target.service.log.read_text().splitlines()
    for line in lines:
        json.loads(line)
    assert not [line for line in lines if line.startswith(("level=error", "2026-01-01"))]

"""Odd texts, numbers and instants in every parameter of every operation and page: no 5xx, and no answer that breaks off.

Parameters are not listed here. Those of the REST interface are read from its own description, those of pages are the names that the views
ask a request for, and those of forms are the controls that the page draws, so that a new parameter is tried without a line here.

In `make check` each parameter gets a sample of the odd values, another one for each parameter, so that each value meets many of them.
In `make check-long` and `make fuzz` each gets all of them.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from werkzeug.datastructures import ImmutableMultiDict

from app.accounts.signin import Visitor
from app.audit.model import SYSTEM, Actor
from app.services import Services
from tests.conftest import Api, app_of
from tests.lengths import LONG
from tests.posting import Page
from tests.security.test_matrix import BODIES, BOTH, COMMAND, JOB, OWN_REQUEST, REST, RUN, SCHEDULES, WEB, A, address, cast, targets

__all__ = ["cast", "targets"]  # fixtures

SAMPLE = 3  # values a parameter in `make check`

# As they stand in an address, percent-encoded; the last two are no UTF-8: half of a surrogate pair, and a byte that begins nothing.
TEXTS = [
    "%00",
    "a%00b",
    quote("\u202edrawkcab\u202c"),
    quote("\u2066\u200b\ufeff"),
    quote("e\u0301\U0001f469\u200d\U0001f680"),
    quote("x" * 20_000),
    quote("\r\n\t\x1b[31m"),
    quote("<script>alert(1)</script>'\""),
    quote("$where"),
    quote("a.b.$c"),
    quote("(" * 500),
    "%ED%A0%80",
    "%FF%FE",
]
NUMBERS = [
    "-1",
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999",
    "1e400",
    "NaN",
    "9" * 5000,
    "1.5",
    "0x10",
    quote("١٢"),
]
INSTANTS = [
    "0001-01-01",
    "9999-12-31",
    "0000-00-00",
    "10000-01-01",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "2026-03-29T02:30:00",
    "2026-06-30T23:59:60Z",
    "1969-12-31T23:59:59.999999Z",
]
IN_ADDRESSES = [*TEXTS, *NUMBERS, *INSTANTS, ""]
# The same in JSON, written as JSON so that what Python cannot hold can be sent: half a surrogate pair, numbers beyond any bound.
IN_JSON = [
    r'"\u0000"',
    r'"a\u0000b"',
    r'"\ud800"',
    r'"\u202eabc"',
    json.dumps("e\u0301\U0001f469\u200d\U0001f680"),
    json.dumps("x" * 20_000),
    '""',
    '" "',
    "null",
    "true",
    "{}",
    "[]",
    "[[[[]]]]",
    r'{"a\u0000b": 1}',
    r'{"\ud800": 1}',
    '{"": 1}',
    '{"$where": "1"}',
    '{"a.b": 1}',
    '{"$ref": "#"}',
    "-1",
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1" + "0" * 400,
    "1e400",
    "1e308",
    "5e-324",
    "0.1",
    "12345678901234567.89",
    "-0.0",
    '["a", 1, null]',
    '["x", "x", "x"]',
    *(json.dumps(one.replace("%2B", "+")) for one in INSTANTS),
]
HEADERS = [
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Accept-Language",
    "X-Request-Id",
    "Accept",
    "Range",
    "If-Modified-Since",
    "Cookie",
    "User-Agent",
]
IN_HEADERS = [
    "",
    " ",
    '"99999999999999999999"',
    'W/"0"',
    "\x7f",
    "é" * 40,
    "x" * 6_000,
    "de;q=1e400",
    "bytes=0-99999999999999999999",
    ",;=,",
]


def sample(values: list[str], *of: str) -> list[str]:
    """The values that a parameter gets: a few of them from a place that its name decides, or all of them."""
    if LONG:
        return values
    begin = zlib.crc32("/".join(of).encode())
    step = len(values) // SAMPLE or 1
    return [values[(begin + number * step) % len(values)] for number in range(min(SAMPLE, len(values)))]


class Asked(ImmutableMultiDict[str, str]):
    """Values of a request, which remembers the names that it was asked for."""

    names: set[str] = set()

    def get(self, key: Any, *args: Any, **more: Any) -> Any:
        self.names.add(str(key))
        return super().get(key, *args, **more)

    def getlist(self, key: Any, *args: Any, **more: Any) -> Any:
        self.names.add(str(key))
        return super().getlist(key, *args, **more)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)

    def __getitem__(self, key: Any) -> Any:
        self.names.add(str(key))
        return super().__getitem__(key)


class AskedRequest(Request):
    parameter_storage_class = Asked


@pytest.fixture
def odd_app(services: Services) -> Iterator[Flask]:
    """The application without the check of tokens in forms, whose requests remember what they are asked for."""
    app = app_of(services, csrf=False)
    before, app.request_class = app.request_class, AskedRequest
    yield app
    app.request_class = before


@pytest.fixture
def rest(odd_app: Flask, services: Services, cast: dict[str, Actor]) -> Api:
    return Api(odd_app, services.tokens.create(SYSTEM, email=cast["super_admin"].email, name="odd"))


@pytest.fixture
def browser(odd_app: Flask, services: Services, cast: dict[str, Actor]) -> FlaskClient:
    client, user = odd_app.test_client(), services.accounts.get(SYSTEM, cast["super_admin"].id)
    with client.session_transaction() as session:
        session["s"] = services.signin.admit(user, Visitor("192.0.2.1"), "test").secret
    return client


def checked(answer: Any, told: str) -> Any:
    """The answer, read to its end. An answer that raises on the way breaks off for whoever asked.

    A stream of events has no end while its execution has none: it is read until its first event.
    """
    with answer:
        if answer.mimetype == "text/event-stream":
            data = next(part for part in answer.iter_encoded() if b"event: " in part)
        else:
            data = answer.get_data()
    assert answer.status_code < 500, f"{told}: {answer.status_code} {data[:2000]!r}"
    return answer


# What everybody looks at: whatever was stored by an odd request is read by them.
LISTS = [
    "/",
    "/jobs",
    "/executions",
    "/calendar",
    "/calendars",
    "/connections",
    "/approvals",
    "/audit",
    "/users",
    "/templates",
    "/system",
    "/palette?q=n",
]
REST_LISTS = [
    f"{A}/scheduler-jobs",
    f"{A}/scheduler-jobs/export",
    f"{A}/job-executions",
    f"{A}/connections",
    f"{A}/calendars",
    f"{A}/users",
    f"{A}/tokens",
    f"{A}/approvals",
    f"{A}/audit-events",
    f"{A}/audit-events/export",
    f"{A}/job-templates",
    f"{A}/maintenance",
]


def look_everywhere(rest: Api, browser: FlaskClient) -> None:
    for path in LISTS:
        assert checked(browser.get(path), path).status_code == 200, path
    for path in REST_LISTS:
        assert checked(rest("GET", path), path).status_code == 200, path


# -- REST ---------------------------------------------------------------------------------------------------------------


def described(app: Flask) -> dict[str, Any]:
    document: dict[str, Any] = app.test_client().get("/api/openapi.json").get_json()
    return document


def operation(document: Mapping[str, Any], method: str, rule: str) -> Mapping[str, Any]:
    """What the document says of an operation; its own path names parameters in braces, without their types."""
    found: Mapping[str, Any] = document["paths"].get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule), {}).get(method.lower(), {})
    return found


def resolved(document: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    while isinstance(schema, Mapping) and "$ref" in schema:
        at: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        schema = at
    return schema if isinstance(schema, Mapping) else {}


def places(document: Mapping[str, Any], schema: Any, deepest: int = 3) -> Iterator[tuple[str, ...]]:
    """The members that a body may have, inner ones as well."""
    found = resolved(document, schema)
    for inner in (*found.get("allOf", ()), *found.get("anyOf", ()), *found.get("oneOf", ())):
        yield from places(document, inner, deepest)
    for name, inner in found.get("properties", {}).items():
        yield (name,)
        if deepest > 1:
            yield from ((name, *more) for more in places(document, inner, deepest - 1))


def leaves(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *more) for more in leaves(inner))


MARK = "\ue000 the odd value \ue000"


def with_odd(body: Any, path: tuple[str, ...], odd: str) -> str:
    """The body as JSON, with the odd JSON text in place of one member."""
    copy = json.loads(json.dumps(body)) if isinstance(body, dict) else {}
    at = copy
    for name in path[:-1]:
        at[name] = at[name] if isinstance(at.get(name), dict) else {}
        at = at[name]
    at[path[-1]] = MARK
    return json.dumps(copy).replace(json.dumps(MARK), odd)


RULES = sorted({**REST, **BOTH, OWN_REQUEST: None})
STREAMED = {("POST", f"{A}/scheduler-jobs/plan"), ("POST", f"{A}/scheduler-jobs/apply")}
JOB_FILE = {"jobwright": 1, "jobs": [{"name": "filed", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 * * * *"}}]}
MORE: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{A}/scheduler-jobs"): {
        "description": "d",
        "schedule": {"type": "cron", "expression": "0 * * * *", "timezone": "UTC"},
        "parameters": {"seconds": 1},
        "template_type": "test_scheduler",
    },
    ("POST", f"{JOB}/run"): {"parameters": {}},
    ("POST", f"{RUN}/retry"): {"parameters": {}},
}


@pytest.mark.parametrize(("method", "rule"), RULES, ids=str)
def test_an_operation(method: str, rule: str, rest: Api, browser: FlaskClient, targets: dict[str, str], odd_app: Flask) -> None:
    document, path = described(odd_app), address(rule, targets)
    said = operation(document, method, rule)
    body: Any = {**(BODIES.get((method, rule)) or {}), **MORE.get((method, rule), {})} if method != "GET" else None
    for parameter in [one for one in said.get("parameters", ()) if one["in"] == "query"]:
        for odd in sample(IN_ADDRESSES, method, rule, parameter["name"]):
            checked(rest(method, f"{path}?{parameter['name']}={odd}", body), f"{method} {path}?{parameter['name']}={odd[:60]}")
    for header in HEADERS:
        for odd in sample(IN_HEADERS, method, rule, header)[: 10 if LONG else 2]:
            checked(rest(method, path, body, **{header.replace("-", "_"): odd}), f"{method} {path} {header}: {odd[:60]!r}")
    contents = said.get("requestBody", {}).get("content", {})
    schema = next(iter(contents.values()), {}).get("schema", {}) if contents else {}
    members = dict.fromkeys([*places(document, schema), *leaves(body)])
    for member in members:
        for odd in sample(IN_JSON, method, rule, *member):
            raw(rest, method, path, with_odd(body, member, odd), "/".join(member))
    if contents or body:
        for odd in sample(IN_JSON, method, rule, "the whole"):
            raw(rest, method, path, odd, "the whole body")
    if method != "GET":
        look_everywhere(rest, browser)


def raw(rest: Api, method: str, path: str, text: str, told: str) -> None:
    answer = rest._client.open(path, method=method, data=text.encode(), headers={**rest._headers, "Content-Type": "application/json"})
    checked(answer, f"{method} {path} with {told}: {text[:300]}")


@pytest.mark.parametrize("member", sorted(COMMAND))
def test_a_schedule_among_many(member: str, rest: Api, browser: FlaskClient) -> None:
    rule = f"{SCHEDULES}/bulk/create"
    for odd in sample(IN_JSON, "POST", rule, member):
        raw(rest, "POST", rule, f"[{with_odd(COMMAND, (member,), odd)}]", member)
    look_everywhere(rest, browser)


@pytest.mark.parametrize(("method", "rule"), [one for one in sorted({*RULES, *WEB}) if "<" in one[1]], ids=str)
def test_what_an_address_names(method: str, rule: str, rest: Api, browser: FlaskClient, targets: dict[str, str]) -> None:
    """Names and numbers inside an address: each in turn is odd."""
    names = [name for name in ("int:number", "int:version", "move_id", "preset_id", "note_id", *targets) if f"<{name}>" in rule]
    body = BODIES.get((method, rule))
    for name in names:
        for odd in sample(IN_ADDRESSES, method, rule, name):
            path = address(rule.replace(f"<{name}>", "ODD", 1), targets).replace("ODD", odd or "%20")
            told = f"{method} {path[:200]}"
            if rule.startswith("/api/"):
                checked(rest(method, path, body), told)
            else:
                checked(browser.open(path, method=method, data={} if method == "POST" else None), told)


@pytest.mark.parametrize(("method", "rule"), sorted(STREAMED), ids=str)
def test_a_file_of_jobs(method: str, rule: str, rest: Api, browser: FlaskClient) -> None:
    for member in (
        "name",
        "template_type",
        "schedule",
        "parameters",
        "tags",
        "group",
        "description",
        "depends_on",
        "retry_policy",
        "enabled",
        "odd",
    ):
        for odd in sample(IN_JSON, rule, member):
            raw(rest, method, rule, with_odd(JOB_FILE["jobs"][0], (member,), odd).join(['{"jobwright": 1, "jobs": [', "]}"]), member)
    for member in ("jobwright", "jobs", "odd"):
        for odd in sample(IN_JSON, rule, "", member):
            raw(rest, method, rule, with_odd(JOB_FILE, (member,), odd), member)
    look_everywhere(rest, browser)


# -- pages --------------------------------------------------------------------------------------------------------------

PAGES = sorted(one for one in WEB if "/static/" not in one[1])
# A page that shows something only where its address says what.
NEEDS = {"/jobs/new": "template=test_scheduler", "/jobs/new/draft": "template=test_scheduler", "/connections/new": "kind=mongodb"}


@pytest.mark.parametrize("rule", [rule for method, rule in PAGES if method == "GET"], ids=str)
def test_a_page(rule: str, browser: FlaskClient, targets: dict[str, str]) -> None:
    path, needs = address(rule, targets), NEEDS.get(rule, "")
    Asked.names.clear()
    checked(browser.get(f"{path}?{needs}"), path)
    tried: set[str] = set()
    while names := Asked.names - tried:
        for name in sorted(names):
            tried.add(name)
            for odd in sample(IN_ADDRESSES, rule, name):
                query = "&".join([*(one for one in [needs] if one and not one.startswith(f"{name}=")), f"{quote(name)}={odd}"])
                checked(browser.get(f"{path}?{query}"), f"{path}?{query[:200]}")
    for header in HEADERS:
        for odd in sample(IN_HEADERS, rule, header)[: 10 if LONG else 1]:
            if header != "Cookie":
                checked(browser.get(f"{path}?{needs}", headers={header: odd}), f"{path} {header}: {odd[:60]!r}")
    browser.set_cookie("jobwright_zone", "\x00../../etc")
    checked(browser.get(f"{path}?{needs}"), f"{path} with an odd zone")


# In a form as it comes off the wire. What is no UTF-8 is sent by its bytes.
IN_FORMS = [*IN_ADDRESSES, quote("{}"), quote("[]"), quote("null"), quote('{"a\\u0000": 1}'), quote("9" * 30), quote("1" + "0" * 400)]


@pytest.mark.parametrize("rule", [rule for method, rule in PAGES if method == "POST" and rule != "/sign-out"], ids=str)
def test_a_form(rule: str, rest: Api, browser: FlaskClient, targets: dict[str, str]) -> None:
    path, needs = address(rule, targets), NEEDS.get(rule, "")
    at = f"{path}?{needs}"
    page = browser.get(at)
    html = page.get_data(as_text=True) if page.status_code == 200 else ""
    drawn = [(quote(name), quote(value)) for name, value in Page(html[html.index("<main") :]).pairs()] if "<main" in html else []
    Asked.names.clear()
    send(browser, at, drawn)
    names = [*dict.fromkeys(name for name, _ in drawn), *sorted(quote(name) for name in Asked.names)]
    for name in dict.fromkeys(names):
        for odd in sample(IN_FORMS, rule, name):
            rest_of_it = [(other, value) for other, value in drawn if other != name]
            send(browser, at, [*rest_of_it, (name, odd)])
    for odd in IN_FORMS:
        send(browser, at, [(name, odd) for name in dict.fromkeys(names)])
    if "/end" not in rule:
        look_everywhere(rest, browser)


def send(browser: FlaskClient, path: str, pairs: list[tuple[str, str]]) -> None:
    text = "&".join(f"{name}={value}" for name, value in pairs)
    answer = browser.post(path, data=text, headers={"Content-Type": "application/x-www-form-urlencoded"})
    checked(answer, f"POST {path} with {text[-300:]}")

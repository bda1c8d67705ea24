"""What the store cannot hold exactly is refused at its pointer by every face, and nothing typed is lost."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.errors import ValidationFailed
from app.jobs.filters import JobFilter
from app.services import Services
from tests.conftest import Api, app_of
from tests.posting import Page, post, text

JOBS, TEMPLATES = "/api/admin/scheduler-jobs", "/api/admin/job-templates"
URL = "https://example.com/x"
# The body's JSON, and where in it the error stands.
BAD = [
    ('{"n": 9223372036854775808}', "/n"),
    ('{"n": -9223372036854775809}', "/n"),
    ('{"a": [1, {"b~/": 1e400}]}', "/a/1/b~0~1"),
    ('{"n": 12345678901234567.89}', "/n"),
    ('{"n": 0.1000000000000000055511151231257827}', "/n"),
    ('{"n": 1e-999}', "/n"),
    ('{"a\\u0000b": 1}', "/a\0b"),
    ('{"a": {"b": {"\\u0000": 1}}}', "/a/b/\0"),
]
GOOD = '{"since": 1700000000000, "most": 9223372036854775807, "least": -9223372036854775808, "d": 9007199254740993, "rate": 0.1, "e": 1e300, "z": -0.5, "": "a\\u0000b", "$set": {"a.b": 1}}'


def send(api: Api, method: str, path: str, body: str) -> Any:
    return api._client.open(path, method=method, data=body, content_type="application/json", headers=api._headers)


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.get_data(as_text=True)
    return [one["pointer"] for one in answer.get_json()["errors"]]


@pytest.fixture
def job_id(services: Services, super_admin: Actor) -> str:
    return services.jobs.create(super_admin, {"name": "hook", "template_type": "webhook_trigger", "parameters": {"url": URL, "body": {}}})[
        0
    ].id


@pytest.mark.parametrize(("bad", "at"), BAD)
def test_each_operation_of_rest_names_the_place(api: Api, services: Services, super_admin: Actor, job_id: str, bad: str, at: str) -> None:
    parameters = f'{{"url": "{URL}", "body": {bad}}}'
    new = f'{{"name": "other", "template_type": "webhook_trigger", "parameters": {parameters}}}'
    for path in (JOBS, f"{JOBS}/validate"):
        assert pointers(send(api, "POST", path, new)) == [f"/parameters/body{at}"]
    change = f'{{"parameters": {parameters}}}'
    assert pointers(send(api, "PUT", f"{JOBS}/{job_id}", change)) == [f"/parameters/body{at}"]
    assert pointers(send(api, "POST", f"{JOBS}/{job_id}/run", f'{{"parameters": {{"body": {bad}}}}}')) == [f"/parameters/body{at}"]
    assert pointers(send(api, "PUT", f"{TEMPLATES}/webhook_trigger/presets/mine", change)) == [f"/parameters/body{at}"]
    definition = f'{{"name": "D", "description": "d", "category": "c", "parameters": {{"body": {{"default": {bad}}}}}}}'
    derive = f'{{"type": "derived_hook", "base": "webhook_trigger", "definition": {definition}}}'
    assert pointers(send(api, "POST", TEMPLATES, derive)) == [f"/definition/parameters/body/default{at}"]
    services.templates.derive(super_admin, {"type": "derived_hook", "base": "webhook_trigger"})
    assert pointers(send(api, "PUT", f"{TEMPLATES}/derived_hook/draft", definition)) == [f"/parameters/body/default{at}"]
    bulk = f'{{"action": "enable", "job_ids": ["x"], "filter": {bad}}}'
    assert any(one.endswith(at) for one in pointers(send(api, "POST", f"{JOBS}/bulk", bulk)))
    assert services.jobs.get(super_admin, job_id).version == 1
    assert services.directory.page(super_admin, JobFilter()).total == 1


@pytest.mark.parametrize(("bad", "at"), [one for one in BAD if "e400" not in one[0]])
@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_a_file_is_refused_at_the_place(services: Services, super_admin: Actor, kind: str, bad: str, at: str) -> None:
    job = f'{{"name": "x", "template_type": "webhook_trigger", "parameters": {{"url": "{URL}", "body": {bad}}}}}'
    file = f'{{"jobwright": 1, "jobs": [{job}]}}' if kind == "json" else f"jobwright: 1\njobs:\n- {job}\n"
    assert [error.pointer for error in services.exchange.plan(super_admin, file).steps[0].errors] == [f"/parameters/body{at}"]
    with pytest.raises(ValidationFailed) as failed:
        services.exchange.apply(super_admin, file)
    assert [error.pointer for error in failed.value.errors] == [f"/jobs/0/parameters/body{at}"]


@pytest.mark.parametrize(
    "bad",
    ["[" * 64 + "]" * 64, "[" * 70 + "]" * 70, "[" + "[]," * 400_000 + "[]]", '"' + "x" * 1_990_000 + '"', "[" + "1," * 600_000 + "1]"],
)
def test_what_is_too_deep_or_too_large_is_refused_or_kept(api: Api, bad: str) -> None:
    answer = send(
        api, "POST", JOBS, f'{{"name": "x", "template_type": "webhook_trigger", "parameters": {{"url": "{URL}", "body": {{"v": {bad}}}}}}}'
    )
    assert answer.status_code in {201, 400, 413, 422}, answer.get_data(as_text=True)


def test_what_can_be_kept_comes_back_as_it_was_sent(api: Api, services: Services, super_admin: Actor) -> None:
    made = send(api, "POST", JOBS, f'{{"name": "x", "template_type": "webhook_trigger", "parameters": {{"url": "{URL}", "body": {GOOD}}}}}')
    assert made.status_code == 201, made.get_data(as_text=True)
    job_id = made.get_json()["job"]["_id"]
    assert json.loads(text(api("GET", f"{JOBS}/{job_id}")))["job"]["parameters"]["body"] == json.loads(GOOD)
    for kind in ("yaml", "json"):
        exported = services.exchange.export(super_admin, kind)
        assert [step.action.value for step in services.exchange.plan(super_admin, exported).steps] == ["unchanged"]
    for answer in (
        api("PUT", f"{JOBS}/{job_id}", {"parameters": {"url": URL, "body": {**json.loads(GOOD), "more": 2**62}}}),
        api("POST", f"{JOBS}/{job_id}/clone", {"name": "y"}),
        api("POST", f"{JOBS}/{job_id}/run", {"parameters": {"body": json.loads(GOOD)}}),
        api("PUT", f"{TEMPLATES}/webhook_trigger/presets/mine", {"parameters": {"body": json.loads(GOOD)}}),
        api("GET", f"{JOBS}/{job_id}/revisions"),
    ):
        assert answer.status_code < 300, answer.get_data(as_text=True)


@pytest.fixture
def pages(services: Services, super_admin: Actor) -> FlaskClient:
    app: Flask = app_of(services, csrf=False)
    client = app.test_client()
    client.post("/sign-in", data={"email": super_admin.email, "password": "correct horse battery"})
    return client


@pytest.mark.parametrize(("bad", "at"), BAD)
def test_a_form_says_it_at_the_field_and_keeps_what_was_typed(
    pages: FlaskClient, services: Services, super_admin: Actor, job_id: str, bad: str, at: str
) -> None:
    typed = {"/url": URL + "/typed", "/body": bad}
    for path in ("/jobs/new?template=webhook_trigger", f"/jobs/{job_id}/run-with", f"/jobs/{job_id}/edit"):
        begun = {**typed, "/name": "typed name", "/description": "typed text"} if "run-with" not in path else typed
        answer = post(pages, path, begun)
        assert answer.status_code in {200, 422}, path
        page = Page(text(answer)[text(answer).index("<main") :])
        assert page.editor("/body").value.strip() == bad
        assert page.editor("/url").value == URL + "/typed"
        if "run-with" not in path:
            assert page.editor("/name").value == "typed name"
        assert 'aria-invalid="true"' in text(answer)
    assert services.directory.page(super_admin, JobFilter()).total == 1


def test_a_form_keeps_large_numbers_exactly(pages: FlaskClient, services: Services, super_admin: Actor) -> None:
    answer = post(pages, "/jobs/new?template=webhook_trigger", {"/name": "kept", "/url": URL, "/body": GOOD})
    assert answer.status_code == 302, html.unescape(text(answer))[:3000]
    job = services.directory.page(super_admin, JobFilter()).items[0]
    assert job.definition.parameters["body"] == json.loads(GOOD)
    page = text(pages.get(f"/jobs/{job.id}/edit"))
    assert json.loads(Page(page[page.index("<main") :]).editor("/body").value) == json.loads(GOOD)


NUMBERS = ["1e999", "-1e999", "12345678901234567.89", "9223372036854775808", "1" + "0" * 5000, "1e-999", "1e308"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_a_number_of_the_job_itself_is_refused_at_its_field(api: Api, job_id: str, number: str) -> None:
    fields = [
        "priority",
        "timeout_seconds",
        "pause_after_failures",
        "schedule/interval_seconds",
        "schedule/jitter_seconds",
        "misfire/grace_seconds",
        "retry_policy/max_retries",
        "retry_policy/retry_delay_seconds",
        "concurrency/max_instances",
        "name",
        "tags/0",
        "enabled",
        "schedule/start_at",
    ]
    for field in fields:
        outer, _, inner = field.partition("/")
        value = (
            f'{{"type": "interval", "{inner}": {number}}}'
            if outer == "schedule"
            else f"[{number}]"
            if inner == "0"
            else f'{{"{inner}": {number}}}'
            if inner
            else number
        )
        named = "" if outer == "name" else '"name": "x", '
        for method, path in (("POST", JOBS), ("PUT", f"{JOBS}/{job_id}")):
            answer = send(api, method, path, f'{{{named}"template_type": "noop", "{outer}": {value}}}')
            assert answer.status_code == 422, (field, answer.get_data(as_text=True))
            assert any(one["pointer"] in {f"/{field}", "/schedule/interval_seconds"} for one in answer.get_json()["errors"]), field


@pytest.mark.parametrize("number", NUMBERS[:-1], ids=lambda number: number[:12])
def test_a_number_in_any_other_body_is_no_fault_of_the_service(api: Api, job_id: str, number: str) -> None:
    operations = [
        ("POST", "/api/admin/calendars", '{"name": N, "blackouts": N, "x": N}'),
        ("POST", "/api/admin/connections", '{"name": "c", "kind": "smtp", "description": "", "settings": {"host": "x", "port": N}}'),
        ("POST", "/api/admin/maintenance", '{"reason": "x", "until": N, "n": N}'),
        ("POST", f"{JOBS}/{job_id}/pause", '{"reason": N}'),
        ("POST", f"{JOBS}/{job_id}/notes", '{"text": N}'),
        ("POST", f"{JOBS}/{job_id}/backfill", '{"from": N, "to": N, "most": N}'),
        ("POST", "/api/admin/users", '{"email": N, "n": N}'),
        ("POST", f"{JOBS}/{job_id}/clone", '{"name": N}'),
        ("PUT", f"{TEMPLATES}/noop/standing", '{"enabled": N, "note": N}'),
        ("POST", f"{TEMPLATES}/noop/moves", '{"to": N, "parameters": {"x": {"n": N}}}'),
        ("POST", f"{TEMPLATES}/import", '{"a": N}'),
        ("POST", f"{JOBS}/bulk", '{"action": "tag", "tag": N, "job_ids": [N]}'),
    ]
    for method, path, body in operations:
        answer = send(api, method, path, body.replace("N", number) if '"N' not in body else body)
        assert answer.status_code in {400, 404, 405, 422}, (path, answer.status_code, answer.get_data(as_text=True)[:300])

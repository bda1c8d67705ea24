"""The preview gallery, and what forms learn from connections, on the running application and a real MongoDB."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pymongo import MongoClient

from app.audit.model import Actor
from app.connections.service import EXPLORED_SECONDS
from app.jobs.filters import JobFilter
from app.services import Services
from tests.conftest import csrf
from tests.posting import Page
from tests.support import PASSWORD

PATH = "/templates/preview"


def text(answer: Any) -> str:
    return str(answer.get_data(as_text=True))


def posted(page: Page, **buttons: str) -> list[tuple[str, str]]:
    return [*page.pairs(), *buttons.items()]


def send(client: FlaskClient, pairs: list[tuple[str, str]], path: str = PATH) -> Any:
    data: dict[str, list[str]] = {}
    for name, value in pairs:
        data.setdefault(name, []).append(value)
    return client.post(path, data=data)


def main_of(html: str) -> Page:
    return Page(html[html.index("<main") :])


def draw(client: FlaskClient, schema: str, **fields: str) -> Page:
    page = main_of(text(client.get(PATH)))
    for name, value in {"schema": schema, **fields}.items():
        next(one for one in page.controls if one.get("name") == name).value = value
    answer = send(client, posted(page, draw="1"))
    assert answer.status_code == 200
    return main_of(text(answer))


def test_each_sample_is_drawn_and_read(browser_client: FlaskClient) -> None:
    first = main_of(text(browser_client.get(PATH)))
    samples = next(one for one in first.controls if one.get("name") == "sample").options
    assert {"1-everything", "2-unions", "3-cascade", "database_cleanup", "data_export"} <= {value for value, _, _ in samples}
    for key, _, _ in samples:
        page = main_of(text(browser_client.get(f"{PATH}?sample={key}")))
        read = main_of(text(send(browser_client, posted(page, read="1"))))
        assert "is required" in read.text or "Valid" in read.text
        assert read.tree.css_first("[aria-label='The value as JSON']") is not None


def test_a_schema_is_drawn_filled_read_and_its_errors_listed(browser_client: FlaskClient) -> None:
    page = draw(browser_client, json.dumps({"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}}), locale="de")
    page.editor("/n").value = "1"
    answer = main_of(text(send(browser_client, posted(page, read="1"))))
    assert "muss mindestens 5 sein" in answer.text
    assert json.loads(answer.tree.css_first("[aria-label='The value as JSON']").text()) == {"n": 1}
    assert "f.mn = 1" in answer.text
    answer.editor("/n").value = "7"
    assert "Valid" in main_of(text(send(browser_client, posted(answer, read="1")))).text


def test_a_value_to_begin_with_and_json_both_ways(browser_client: FlaskClient) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}})
    page = draw(browser_client, schema, value='{"a": ["x"], "b": null}')
    assert page.editor("/a/0").value == "x"
    as_json = main_of(text(send(browser_client, [*page.pairs(), ("f.action", "json f")])))
    assert json.loads(as_json.editor("").value) == {"a": ["x"], "b": None}
    assert "is not valid JSON" in draw(browser_client, schema, value="{").text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "is not valid JSON: Expecting property name"),
        ("", "is not valid JSON"),
        ('{"a": 1, "a": 2}', "a name occurs twice"),
        ("[" * 5000, "nested too deep"),
        ('{"$ref": "http://127.0.0.1/x"}', "other documents are never opened"),
        ('{"$schema": "http://json-schema.org/draft-03/schema#"}', "other dialects"),
        ('{"pattern": "^(a|a)*$"}', "can take seconds"),
        ('"' + "x" * 1_100_000 + '"', "longer than"),
        ("5", "is not a schema"),
    ],
)
def test_what_is_no_schema_is_explained_and_kept(browser_client: FlaskClient, schema: str, words: str) -> None:
    page = draw(browser_client, schema)
    assert words in page.text
    box = next(one for one in page.controls if one.get("name") == "schema")
    assert box.value == schema
    assert box["aria-invalid"] == "true"


def test_only_super_admins_see_it(app: Flask, admin: Actor) -> None:
    client = app.test_client()
    page = text(client.get("/sign-in"))
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": admin.email, "password": PASSWORD})
    assert client.get(PATH).status_code == 403
    assert client.get("/templates").status_code == 200
    assert app.test_client().get(PATH).status_code == 302


# -- what forms learn from connections --------------------------------------------------------------------------------


def test_collections_and_fields_are_suggested_and_follow_each_other(
    browser_client: FlaskClient, services: Services, super_admin: Actor, mongod: str, database_name: str, clock: Any
) -> None:
    shop = f"{database_name}_shop"
    with MongoClient(mongod) as client:
        client[shop]["users"].insert_one({"name": "a", "address": {"city": "x"}})
        client[shop]["orders"].insert_one({"total": 1})
        services.connections.create(super_admin, name="Shop", kind="mongodb", settings={"uri": mongod, "database": shop})
        page = main_of(text(browser_client.get(f"{PATH}?sample=3-cascade")))
        page.editor("/connection").choose("Shop")
        page = main_of(text(send(browser_client, [*page.pairs(), ("f.action", "update f.mconnection")])))
        offered = lambda page: [
            node.attributes["value"] for node in page.tree.css("datalist option") if "/" not in (node.attributes["value"] or "")
        ]
        assert {"orders", "users"} <= set(offered(page))
        page.editor("/collection").value = "users"
        page = main_of(text(send(browser_client, [*page.pairs(), ("f.action", "add f.mfields")])))
        assert {"_id", "name", "address", "address.city"} <= set(offered(page))
        explore = lambda what="collections", name="Shop", **more: services.connections.explore(super_admin, what, name, **more)
        client[shop]["later"].insert_one({})
        assert "later" not in explore(), "kept for a while"
        clock.advance(seconds=EXPLORED_SECONDS + 1)
        assert "later" in explore()
        assert explore("fields", collection="") == []
        assert explore(name="gone") == []
        client.drop_database(shop)
    services.connections.create(super_admin, name="Away", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/", "database": "x"})
    assert explore(name="Away") == [], "a form does not wait for what does not answer"
    services.jobs.create(super_admin, {"name": "First", "template_type": "noop", "parameters": {}})
    assert "First" in [words for _, words, _ in main_of(text(browser_client.get(f"{PATH}?sample=3-cascade"))).editor("/after").options]


def test_a_page_tells_what_is_wrong_so_far_without_saving(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "Night", "template_type": "noop", "parameters": {"seconds": 1}})[0]
    for path, pointer, prefix in (
        ("/jobs/new?template=noop", "/seconds", "p"),
        (f"/jobs/{job.id}/run-with", "/seconds", "f"),
        ("/connections/new?kind=smtp", "/port", "f"),
    ):
        page = main_of(text(browser_client.get(path)))
        page.editor(pointer).value = "1,5"
        answer = send(browser_client, [*page.pairs(), (f"{prefix}.action", "check")], path)
        assert answer.status_code == 200
        assert "must use a point as the decimal separator: 1.5" in main_of(text(answer)).text
    assert [one.definition.name for one in services.directory.page(super_admin, JobFilter()).items] == ["Night"]


def test_a_job_is_cloned_without_its_name_and_its_secrets(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    body = {
        "name": "Hook",
        "template_type": "webhook_trigger",
        "tags": ["a"],
        "schedule": {"type": "interval", "interval_seconds": 7200},
        "parameters": {"url": "https://example.com/", "secret": "canary-secret-1", "method": "PUT"},
        "priority": 7,
    }
    job = services.jobs.create(super_admin, body)[0]
    path = f"/jobs/new?template=webhook_trigger&like={job.id}"
    html = text(browser_client.get(path))
    assert "canary" not in html
    page = main_of(html)
    assert page.editor("/name").value == "Copy of Hook"
    answer = send(browser_client, [pair for pair in page.pairs() if pair[0] != "s.type"] + [("s.type", "interval")], path)
    assert answer.status_code == 302
    copy = services.jobs.get(super_admin, answer.headers["Location"].rpartition("/")[2])
    assert (copy.definition.name, copy.definition.tags, copy.definition.priority) == ("Copy of Hook", job.definition.tags, 7)
    assert copy.definition.schedule.trigger.interval_seconds == 7200
    assert services.parameters.shown(copy)["method"] == "PUT"
    assert "secret" not in copy.definition.parameters


def test_an_execution_is_run_again_with_other_values_and_its_secrets(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    body = {
        "name": "Hook",
        "template_type": "webhook_trigger",
        "overlap": "allow",
        "parameters": {"url": "https://example.com/", "secret": "canary-secret-1", "timeout": 5},
    }
    job = services.jobs.create(super_admin, body)[0]
    first = services.runs.run_now(super_admin, job.id)
    services.runs.cancel(super_admin, first.id)
    path = f"/executions/{first.id}/retry-with"
    page = main_of(text(browser_client.get(path)))
    page.editor("/url").value = "not an address"
    assert "must be a URL" in text(send(browser_client, page.pairs(), path))
    page.editor("/url").value = "https://example.com/other"
    assert send(browser_client, page.pairs(), path).status_code == 422, "a kept secret does not go to another address"
    page.editor("/url").value = "https://example.com/"
    page.editor("/timeout").value = ""
    answer = send(browser_client, page.pairs(), path)
    assert answer.status_code == 302
    again = services.history.get(super_admin, answer.headers["Location"].rpartition("/")[2])
    assert again.retry_of == first.id
    assert again.parameters["url"] == "https://example.com/"
    assert "timeout" not in again.parameters, "what was cleared is gone, not the job's"
    assert again.parameters["secret"] == {"$secret": "set"}
    pressed = send(browser_client, [*page.pairs(), ("f.action", "json f")], path)
    assert "Edit as a form" in text(pressed)


def test_a_schema_of_an_older_draft_is_converted_with_a_note_of_each_change(browser_client: FlaskClient) -> None:
    older = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "definitions": {"n": {"type": "integer", "minimum": 3, "exclusiveMinimum": True}},
        "properties": {"n": {"$ref": "#/definitions/n"}},
        "required": ["n"],
    }
    page = draw(browser_client, json.dumps(older))
    assert "Converted from draft-04 to 2020-12: 3 changes" in page.text
    assert "/definitions/n/exclusiveMinimum" in page.text
    assert "exclusiveMinimum is now the number that minimum was" in page.text
    assert '"exclusiveMinimum": 3' in page.text, "the converted schema is there to copy"
    page.editor("/n").value = "3"
    read = main_of(text(send(browser_client, posted(page, read="1"))))
    assert "must be greater than 3" in read.text
    assert "Converted from" not in draw(browser_client, json.dumps({"type": "object"})).text

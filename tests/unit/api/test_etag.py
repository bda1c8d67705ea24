"""Versions as ETags, and keys of repeated requests: the decorators read, answer and document the headers."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.api.etag import Versioned
from tests.unit.api.resource import OpenBlueprint, operation, serve


@pytest.fixture(scope="module")
def app() -> Flask:
    things = OpenBlueprint()

    @things.get("/one")
    @things.etag()
    def read() -> Versioned:
        """Reads it"""
        return Versioned(body={"size": 1}, version=3)

    @things.post("")
    @things.idempotent
    @things.etag()
    def create(idempotency_key: str | None) -> Versioned:
        """Creates it"""
        return Versioned(body={"key": idempotency_key}, version=1, status=201, location="/things/one")

    @things.put("/one")
    @things.response(200)
    @things.etag(if_match=True)
    def change(version: int | None) -> Versioned:
        """Changes it"""
        return Versioned(body={"version": version}, version=4)

    @things.delete("/one")
    @things.response(200)
    @things.etag(if_match=True)
    def delete(version: int | None) -> dict[str, Any]:
        """Deletes it"""
        return {"version": version}

    return serve(things)


def test_an_answer_has_the_version_as_its_etag(app: Flask) -> None:
    answer = app.test_client().get("/things/one")
    assert (answer.status_code, answer.headers["ETag"], answer.json) == (200, '"3"', {"size": 1})
    created = app.test_client().post("/things")
    assert (created.status_code, created.headers["ETag"], created.headers["Location"]) == (201, '"1"', "/things/one")
    changed = app.test_client().put("/things/one")
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"4"')
    assert "ETag" not in app.test_client().delete("/things/one").headers


@pytest.mark.parametrize(
    ("header", "status"), [('"3"', 304), ('W/"3"', 304), ('"2", "3"', 304), ("*", 304), ('"2"', 200), ("3 4", 200), ("", 200)]
)
def test_a_read_is_answered_with_304_where_the_client_has_that_version(app: Flask, header: str, status: int) -> None:
    answer = app.test_client().get("/things/one", headers={"If-None-Match": header})
    assert (answer.status_code, answer.headers["ETag"]) == (status, '"3"')
    assert answer.data == b"" or status == 200


@pytest.mark.parametrize(("header", "version"), [('"3"', 3), ('W/"12"', 12), ("*", None), ("", None), (' "7" ', 7)])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_view_gets_the_version_that_the_change_is_for(app: Flask, method: str, header: str, version: int | None) -> None:
    assert app.test_client().open("/things/one", method=method, headers={"If-Match": header}).json == {"version": version}


@pytest.mark.parametrize("header", ["3", '"abc"', '"3", "4"', '"1234567890123456789"', '"-1"', "W/3"])
def test_an_etag_of_another_form_is_refused(app: Flask, header: str) -> None:
    answer = app.test_client().put("/things/one", headers={"If-Match": header})
    assert answer.json is not None
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "")
    assert answer.json["errors"][0]["detail"].startswith("If-Match must be an ETag")


def test_a_view_gets_the_idempotency_key(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/things").json == {"key": None}
    assert client.post("/things", headers={"Idempotency-Key": "a-1"}).json == {"key": "a-1"}
    for header in ("", "a b", "ä", "x" * 256):
        assert client.post("/things", headers={"Idempotency-Key": header}).status_code == 422, header


def test_the_openapi_document_shows_the_headers(app: Flask) -> None:
    def headers(path: str, method: str) -> list[str]:
        return [parameter["name"] for parameter in operation(app, path, method).get("parameters", ())]

    assert headers("/things/one", "put") == headers("/things/one", "delete") == ["If-Match"]
    assert headers("/things", "post") == ["Idempotency-Key"]
    assert headers("/things/one", "get") == []

"""A request body is declared once: the decorator reads, validates and documents it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema
from marshmallow import fields as ma

from app.errors import FieldError
from tests.unit.api.resource import OpenBlueprint, operation, serve

COLOUR_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["colour"],
    "properties": {"colour": {"type": "string"}, "size": {"type": "integer", "minimum": 1}},
}


class Paint(Schema):
    colour = ma.String(required=True)


def _errors_of_name(body: Any, errors: Sequence[FieldError], name: str) -> list[FieldError]:
    """Refuses the name `taken`, and says how many errors the schema has found."""
    return [FieldError("/name", f"is taken, beside {len(errors)}")] if name == "taken" else []


@pytest.fixture(scope="module")
def app() -> Flask:
    things = OpenBlueprint()

    @things.post("/json")
    @things.body(COLOUR_SCHEMA)
    def by_json_schema(body: Any) -> Any:
        """Takes a body by a JSON Schema"""
        return body

    @things.post("/marshmallow")
    @things.body(Paint)
    def by_marshmallow(body: Any) -> Any:
        """Takes a body by a marshmallow schema"""
        return body

    @things.post("/optional")
    @things.body(COLOUR_SCHEMA, required=False, validate=False)
    def optional(body: Any) -> Any:
        """Takes any body, or none"""
        return {"body": body}

    @things.put("/<name>")
    @things.body(COLOUR_SCHEMA, further_errors=_errors_of_name)
    def named(name: str, body: Any) -> Any:
        """Takes a body and knows more of it than the schema"""
        return {"name": name, **body}

    @things.post("/file")
    @things.text_body({"application/yaml": {"schema": {"type": "string"}}}, media_types={"application/yaml", "text/yaml"})
    def file(text: str) -> Any:
        """Takes a file"""
        return {"text": text}

    return serve(things)


def _errors(answer: Any) -> dict[str, str]:
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    return {error["pointer"]: error["detail"] for error in answer.json["errors"]}


@pytest.mark.parametrize("path", ["/things/json", "/things/marshmallow"])
def test_a_valid_body_reaches_the_view_and_an_invalid_one_is_answered_with_pointers(app: Flask, path: str) -> None:
    client = app.test_client()
    assert client.post(path, json={"colour": "red"}).json == {"colour": "red"}
    assert _errors(client.post(path, json={})) == {"/colour": "is required"}
    assert set(_errors(client.post(path, json={"colour": 1}))) == {"/colour"}
    assert set(_errors(client.post(path, json=["red"]))) == {""}


def test_every_error_is_in_one_answer(app: Flask) -> None:
    errors = _errors(app.test_client().put("/things/taken", json={"size": 0}))
    assert set(errors) == {"/colour", "/size", "/name"}
    assert errors["/name"] == "is taken, beside 2"


def test_further_errors_are_looked_for_in_a_valid_body_too(app: Flask) -> None:
    client = app.test_client()
    assert _errors(client.put("/things/taken", json={"colour": "red"})) == {"/name": "is taken, beside 0"}
    assert client.put("/things/free", json={"colour": "red"}).json == {"name": "free", "colour": "red"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"colour": "red", "colour": "blue"}', "application/json", 400),
        (b'{"colour": NaN}', "application/json", 400),
        (b"[" * 65 + b"]" * 65, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"colour": "red"}', "text/plain", 415),
        (b"", "text/plain", 415),
        (b'{"colour": "red"}', "application/merge-patch+json", 200),
    ],
)
def test_only_strict_json_is_a_body(app: Flask, body: bytes, content_type: str, status: int) -> None:
    assert app.test_client().post("/things/json", data=body, content_type=content_type).status_code == status


def test_a_body_that_is_not_required_may_be_left_out(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/things/optional").json == {"body": {}}
    assert client.post("/things/optional", json=[1]).json == {"body": [1]}
    assert client.post("/things/optional", data=b"{", content_type="application/json").status_code == 400


def test_a_file_is_utf8_text_of_one_of_the_media_types(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/things/file", data="jobs: ä".encode(), content_type="text/yaml; charset=utf-8").json == {"text": "jobs: ä"}
    assert client.post("/things/file", data=b"\xe4", content_type="text/yaml").status_code == 400
    refused = client.post("/things/file", data=b"a", content_type="text/plain")
    assert refused.json is not None
    assert (refused.status_code, refused.json["detail"]) == (415, "Send the file as application/yaml")


def test_the_openapi_document_shows_the_schema_that_validates(app: Flask) -> None:
    assert operation(app, "/things/json", "post")["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": COLOUR_SCHEMA}},
    }
    assert operation(app, "/things/marshmallow", "post")["requestBody"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Paint"}}
    }
    assert operation(app, "/things/optional", "post")["requestBody"]["required"] is False
    assert set(operation(app, "/things/file", "post")["requestBody"]["content"]) == {"application/yaml"}

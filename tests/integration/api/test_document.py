"""The OpenAPI document: what generators of clients need of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.api.problem_types.catalogue import all_types

METHODS = {"get", "put", "post", "delete", "patch"}
VERBS = {
    "acknowledge",
    "add",
    "apply",
    "approve",
    "backfill",
    "begin",
    "cancel",
    "close",
    "change",
    "clone",
    "create",
    "delete",
    "derive",
    "disable",
    "drain",
    "enable",
    "end",
    "explain",
    "export",
    "get",
    "hand",
    "import",
    "install",
    "list",
    "move",
    "pause",
    "plan",
    "preview",
    "publish",
    "put",
    "receive",
    "refuse",
    "register",
    "remove",
    "replay",
    "report",
    "reset",
    "restore",
    "resume",
    "retire",
    "retry",
    "revoke",
    "roll",
    "rotate",
    "run",
    "save",
    "send",
    "set",
    "settle",
    "stream",
    "test",
    "undelete",
    "update",
    "validate",
    "withdraw",
}
# The routes of other scheduler services, which answer errors in their own format.
OTHER_SERVICES = ("/api/jobs", "/api/v1/")
# Objects whose members a template, a kind of connection or a schema decides.
FREE = {
    # A document of another standard, which has its own schema.
    ("AsyncApiOut", "channels"),
    ("AsyncApiOut", "components"),
    ("AsyncApiOut", "info"),
    ("AsyncApiOut", "operations"),
    ("AddressOut", "parameters"),
    ("AlertRuleOut", "condition"),
    ("ApprovalOut", "parameters"),
    ("ChannelOut", "settings"),
    ("ChannelTypeOut", "settings_schema"),
    ("ConnectionOut", "settings"),
    ("DraftOut", "definition"),
    ("ExecutionOut", "parameters"),
    ("JobImpactOut", "parameters"),
    ("JobOut", "parameters"),
    ("JobResultOut", "details"),
    ("JobResultOut", "metadata"),
    ("NamedExecutionOut", "metadata"),
    ("NamedJobOut", "config"),
    ("PlannedJobOut", "job"),
    ("PresetOut", "parameters"),
    ("PreviewOut", "result"),
    ("SchemaEnvelope", "schema"),
    ("TemplateEnvelope", "schema"),
    ("TemplateOut", "parameters_schema"),
    ("TemplateVersionOut", "definition"),
    ("Validated", "job"),
}


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer: dict[str, Any] = app.test_client().get("/api/openapi.json").get_json()
    return answer


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield f"{method.upper()} {path}", item[method]


def test_each_operation_has_a_name_that_is_a_verb_first(document: dict[str, Any]) -> None:
    names = {place: operation.get("operationId", "") for place, operation in operations(document)}
    assert len(names) > 80
    assert len(set(names.values())) == len(names)
    for place, name in names.items():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)+", name), (place, name)
        assert re.split(r"(?=[A-Z])", name)[0] in VERBS, (place, name)


def test_each_operation_says_what_it_does_and_answers_problems(document: dict[str, Any]) -> None:
    tags = {tag["name"]: tag.get("description") for tag in document["tags"]}
    assert all(tags.values())
    for place, operation in operations(document):
        assert operation["summary"], place
        assert operation["tags"][0] in tags, place
        path = place.partition(" ")[2]
        of_others = path.startswith(OTHER_SERVICES) and path != "/api/jobs/register"
        error = "DOCUMENT_ERROR" if of_others else "DEFAULT_ERROR"
        assert operation["responses"]["default"]["$ref"] == f"#/components/responses/{error}", place
        assert ("security" in operation) == (not path.startswith(("/api/admin", "/api/services", *OTHER_SERVICES))), place


def test_who_serves_it_and_under_which_licence(document: dict[str, Any]) -> None:
    assert document["servers"] == [{"url": "/", "description": "This installation"}]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert document["components"]["responses"]["DEFAULT_ERROR"]["content"].keys() == {"application/problem+json"}


def test_answers_have_types_and_each_record_has_an_id(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    free = set()
    for name, schema in schemas.items():
        if "_id" in schema.get("properties", {}):
            assert {"id", "_id"} <= set(schema["required"]), name
        for member, declared in schema.get("properties", {}).items():
            item = declared.get("items", declared)
            is_object = item.get("type") in ("object", ["object", "null"])
            if is_object and not item.get("additionalProperties") and "properties" not in item:
                free.add((name, member))
    bodies = {member for member in free if member[0].endswith(("Body", "Changes", "Definition"))}
    assert {member for member in free - bodies if member[0] not in {"RunBody"}} == FREE


def test_the_types_of_problems_are_named(document: dict[str, Any]) -> None:
    described = document["components"]["schemas"]["ProblemOut"]["properties"]["type"]["description"]
    assert all(kind.name in described for kind in all_types())
    assert set(document["components"]["schemas"]["ProblemOut"]["required"]) >= {"type", "title", "status", "detail"}


def test_a_file_can_be_sent_as_yaml_and_as_json(document: dict[str, Any]) -> None:
    for name in ("plan", "apply"):
        content = document["paths"][f"/api/admin/scheduler-jobs/{name}"]["post"]["requestBody"]["content"]
        assert content["application/yaml"]["schema"] == {"type": "string", "format": "binary"}
        assert content["application/json"]["schema"] == {"type": "object"}

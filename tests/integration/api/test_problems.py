"""Errors as problem documents: each has a type, a title that belongs to it, and a sentence in plain words."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import errors
from app.api.problem_types.catalogue import NO_TYPE, OF_ERRORS, all_types
from app.audit.model import SYSTEM, Actor
from app.errors import ApprovalNeeded, ConfigError, JobwrightError, RoleTooLow, StaleVersion, StartError, UnknownReportAddress
from app.services import Services
from tests.conftest import Api

JOBS = "/api/admin/scheduler-jobs"
TYPES = {kind.uri: kind for kind in all_types()}
NOT_OF_REQUESTS = {JobwrightError, errors.BackupRefused, ConfigError, StartError, ApprovalNeeded}
OF_THEIR_BASE = {RoleTooLow, StaleVersion, UnknownReportAddress}  # what they add is for pages, another text, or the two versions


def test_each_error_has_a_type_of_its_own() -> None:
    classes = {item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, JobwrightError)}
    assert classes - NOT_OF_REQUESTS - OF_THEIR_BASE == set(OF_ERRORS)
    assert len({kind.name for kind in all_types()}) == len(all_types())


def test_each_type_is_described_at_its_address_and_in_the_documentation(app: Flask) -> None:
    client, page = app.test_client(), Path("docs/reference/rest.md").read_text()
    listed = client.get("/api/problems").json
    assert listed is not None
    assert [item["type"] for item in listed["problems"]] == [kind.uri for kind in all_types()]
    for kind in all_types():
        answer = client.get(kind.uri)
        assert answer.json == {
            "type": kind.uri,
            "name": kind.name,
            "title": kind.title,
            "status": kind.status,
            "description": kind.description,
        }
        assert f"| `{kind.name}` | {kind.status} | {kind.title} |" in page
    assert client.get("/api/problems/nothing").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("GET", f"{JOBS}/none", None, "not-found"),
        ("POST", JOBS, {"name": ""}, "validation-failed"),
        ("GET", f"{JOBS}?page=0", None, "invalid-parameters"),
        ("GET", "/api/nope", None, "no-such-address"),
        ("GET", "/api", None, "no-such-address"),
        ("GET", "/api/", None, "no-such-address"),
        ("GET", "/api/admin//job-executions", None, "no-such-address"),
        ("GET", "/api//admin/job-executions", None, "no-such-address"),
        ("GET", "/api/admin/job-executions/", None, "no-such-address"),
        ("PATCH", JOBS, None, "method-not-allowed"),
        ("DELETE", "/api/openapi.json", None, "method-not-allowed"),
    ],
)
def test_what_is_refused_has_a_type(api: Api, method: str, path: str, body: Any, name: str) -> None:
    answer = api(method, path, body)
    problem = answer.json
    kind = TYPES[problem["type"]]
    assert (kind.name, answer.content_type) == (name, "application/problem+json")
    assert (answer.status_code, problem["status"], problem["title"]) == (kind.status, kind.status, kind.title)
    assert problem["type"] != NO_TYPE
    assert "URL" not in problem["detail"]


def test_a_missing_token_and_a_body_that_cannot_be_read(app: Flask, services: Services, super_admin: Actor) -> None:
    assert app.test_client().get(JOBS).json["type"] == "/api/problems/not-signed-in"
    client = app.test_client()
    headers = {"Authorization": f"Bearer {services.tokens.create(SYSTEM, email=super_admin.email, name='t')}"}
    unreadable = client.post(JOBS, data=b"{", content_type="application/json", headers=headers)
    assert (unreadable.status_code, unreadable.json["type"]) == (400, "/api/problems/unreadable-request")
    assert unreadable.json["detail"].startswith("The body is not valid JSON")
    other = client.post(JOBS, data=b"a", content_type="text/plain", headers=headers)
    assert (other.status_code, other.json["type"]) == (415, "/api/problems/unsupported-media-type")
    large = client.post(JOBS, data=b"x" * 2_000_001, content_type="application/json", headers=headers)
    assert (large.status_code, large.json["type"], large.json["detail"]) == (413, "/api/problems/body-too-large", "A body may have 2 MB.")


def test_a_method_that_is_not_possible_names_those_that_are(api: Api) -> None:
    answer = api("PATCH", JOBS)
    assert answer.json["detail"] == "PATCH is not possible here. Possible methods: GET, HEAD, OPTIONS, POST."
    assert "GET" in answer.headers["Allow"]

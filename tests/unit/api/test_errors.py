"""Each blueprint answers errors in its own format; what belongs to none is answered by its address."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask, abort

from app.api.errors import answer_elsewhere, answers_in, jobwright_errors
from app.errors import ApprovalNeeded, Conflict, Forbidden, NotFound
from app.services import PAGE_ERRORS

PROBLEM = "application/problem+json"


def _old_format(error: Exception) -> Any:
    """The format of another document: {"error": …}."""
    if isinstance(error, ApprovalNeeded):
        raise Conflict("The super-admins cannot be asked now")
    return {"error": str(error)}, 418


def _blueprint(name: str, prefix: str, error_format: Any) -> Blueprint:
    blueprint = Blueprint(name, __name__, url_prefix=prefix)
    blueprint.register_error_handler(Exception, answers_in(error_format))

    @blueprint.get("/missing")
    def missing() -> None:
        raise NotFound("thing", "1")

    @blueprint.get("/approval")
    def approval() -> None:
        raise ApprovalNeeded(None, "ask")

    @blueprint.get("/refused")
    def refused() -> None:
        raise Forbidden("not you")

    @blueprint.get("/aborted")
    def aborted() -> None:
        abort(413)

    return blueprint


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(_blueprint("ours", "/api/admin", jobwright_errors))
    app.register_blueprint(_blueprint("theirs", "/api/jobs", _old_format))
    app.register_error_handler(Exception, answer_elsewhere)
    app.extensions[PAGE_ERRORS] = lambda error: ("a page", 500 if not hasattr(error, "code") else error.code)

    @app.get("/page")
    def page() -> None:
        raise NotFound("page", "1")

    return app


def test_two_blueprints_under_one_prefix_have_two_formats(app: Flask) -> None:
    client = app.test_client()
    ours, theirs = client.get("/api/admin/missing"), client.get("/api/jobs/missing")
    assert (ours.status_code, ours.content_type) == (404, PROBLEM)
    assert (theirs.status_code, theirs.json) == (418, {"error": "There is no thing '1'"})
    assert client.get("/api/admin/aborted").content_type == PROBLEM
    assert client.get("/api/jobs/aborted").status_code == 418
    assert client.get("/api/admin/refused").status_code == 403
    assert client.get("/api/jobs/refused").json == {"error": "not you"}


def test_an_approval_that_cannot_be_asked_for_is_answered_in_the_same_format(app: Flask) -> None:
    answer = app.test_client().get("/api/jobs/approval")
    assert (answer.status_code, answer.json) == (418, {"error": "The super-admins cannot be asked now"})


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nothing", 404), ("POST", "/api/admin/missing", 405)])
def test_addresses_under_api_that_no_route_answers_have_problem_documents(app: Flask, method: str, path: str, status: int) -> None:
    answer = app.test_client().open(path, method=method)
    assert (answer.status_code, answer.content_type) == (status, PROBLEM)
    assert answer.json is not None
    assert answer.json["instance"] == path


def test_other_addresses_have_pages(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/page").data == client.get("/nothing").data == b"a page"

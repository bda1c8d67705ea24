"""What the compatibility routes have in common: bodies of any media type, and errors as `{"error": …, "message": …}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g, jsonify, request
from marshmallow import fields as ma

from app.accounts.model import Role
from app.accounts.permissions import May, has_role
from app.api.approvals.schemas import ApprovalOut
from app.api.base_schemas import AnswerSchema, ProblemErrorOut
from app.api.blueprint import ApiBlueprint
from app.api.body import BodySchema, FurtherErrors
from app.api.compat.people import header
from app.api.errors import jobwright_errors
from app.api.operation import describe
from app.api.problems import problem_of
from app.errors import ApprovalNeeded, Forbidden, NotSignedIn

View = Callable[..., Any]

ERROR_RESPONSE = "DOCUMENT_ERROR"  # the name of the description of errors in the OpenAPI document
NO_AUTHORIZATION = "Missing authorization"
NO_ADMIN = "Admin access required"


class DocumentErrorOut(AnswerSchema):
    """An error as the other scheduler services answer it."""

    error = ma.String(required=True, metadata={"description": "What went wrong, in a few words", "example": "Job already running"})
    message = ma.String(required=True, metadata={"description": "What is wrong with this request"})
    type = ma.String(required=True, metadata={"description": "The type of the problem, an address below /api/problems"})
    status = ma.Integer(required=True)
    errors = ma.List(ma.Nested(ProblemErrorOut), metadata={"description": "Each wrong value"})
    correlation_id = ma.String(required=True, metadata={"description": "The header X-Request-Id, which the log has, too"})


class WaitsForApproval(AnswerSchema):
    """The answer (202) to work that a super-admin must approve first."""

    message = ma.String(required=True)
    approval = ma.Nested(ApprovalOut, required=True)


class CompatBlueprint(ApiBlueprint):
    """The routes of one of the other scheduler services."""

    def __init__(self, name: str, import_name: str, **kwargs: Any) -> None:
        super().__init__(name, import_name, errors=document_errors, **kwargs)
        self._prepare_doc_cbks.append(_describe_errors)

    def body(
        self,
        schema: BodySchema,
        *,
        required: bool = True,
        validate: bool = True,
        further_errors: FurtherErrors | None = None,
        media_types: Any = None,
    ) -> Callable[[View], View]:
        """Decorates a view as the method of the base class does; by default it accepts any media type, because clients of these routes send
        JSON without naming it."""
        return super().body(schema, required=required, validate=validate, further_errors=further_errors, media_types=media_types)

    def named(self, name: str) -> Callable[[View], View]:
        """Decorates a view that reads one of the headers in app.api.compat.people, so that the OpenAPI document shows it."""

        def decorate(view: View) -> View:
            describe(view, header=header(name))
            return view

        return decorate


def document_errors(error: Exception) -> Response:
    """The format of errors of these routes. Work that needs approval is asked for and answered with 202."""
    if isinstance(error, ApprovalNeeded):
        return jobwright_errors(error)
    problem = problem_of(error)
    told = problem.get_json(force=True)
    words = _short_words(error) or told["title"]
    members = {name: value for name, value in told.items() if name not in {"title", "detail", "instance"}}
    answer: Response = jsonify({"error": words, "message": told["detail"], **members})
    answer.status_code = problem.status_code
    for name, value in problem.headers:
        if name not in {"Content-Type", "Content-Length"}:
            answer.headers[name] = value
    return answer


def _short_words(error: Exception) -> str | None:
    """Returns the words that clients know for a refusal; None for any other error."""
    if isinstance(error, NotSignedIn) and "Authorization" not in request.headers:
        return NO_AUTHORIZATION
    if isinstance(error, Forbidden) and "actor" in g and not has_role(Role(g.actor.role), May.SEE_JOBS):
        return NO_ADMIN
    return None


def register_error_response(components: Any) -> None:
    """Adds the description of these errors to the components of the OpenAPI document."""
    error = {"description": "An error", "content": {"application/json": {"schema": DocumentErrorOut}}}
    components.response(ERROR_RESPONSE, error)


def _describe_errors(operation: dict[str, Any], notes: Mapping[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ARG001 - flask-smorest's interface
    """Returns the Operation Object with the format of these errors; called by flask-smorest for each operation."""
    described = operation.get("responses", {})  # flask-smorest names its own errors, such as those of the query, by a text
    responses = {status: ERROR_RESPONSE if isinstance(response, str) else response for status, response in described.items()}
    return {**operation, "responses": {**responses, "default": ERROR_RESPONSE}}

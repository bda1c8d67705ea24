"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, SecurityError
from werkzeug.routing import RequestRedirect

from app.api.present import errors_json
from app.api.problem_types.catalogue import INTERNAL_ERROR, INVALID_PARAMETERS, NO_TYPE, ProblemType, type_of
from app.api.query_words import in_our_words
from app.correlation import current_id, shown_path
from app.errors import (
    JobwrightError,
    LimitReached,
    StaleVersion,
    StoreUnavailable,
    TooEarly,
    ValidationFailed,
)
from app.events import get_logger
from app.mongo import is_away

log = get_logger(__name__)


def problem(kind: ProblemType | None, detail: str, *, status: int | None = None, **members: Any) -> Response:
    """Returns an `application/problem+json` document (RFC 9457, 3) of a type, with these extension members.

    `status` takes the place of that of the type. Without a type, it says everything, and its phrase is the title.
    """
    code = status or (kind.status if kind else 500)
    body = {
        "type": kind.uri if kind else NO_TYPE,
        "title": kind.title if kind else HTTPStatus(code).phrase,
        "status": code,
        "detail": detail,
        "instance": shown_path(),
        **members,
        "correlation_id": current_id(),
    }
    answer = Response(json.dumps(body), code, content_type="application/problem+json")
    if code == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="jobwright"'
    return answer


def problem_of(error: Exception) -> Response:
    """Returns the problem document of any exception. One that nobody expected is logged and answered with 500, without its text."""
    if isinstance(error, JobwrightError):
        return _of_jobwright_error(error)
    if isinstance(error, HTTPException):
        return _of_http_error(error)
    if is_away(error):
        return _of_jobwright_error(StoreUnavailable("MongoDB does not answer. Nothing was changed. Try again."))
    log.exception("request.failed", method=request.method, path=shown_path())
    return problem(INTERNAL_ERROR, "This is a fault of Jobwright. The log has the details under the correlation id.")


def _of_jobwright_error(error: JobwrightError) -> Response:
    members: dict[str, Any] = {}
    if isinstance(error, ValidationFailed):
        members["errors"] = errors_json(error.errors)
    if isinstance(error, StaleVersion):
        members |= {"expected_version": error.expected, "actual_version": error.actual}
    answer = problem(type_of(error), error.detail, status=error.status, **members)
    if isinstance(error, LimitReached) and error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, TooEarly):
        answer.headers["Retry-After"] = "1"
    if isinstance(error, StoreUnavailable):
        answer.headers["Retry-After"] = "2"
    return answer


def _of_http_error(error: HTTPException) -> Response:
    status, errors = error.code or 500, _parameter_errors(error)
    if errors:
        detail = "; ".join(f"{wrong['parameter']}: {wrong['detail']}" for wrong in errors)
        return problem(INVALID_PARAMETERS, detail, errors=errors)
    answer = problem(type_of(error), _detail_of(error), status=status)
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    if isinstance(error, RequestRedirect):
        answer.headers["Location"] = error.new_url
    return answer


def _detail_of(error: HTTPException) -> str:
    """Returns what is wrong, in the words of this API in place of werkzeug's."""
    if isinstance(error, MethodNotAllowed):
        return f"{request.method} is not possible here. Possible methods: {', '.join(sorted(error.valid_methods or ()))}."
    if isinstance(error, RequestRedirect):
        return f"Use the address {error.new_url}"
    if isinstance(error, SecurityError):
        return "This server is not called by the name in the header Host (JOBWRIGHT_TRUSTED_HOSTS)"
    if error.description and error.description != type(error).description:
        return error.description  # one of ours
    if isinstance(error, NotFound):
        return "No operation has this address. The description of the API is at /api/openapi.json, a page for it at /api/docs."
    kind = type_of(error)
    return kind.description if kind else HTTPStatus(error.code or 500).phrase


def _parameter_errors(error: HTTPException) -> list[dict[str, str]]:
    """Returns what webargs found wrong with the parameters of a query: it adds {"query": {"page": ["…"]}} to the exception."""
    data = getattr(error, "data", None)
    messages = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(messages, dict):
        return []
    return [
        {"parameter": name, "detail": "; ".join(in_our_words(str(text)) for text in (texts if isinstance(texts, list) else [texts]))}
        for of_location in messages.values()
        if isinstance(of_location, dict)
        for name, texts in of_location.items()
    ]

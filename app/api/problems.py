"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from app.api.present import errors_json
from app.api.query_words import in_our_words
from app.correlation import current_id
from app.errors import (
    JobwrightError,
    LimitReached,
    StaleVersion,
    StoreUnavailable,
    ValidationFailed,
)
from app.events import get_logger
from app.mongo import is_away

log = get_logger(__name__)


def problem(status: int, title: str, detail: str, **members: Any) -> Response:
    """Returns an `application/problem+json` document (RFC 9457, 3) with these extension members."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        **members,
        "correlation_id": current_id(),
    }
    answer = Response(json.dumps(body), status, content_type="application/problem+json")
    if status == 401:
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
    log.exception("request.failed", method=request.method, path=request.path)
    return problem(500, "Internal error", "This is our fault and is in the log under the correlation id")


def _of_jobwright_error(error: JobwrightError) -> Response:
    members: dict[str, Any] = {}
    if isinstance(error, ValidationFailed):
        members["errors"] = errors_json(error.errors)
    if isinstance(error, StaleVersion):
        members |= {"expected_version": error.expected, "actual_version": error.actual}
    answer = problem(error.status, error.title, error.detail, **members)
    if isinstance(error, LimitReached) and error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, StoreUnavailable):
        answer.headers["Retry-After"] = "2"
    return answer


def _of_http_error(error: HTTPException) -> Response:
    status, errors = error.code or 500, _parameter_errors(error)
    if errors:
        detail = "; ".join(f"{wrong['parameter']}: {wrong['detail']}" for wrong in errors)
        return problem(status, "Some parameters need another value", detail, errors=errors)
    answer = problem(status, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    return answer


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

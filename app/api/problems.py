"""Errors as RFC 9457 problem documents: the one place where REST turns an error into an answer."""

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
    NotSignedIn,
    StaleVersion,
    StoreUnavailable,
    ValidationFailed,
)
from app.events import get_logger
from app.mongo import is_away

log = get_logger(__name__)


def problem(status: int, title: str, detail: str, **members: Any) -> Response:
    """`application/problem+json` (RFC 9457, 3); `members` are its extension members."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        **members,
    }
    answer = Response(json.dumps({**body, "correlation_id": current_id()}), status, content_type="application/problem+json")
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="jobwright"'
    return answer


def from_error(error: Exception) -> Response:
    """The answer to any error that a REST view raised."""
    if isinstance(error, JobwrightError):
        return _expected(error)
    if isinstance(error, HTTPException):
        return _http(error)
    if is_away(error):
        return _expected(StoreUnavailable("MongoDB does not answer; nothing was changed, try again"))
    log.exception("request.failed", method=request.method, path=request.path)
    return problem(500, "Internal error", "This is our fault and is in the log under the correlation id")


def _expected(error: JobwrightError) -> Response:
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
    if isinstance(error, NotSignedIn):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="jobwright"'
    return answer


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages") if isinstance(getattr(error, "data", None), dict) else None
    if isinstance(messages, dict):  # webargs: {"query": {"page": ["…"]}}
        errors = [
            {"parameter": name, "detail": "; ".join(in_our_words(str(text)) for text in (texts if isinstance(texts, list) else [texts]))}
            for place in messages.values()
            if isinstance(place, dict)
            for name, texts in place.items()
        ]
        return problem(
            status,
            "Some parameters need another value",
            "; ".join(f"{e['parameter']}: {e['detail']}" for e in errors),
            errors=errors,
        )
    answer = problem(status, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    return answer

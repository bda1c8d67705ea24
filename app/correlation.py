"""The id that ties a request's answer, log lines and audit events together."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from flask import Flask, Response, current_app, g, has_request_context, request

from app import traceparent
from app.events import get_logger

log = get_logger(__name__)

HEADER = "X-Request-Id"
LONGEST_CORRELATION_ID = 64  # characters
_GIVEN = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_CORRELATION_ID}}}")
_SECRETS = frozenset({"secret", "token"})  # parts of addresses that prove something


def current_id() -> str:
    """The id of the request at hand, or an empty text outside of one."""
    return str(g.get("correlation_id", "")) if has_request_context() else ""


def current_traceparent() -> str:
    """Returns the span of the request at hand in a trace; an empty text outside of a request or a trace."""
    return str(g.get("traceparent", "")) if has_request_context() else ""


def install(app: Flask) -> None:
    """Take a client's id where it is harmless, else make one; log each request when it is answered."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.correlation_id = given if _GIVEN.fullmatch(given) else str(uuid.uuid4())
        g.traceparent = traceparent.valid(request.headers.get(traceparent.HEADER, ""))
        g.began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=g.correlation_id)

    @app.after_request
    def end(response: Response) -> Response:
        if "correlation_id" in g:
            response.headers[HEADER] = g.correlation_id
            quiet = request.path.startswith(("/static/", "/live", "/ready", "/health", "/metrics"))
            level = log.debug if quiet else log.info
            milliseconds = round((time.perf_counter() - g.began) * 1000, 1)
            level(
                "request",
                method=request.method,
                path=shown_path(),
                status=response.status_code,
                milliseconds=milliseconds,
            )
        return response


def shown_path() -> str:
    """Returns the path of the request at hand for logs and answers: if a part of it is a secret, the pattern of its address, or as much as
    comes before the secret if the request fits no pattern, such as one with another method."""
    rule = request.url_rule
    if rule is not None:
        return rule.rule if _SECRETS & rule.arguments else request.path
    before = (rule.rule.partition("<")[0] for rule in current_app.url_map.iter_rules() if _SECRETS & rule.arguments)
    return next((f"{part}<secret>" for part in before if request.path.startswith(part)), request.path)

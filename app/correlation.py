"""The id that ties a request's answer, log lines and audit events together."""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime

import structlog
from flask import Flask, Response, current_app, g, has_request_context, request

from app import traceparent
from app.events import get_logger
from app.traces.base import Kind, Span, Traces

log = get_logger(__name__)

HEADER = "X-Request-Id"
LONGEST_CORRELATION_ID = 64  # characters
_GIVEN = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_CORRELATION_ID}}}")
QUIET = ("/static/", "/live", "/ready", "/health", "/metrics")  # requests that nobody looks for in a log or a trace
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECRETS = frozenset({"secret", "token"})  # parts of addresses that prove something


def current_id() -> str:
    """The id of the request at hand, or an empty text outside of one."""
    return str(g.get("correlation_id", "")) if has_request_context() else ""


def current_traceparent() -> str:
    """Returns the span of the request at hand in a trace; an empty text outside of a request or a trace."""
    return str(g.get("traceparent", "")) if has_request_context() else ""


def install(app: Flask, traces: Traces) -> None:
    """Take a client's id where it is harmless, else make one; log each request when it is answered, and write its span."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.correlation_id = given if _GIVEN.fullmatch(given) else str(uuid.uuid4())
        g.caused_by = g.traceparent = traceparent.valid(request.headers.get(traceparent.HEADER, ""))
        if not request.path.startswith(QUIET):
            g.traceparent = traces.request(g.caused_by)
        g.began, g.began_at = time.perf_counter(), datetime.now(UTC)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=g.correlation_id)

    @app.after_request
    def end(response: Response) -> Response:
        if "correlation_id" in g:
            response.headers[HEADER] = g.correlation_id
            quiet = request.path.startswith(QUIET)
            if traces.on and not quiet:
                traces.write(_span(response))
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


def _span(response: Response) -> Span:
    """The span of the request at hand, without its query, its body and its headers."""
    method = request.method if request.method in _METHODS else "_OTHER"
    shown = method if method in _METHODS else "HTTP"
    route = {} if request.url_rule is None else {"http.route": request.url_rule.rule}
    return Span(
        name=" ".join((shown, *route.values())),
        kind=Kind.SERVER,
        place=g.traceparent,
        parent=g.caused_by,
        began=g.began_at,
        ended=datetime.now(UTC),
        attributes={
            "http.request.method": method,
            "http.response.status_code": response.status_code,
            "url.path": shown_path(),
            "url.scheme": request.scheme,
            "jobwright.correlation_id": g.correlation_id,
            **route,
        },
        error=str(response.status_code) if response.status_code >= 500 else "",
    )


def shown_path() -> str:
    """Returns the path of the request at hand for logs and answers: if a part of it is a secret, the pattern of its address, or as much as
    comes before the secret if the request fits no pattern, such as one with another method."""
    rule = request.url_rule
    if rule is not None:
        return rule.rule if _SECRETS & rule.arguments else request.path
    before = (rule.rule.partition("<")[0] for rule in current_app.url_map.iter_rules() if _SECRETS & rule.arguments)
    return next((f"{part}<secret>" for part in before if request.path.startswith(part)), request.path)

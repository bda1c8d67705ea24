"""Counts the requests that a process answers."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from app.api.current import services

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES = frozenset({"/live", "/ready", "/health", "/health/detailed", "/metrics"})


def install(app: Flask) -> None:
    """Counts each request by the pattern of its address, so that no client adds series. Call it after `app.correlation.install`, which
    notes when a request began."""

    @app.after_request
    def count(response: Response) -> Response:
        measures = services().metrics.measures
        rule = request.url_rule.rule if request.url_rule is not None else "unknown"
        method = request.method if request.method in METHODS else "other"
        measures.count("jobwright_http_requests_total", rule, method, f"{response.status_code // 100}xx")
        if "began" in g:
            measures.time("jobwright_http_request_seconds", time.perf_counter() - g.began, _face(rule))
        return response


def _face(rule: str) -> str:
    if rule in PROBES:
        return "probe"
    return "api" if rule.startswith("/api/") else "page"

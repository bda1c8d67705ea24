"""The span of the call that an attempt makes to a service."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from app.queue.model import FAILURES, Attempt, Outcome, Status
from app.traces.base import Kind, Span, Traces

PORTS = {"http": 80, "https": 443}


def span_of_call(attempt: Attempt, outcome: Outcome, origin: str, traces: Traces) -> Span:
    """Returns the span of a call to a service at `origin` that is over: the service has answered, or will not. The attempt may go on."""
    parts = urlsplit(origin)
    began = outcome.began_at or attempt.started_at
    failed = outcome.deferral is None and outcome.status in FAILURES
    error = outcome.error.type if failed and outcome.error is not None and outcome.status is Status.FAILED else outcome.status.value
    return Span(
        name="POST",
        kind=Kind.CLIENT,
        place=traces.call(attempt.execution_id, attempt.traceparent, attempt.number),
        parent=traces.attempt(attempt.execution_id, attempt.traceparent, attempt.number),
        began=began,
        ended=began + timedelta(seconds=outcome.seconds),
        attributes={
            "http.request.method": "POST",
            "server.address": parts.hostname or "",
            "server.port": parts.port or PORTS.get(parts.scheme, 0),
            "jobwright.execution.id": attempt.execution_id,
            "jobwright.job.id": attempt.job_id,
        },
        error=error if failed else "",
    )

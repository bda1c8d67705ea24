"""The spans of the calls that attempts make: to a service, or by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from app.queue.model import FAILURES, Attempt, Outcome, Status
from app.traceparent import TraceParent
from app.traces.base import Attributes, Kind, Span, Traces

PORTS = {"http": 80, "https": 443}


def spans_of_calls(attempt: Attempt, outcome: Outcome, traces: Traces) -> Iterator[Span]:
    """Returns the spans of the calls over HTTP that a template has made."""
    above = traces.attempt(attempt.execution_id, attempt.traceparent, attempt.number)
    parent = TraceParent.parse(above)
    if parent is None:
        return
    for call in outcome.calls:
        if call.span:
            yield Span(
                name=call.method,
                kind=Kind.CLIENT,
                place=str(parent.with_span(call.span)),
                parent=above,
                began=call.began_at,
                ended=call.began_at + timedelta(seconds=call.seconds),
                attributes={
                    "http.request.method": call.method,
                    "server.address": call.host,
                    "server.port": call.port,
                    **_status(call.status),
                    **_ids(attempt),
                },
                error=call.error or (str(call.status) if call.status is not None and call.status >= 400 else ""),
            )


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
            **_status(next((call.status for call in outcome.calls), None)),
            **_ids(attempt),
        },
        error=error if failed else "",
    )


def _ids(attempt: Attempt) -> Attributes:
    return {"jobwright.execution.id": attempt.execution_id, "jobwright.job.id": attempt.job_id}


def _status(status: int | None) -> Attributes:
    return {} if status is None else {"http.response.status_code": status}

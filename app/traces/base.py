"""What the rest of Jobwright knows of traces: spans, and where they go. Nothing here needs OpenTelemetry."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.util import find_spec
from typing import Protocol, TypeAlias

from app.errors import StartError
from app.traceparent import TraceParent, span_of, trace_of

INSTALL = "pip install -r requirements-otel.lock"
CLOSE_SECONDS = 2.0  # that a stop waits for a collector

Attributes: TypeAlias = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """What a span is in a call: `server` answers one, `client` makes one, `internal` is neither."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took time. `place` is its own `traceparent`, `parent` that of the span that it stands below, or empty. `error` says
    in a word how it failed; it is empty if it did not."""

    name: str
    kind: Kind
    place: str
    parent: str
    began: datetime
    ended: datetime
    attributes: Attributes
    error: str = ""


class Collector(Protocol):
    """Takes spans. No call waits for anything but `close`."""

    def samples(self, parent: TraceParent | None, trace_id: str) -> bool:
        """Returns whether spans below `parent`, or a new trace, are recorded. Every process decides the same of the same trace."""
        ...

    def take(self, span: Span, place: TraceParent, parent: TraceParent | None) -> None:
        """Sends a span some time, or drops it if too many wait."""

    def close(self, timeout_seconds: float) -> None:
        """Sends what waits, as far as the time allows."""


class Traces:
    """Where the spans of a process go; without a collector nowhere.

    The methods that take `caused_by`, the `traceparent` of the span that caused something, return the `traceparent` for what follows from
    it. Without a collector Jobwright adds no spans of its own, so that they return `caused_by`.
    """

    def __init__(self, collector: Collector | None = None) -> None:
        self._collector = collector

    @property
    def on(self) -> bool:
        """Whether spans go anywhere."""
        return self._collector is not None

    def request(self, caused_by: str) -> str:
        """Returns the `traceparent` of a new request."""
        return self._below(caused_by, new_trace=secrets.token_hex(16), span_id=secrets.token_hex(8))

    def execution(self, execution_id: str, caused_by: str) -> str:
        """Returns the `traceparent` of an execution."""
        return self._below(caused_by, new_trace=trace_of(execution_id), span_id=span_of(execution_id))

    def attempt(self, execution_id: str, caused_by: str, number: int) -> str:
        """Returns the `traceparent` of an attempt."""
        return self._below(caused_by, new_trace=trace_of(execution_id), span_id=span_of(execution_id, str(number)))

    def call(self, execution_id: str, caused_by: str, number: int) -> str:
        """Returns the `traceparent` of the call that an attempt makes to a service."""
        return self._below(caused_by, new_trace=trace_of(execution_id), span_id=span_of(execution_id, f"{number} call"))

    def records(self, place: str) -> bool:
        """Returns whether a span at a place would go anywhere."""
        parsed = TraceParent.parse(place)
        return self._collector is not None and parsed is not None and parsed.sampled

    def write(self, span: Span) -> None:
        """Hands over a span that has ended, unless its trace is not recorded."""
        place = TraceParent.parse(span.place)
        if self._collector is not None and place is not None and place.sampled:
            self._collector.take(span, place, TraceParent.parse(span.parent))

    def close(self) -> None:
        """Sends what waits. Takes CLOSE_SECONDS at most."""
        if self._collector is not None:
            self._collector.close(CLOSE_SECONDS)

    def _below(self, caused_by: str, *, new_trace: str, span_id: str) -> str:
        if self._collector is None:
            return caused_by
        parent = TraceParent.parse(caused_by)
        trace_id = parent.trace_id if parent is not None else new_trace
        return str(TraceParent(trace_id, span_id, self._collector.samples(parent, trace_id)))


OFF = Traces()


def require_opentelemetry() -> None:
    """Raises StartError with what to do if the packages for traces are not installed."""
    if not _is_installed():
        raise StartError(f"JOBWRIGHT_TRACES is otlp, but OpenTelemetry is not installed. Install it: {INSTALL}")


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk") is not None and find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False

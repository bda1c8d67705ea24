"""A collector of traces: a real server of OTLP over HTTP, and the spans that came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.builders.service import Answer, Receiver, receiver


@dataclass(frozen=True)
class Sent:
    """A span that came: its ids and times, what it says, and what it says of its process."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    failed: bool
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]

    @property
    def header(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


class Collected:
    """What a collector got."""

    def __init__(self, server: Receiver) -> None:
        self.server = server

    @property
    def settings(self) -> dict[str, str]:
        """Of a process that sends its spans here, at once."""
        return {
            "JOBWRIGHT_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.server.address,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=not-for-jobs",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    @property
    def spans(self) -> list[Sent]:
        found = []
        for call in list(self.server.calls):
            request = ExportTraceServiceRequest.FromString(call.raw)
            for group in request.resource_spans:
                resource = _attributes(group.resource.attributes)
                found += [_sent(span, resource) for scope in group.scope_spans for span in scope.spans]
        return found

    def of(self, execution_id: str) -> list[Sent]:
        return [span for span in self.spans if span.attributes.get("jobwright.execution.id") == execution_id]


def _sent(span: Any, resource: Mapping[str, Any]) -> Sent:
    return Sent(
        name=span.name,
        kind=span.kind,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collector() -> Iterator[Collected]:
    with receiver(lambda call: Answer(200, b"")) as server:
        yield Collected(server)

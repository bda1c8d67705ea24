"""Sends spans to a collector by OTLP over HTTP, with the library of OpenTelemetry and its standard variables."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context

from app.errors import StartError
from app.events import get_logger
from app.traceparent import TraceParent
from app.traces.base import Kind, Span

log = get_logger(__name__)

LIBRARY = "opentelemetry"
DEFAULT_ADDRESS = "http://localhost:4318"
LOOK_SECONDS = 3.0  # that a look at the collector takes at most
_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT, Kind.INTERNAL: SpanKind.INTERNAL}


class OtlpCollector:
    """The collector that the variables OTEL_EXPORTER_OTLP_* name. A thread sends spans to it; spans that wait are bounded in number.

    Spans are made when they have ended, with the ids that app.traceparent derives. So no process has to hold them open, and the library
    has no say about ids and contexts.
    """

    def __init__(self, *, version: str, instance: str) -> None:
        """Raises StartError if a variable has a value that the library refuses."""
        said = _listen()
        own = {"service.name": "jobwright", "service.version": version, "service.instance.id": instance}
        try:
            self._resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
            self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
            self._processor = BatchSpanProcessor(_Reporting(OTLPSpanExporter(), said))
        except Exception as error:
            raise StartError(f"The settings of OpenTelemetry (OTEL_*) are not valid: {error}") from None
        self._scope = InstrumentationScope("jobwright", version)
        if said.text:
            log.warning("traces.said", reason=said.text[:200])

    def samples(self, parent: TraceParent | None, trace_id: str) -> bool:
        above = None if parent is None else set_span_in_context(NonRecordingSpan(_context(parent, remote=True)))
        return self._sampler.should_sample(above, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    def take(self, span: Span, place: TraceParent, parent: TraceParent | None) -> None:
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(place),
                parent=None if parent is None else _context(parent, remote=True),
                resource=self._resource,
                attributes={**span.attributes, **({"error.type": span.error} if span.error else {})},
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
                start_time=_nanoseconds(span.began),
                end_time=max(_nanoseconds(span.began), _nanoseconds(span.ended)),
                instrumentation_scope=self._scope,
            )
        )

    def close(self, timeout_seconds: float) -> None:
        # The library may wait for an answer for longer than it is told to.
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(timeout_seconds)


def look_at_collector() -> tuple[str, str]:
    """Returns the address of the collector, without a password, and why it takes no spans; an empty text if it does.

    Sends it a request without spans. Raises StartError if a variable has a value that the library refuses.
    """
    said = _listen()
    try:
        exporter = OTLPSpanExporter(timeout=LOOK_SECONDS)
    except Exception as error:
        raise StartError(f"The settings of OpenTelemetry (OTEL_*) are not valid: {error}") from None
    taken = exporter.export([]) is SpanExportResult.SUCCESS
    exporter.shutdown()  # type: ignore[no-untyped-call]
    address = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ADDRESS
    user, at, place = address.rpartition("@")
    return f"{user.partition('//')[0]}//{place}" if at else address, "" if taken else said.text[:200] or "it does not answer"


class _Reporting(SpanExporter):
    """Sends by another exporter, and logs when the collector is lost and when it is back, in place of a line for each failure."""

    def __init__(self, exporter: SpanExporter, said: _LastWords) -> None:
        self._exporter, self._said, self._away, self._dropped = exporter, said, False, 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS and self._away:
            log.info("traces.back", dropped=self._dropped)
            self._away, self._dropped = False, 0
        elif result is not SpanExportResult.SUCCESS:
            if not self._away:
                log.warning("traces.away", reason=self._said.text[:200])
            self._away, self._dropped = True, self._dropped + len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _LastWords(logging.Handler):
    """Keeps the last line that the library logged."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _listen() -> _LastWords:
    """Returns what keeps the words of the library. It has a line for each batch that fails and for each span that is dropped, so that its
    lines go nowhere else."""
    logger, said = logging.getLogger(LIBRARY), _LastWords()
    logger.propagate, logger.handlers = False, [said]
    return said


def _context(place: TraceParent, *, remote: bool = False) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(place.trace_id, 16), int(place.span_id, 16), is_remote=remote, trace_flags=flags)


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000) * 1000

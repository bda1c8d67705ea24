"""Traces: what follows from what, what is sampled, and that nothing waits for a collector."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import StartError
from app.integrations.callbacks.traced import span_of_call
from app.jobs.model import RetryPolicy
from app.queue.model import Attempt, AttemptError, Deferral, Outcome, Status
from app.traceparent import TraceParent, span_of, trace_of
from app.traces import base
from app.traces.base import Kind, Span, Traces, require_opentelemetry
from app.traces.otlp import LIBRARY, OtlpCollector
from tests.builders.collector import Collected, collector
from tests.builders.service import Answer, Call, receiver
from tests.support import eventually

ABOVE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = datetime(2026, 8, 31, 12, 0, tzinfo=UTC)
IMPORTED = """
import sys
import app.process, app.api, app.factory.engine, app.node.node, web
from app.config import Settings
assert not app.process._traces(Settings(), "serve").on
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
"""


@pytest.fixture(autouse=True)
def _library_as_it_was() -> Iterator[None]:
    """Its logger as it was before: other tests may look at it."""
    logger = logging.getLogger(LIBRARY)
    before = logger.propagate, list(logger.handlers)
    yield
    logger.propagate, logger.handlers = before[0], before[1]


def point_at(monkeypatch: pytest.MonkeyPatch, collected: Collected, **settings: str) -> OtlpCollector:
    for name, value in {**collected.settings, **settings}.items():
        monkeypatch.setenv(name, value)
    return OtlpCollector(version="1", instance="here serve")


def span(place: str, *, error: str = "") -> Span:
    return Span(name="a", kind=Kind.INTERNAL, place=place, parent=ABOVE, began=NOW, ended=NOW, attributes={"n": 1}, error=error)


def test_nothing_is_imported_while_traces_are_off() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("caused_by", ["", ABOVE])
def test_without_a_collector_jobwright_adds_no_span(caused_by: str) -> None:
    traces = Traces()
    assert not traces.on
    assert {traces.request(caused_by), traces.execution("e", caused_by), traces.attempt("e", caused_by, 1)} == {caused_by}
    traces.write(span(ABOVE))
    traces.close()


def test_packages_that_are_missing_are_named_with_the_command_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    require_opentelemetry()
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(StartError, match="pip install -r requirements-otel.lock"):
        require_opentelemetry()

    def above_is_missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(base, "find_spec", above_is_missing)
    with pytest.raises(StartError, match="OpenTelemetry is not installed"):
        require_opentelemetry()


def test_a_variable_that_the_library_refuses_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(StartError, match="OTEL_"):
        OtlpCollector(version="1", instance="here serve")


def test_a_variable_that_the_library_replaces_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "many")
    OtlpCollector(version="1", instance="here serve").close(5)
    assert any("traces.said" in record.getMessage() and "MAX_QUEUE_SIZE" in record.getMessage() for record in caplog.records), caplog.text


def test_ids_follow_from_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as collected:
        traces = Traces(point_at(monkeypatch, collected))
        assert traces.execution("e", "") == f"00-{trace_of('e')}-{span_of('e')}-01"
        assert traces.attempt("e", ABOVE, 2) == str(TraceParent(ABOVE[3:35], span_of("e", "2")))
        assert traces.call("e", ABOVE, 2) not in {traces.attempt("e", ABOVE, 2), traces.call("e", ABOVE, 1)}
        assert traces.request("") != traces.request("")
        traces.close()


def test_processes_agree_on_which_traces_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    with collector() as collected:
        one, other = (Traces(point_at(monkeypatch, collected, **sampled)) for _ in range(2))
        places = [one.execution(f"e{number}", "") for number in range(100)]
        assert places == [other.execution(f"e{number}", "") for number in range(100)]
        recorded = sum(place.endswith("-01") for place in places)
        assert 20 < recorded < 80
        assert one.execution("e1", ABOVE).endswith("-01")
        assert one.execution("e1", ABOVE[:-2] + "00").endswith("-00")
        for place in places:
            one.write(span(place))
        one.close()
        other.close()
        assert len(collected.spans) == recorded


def test_names_of_the_service_and_more_come_from_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"OTEL_SERVICE_NAME": "jobs", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    with collector() as collected:
        traces = Traces(point_at(monkeypatch, collected, **named))
        traces.write(span(traces.attempt("e", "", 1), error="timeout"))
        traces.close()
        (sent,) = collected.spans
    assert (sent.resource["service.name"], sent.resource["deployment.environment.name"]) == ("jobs", "test")
    assert (sent.failed, sent.attributes) == (True, {"n": 1, "error.type": "timeout"})


def test_a_collector_that_hangs_holds_up_no_write_and_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def hang(call: Call) -> Answer:
        let_go.wait(60)
        return Answer(200, b"")

    with receiver(hang) as server:
        traces = Traces(point_at(monkeypatch, Collected(server), OTEL_BSP_MAX_QUEUE_SIZE="64", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8"))
        began = time.monotonic()
        for number in range(2000):
            traces.write(span(traces.attempt("e", "", number)))
        eventually(lambda: server.calls)
        traces.close()
        took = time.monotonic() - began
        let_go.set()
    assert took < 10  # the library itself would wait for 30 s


def test_a_collector_that_is_away_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with receiver(lambda call: Answer(400)) as server:
        traces = Traces(point_at(monkeypatch, Collected(server)))

        def write_until(count: int) -> None:
            traces.write(span(traces.attempt("e", "", 1)))
            eventually(lambda: len(server.calls) >= count)

        for count in (1, 2, 3):
            write_until(count)
        server.reply = lambda call: Answer(200, b"")
        write_until(4)
        traces.close()
    said = [record.getMessage() for record in caplog.records if "traces." in record.getMessage()]
    assert len(said) == 2
    assert "traces.away" in said[0]
    assert "400" in said[0]
    assert "traces.back" in said[1]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome(status=Status.RUNNING, deferral=Deferral(heartbeat_seconds=60)), ""),
        (Outcome(status=Status.SUCCESS), ""),
        (Outcome(status=Status.CANCELLED), ""),
        (Outcome(status=Status.TIMEOUT), "timeout"),
        (Outcome(status=Status.FAILED, error=AttemptError(type="ServiceUnavailable", message="secret")), "ServiceUnavailable"),
    ],
)
def test_a_call_ends_with_its_answer_even_if_the_attempt_goes_on(outcome: Outcome, error: str) -> None:
    attempt = Attempt(
        execution_id="e",
        number=1,
        token=1,
        job_id="j",
        job_name="j",
        template_version=1,
        code_version=1,
        template_type="service_job",
        parameters={},
        timeout_seconds=30,
        started_at=NOW,
        began_at=NOW,
        retry_policy=RetryPolicy(),
        failed_attempts=1,
    )
    call = span_of_call(attempt, replace(outcome, seconds=2.5, began_at=NOW), "https://[::1]", Traces())
    assert (call.began, call.ended, call.error) == (NOW, NOW + timedelta(seconds=2.5), error)
    assert (call.attributes["server.address"], call.attributes["server.port"]) == ("::1", 443)

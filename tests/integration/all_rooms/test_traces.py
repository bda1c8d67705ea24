"""Spans of what processes do, at a real collector: a web server and a scheduler that share one database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.traceparent import span_of, trace_of
from tests.builders.collector import Collected, Sent, collector
from tests.builders.service import Answer, Call, Receiver, receiver
from tests.integration.all_rooms.test_correlation import create
from tests.lengths import one_in
from tests.support import Service, eventually

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0{sampled}"
TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NO_RETRY = {"retry_policy": {"max_retries": 0}}


@pytest.fixture(scope="module")
def collected() -> Iterator[Collected]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def called() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def client(mongod: str, called: Receiver, collected: Collected, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("traces")
    settings = {**collected.settings, "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1"}
    both = [Service(role, uri=mongod, database="t_traces", data_dir=data, warm=True, **settings) for role in ("web", "scheduler")]
    for process in both:
        process.wait_ready()
    with both[0].api() as made:
        answer = made.post("/api/admin/connections", json={"name": "email-service", "kind": "service", "settings": called.settings})
        assert answer.status_code == 201, answer.text
        yield made
    for process in both:
        process.stop()


def run(client: httpx.Client, job: str, *, sampled: int = 1) -> dict[str, Any]:
    answer = client.post(
        f"/api/admin/scheduler-jobs/{job}/run", json={}, params={"wait": 30}, headers={"traceparent": CALLER.format(sampled=sampled)}
    )
    return dict(answer.json()["execution"])


def spans(collected: Collected, execution_id: str, count: int) -> dict[str, Sent]:
    """The spans of an execution once so many have come, by the first word of their names."""
    came = eventually(lambda: found if len(found := collected.of(execution_id)) >= count else None)
    return {span.name.partition(" ")[0]: span for span in came}


def test_a_request_an_execution_its_attempt_and_its_call_stand_below_each_other(
    client: httpx.Client, collected: Collected, called: Receiver
) -> None:
    parameters = {"service": "email-service", "job_name": "weekly-digest", "config": {"word": "never-in-a-span"}}
    execution = run(client, create(client, "Digest", "service_job", parameters=parameters))
    assert execution["status"] == "success", execution
    found = spans(collected, execution["id"], 3)
    request = eventually(lambda: next((span for span in collected.spans if span.parent == ABOVE), None))
    whole, attempt, call = found["execution"], found["attempt"], found["POST"]
    assert {span.trace for span in (request, whole, attempt, call)} == {TRACE}
    assert [whole.parent, attempt.parent, call.parent] == [request.id, whole.id, attempt.id]
    assert [whole.id, attempt.id] == [span_of(execution["id"]), span_of(execution["id"], "1")]
    assert called.calls[-1].headers["traceparent"] == call.header
    assert [request.kind, whole.kind, attempt.kind, call.kind] == [2, 1, 1, 3]
    assert whole.began <= attempt.began < attempt.ended <= whole.ended
    assert whole.attributes["jobwright.execution.wait_seconds"] == pytest.approx((attempt.began - whole.began) / 1e9, abs=0.002)
    assert request.attributes["http.route"] == "/api/admin/scheduler-jobs/<job_id>/run"
    assert (request.attributes["http.request.method"], request.attributes["http.response.status_code"]) == ("POST", 200)
    assert (call.attributes["server.address"], call.attributes["server.port"]) == ("127.0.0.1", int(called.address.rpartition(":")[2]))
    assert call.attributes["http.response.status_code"] == 200
    assert not any(span.failed for span in (request, whole, attempt, call))
    assert [span.resource["service.instance.id"].split()[-1] for span in (request, whole)] == ["web", "scheduler"]
    assert {span.resource["service.name"] for span in (request, whole)} == {"jobwright"}
    assert b"never-in-a-span" not in b"".join(call.raw for call in collected.server.calls)


@pytest.mark.parametrize(("status", "path", "error"), [(201, "/hook", None), (404, "/hook", "404"), (None, None, "TransportError")])
def test_calls_of_templates_stand_below_their_attempt(
    client: httpx.Client, collected: Collected, called: Receiver, status: int | None, path: str | None, error: str | None
) -> None:
    called.reply = lambda call: Answer(status or 200, {})
    address = f"{called.address}{path}?word=never-in-a-span" if path else "http://127.0.0.1:1/"
    hook = {"url": address, "method": "POST", "body": {"word": "never-in-a-span"}}
    execution = run(client, create(client, f"Hook {status}", "webhook_trigger", parameters=hook, **NO_RETRY))
    found = spans(collected, execution["id"], 3)
    attempt, call = found["attempt"], found["POST"]
    assert (call.kind, call.trace, call.parent) == (3, TRACE, attempt.id)
    assert attempt.began <= call.began <= call.ended <= attempt.ended
    assert (call.attributes.get("http.response.status_code"), call.attributes.get("error.type")) == (status, error)
    assert (call.attributes["server.address"], call.failed) == ("127.0.0.1", error is not None)
    if path:
        assert called.calls[-1].headers["traceparent"] == call.header, "what the receiver does stands below the call"
    assert b"never-in-a-span" not in b"".join(call.raw for call in collected.server.calls)


def test_failures_and_timeouts_say_how(client: httpx.Client, collected: Collected, called: Receiver) -> None:
    called.reply = lambda call: Answer(400, {"success": False, "error": "data of the run"})
    parameters = {"service": "email-service", "job_name": "weekly-digest"}
    refused = run(client, create(client, "Refused", "service_job", parameters=parameters, **NO_RETRY))
    late = run(client, create(client, "Late", "test_scheduler", parameters={"seconds": 30}, timeout_seconds=1, **NO_RETRY))
    assert [refused["status"], late["status"]] == ["failed", "timeout"]
    for execution, error, count in ((refused, "TemplateError", 3), (late, "timeout", 2)):
        for span in spans(collected, execution["id"], count).values():
            assert (span.failed, span.attributes["error.type"]) == (True, error)
    assert b"data of the run" not in b"".join(call.raw for call in collected.server.calls)


def test_what_no_request_caused_begins_a_trace_and_what_follows_it_goes_on(client: httpx.Client, collected: Collected) -> None:
    first = create(client, "Each second", "noop", schedule={"type": "interval", "interval_seconds": 1})
    create(client, "Follows", "noop", depends_on=[{"job": first}])
    follower = eventually(lambda: next((span for span in collected.spans if span.attributes.get("jobwright.job.name") == "Follows"), None))
    client.post(f"/api/admin/scheduler-jobs/{first}/disable")
    above = eventually(lambda: next((span for span in collected.spans if span.id == follower.parent), None))
    cause = above.attributes["jobwright.execution.id"]
    assert (above.trace, above.id, above.parent) == (trace_of(cause), span_of(cause), "")
    assert follower.trace == above.trace


def test_a_caller_that_records_no_trace_has_none_here(client: httpx.Client, collected: Collected, called: Receiver) -> None:
    hook = {"url": f"{called.address}/hook", "method": "POST", "body": {}}
    job = create(client, "Calls", "webhook_trigger", parameters=hook, **NO_RETRY)
    unrecorded = run(client, job, sampled=0)
    assert called.calls[-1].headers["traceparent"].endswith("-00")
    recorded = run(client, job)
    spans(collected, recorded["id"], 2)
    assert collected.of(unrecorded["id"]) == []


def test_jobs_do_not_see_the_key_of_the_collector(client: httpx.Client, collected: Collected) -> None:
    assert collected.server.calls[-1].headers["x-key"] == "not-for-jobs"
    execution = run(client, create(client, "Pries", "pry", parameters={}))
    assert "not-for-jobs" not in str(execution["result"])


@pytest.mark.parametrize("hangs", one_in(2, [True, False]))
def test_a_collector_that_hangs_or_is_away_holds_up_no_run_and_no_stop(mongod: str, tmp_path: Path, hangs: bool) -> None:
    let_go = threading.Event()

    def hang(call: Call) -> Answer:
        let_go.wait(60)
        return Answer(503)

    with receiver(hang) as server:
        address = (
            Collected(server).settings if hangs else {**Collected(server).settings, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
        )
        service = Service("serve", uri=mongod, database=f"t_traces_{hangs}", data_dir=tmp_path, warm=True, **address).wait_ready()
        with service.api() as client:
            job = create(client, "Goes on", "noop")
            assert [run(client, job)["status"] for _ in range(3)] == ["success"] * 3
        if hangs:
            eventually(lambda: server.calls)
        assert service.stop() == 0
        let_go.set()
    began, ended = (datetime.fromisoformat(service.event(name)["timestamp"]) for name in ("service.draining", "service.stopped"))
    assert (ended - began).total_seconds() < 10  # the library itself would wait for 30 s

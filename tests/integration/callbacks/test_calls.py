"""The call to a service: what it is told, how the call is signed, and what each answer becomes. Against a real HTTP server."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from templates_lib.base import CallbackAddress, ConnectionGrant, Deferred, JobResult, Route, RunContext, TemplateError
from templates_lib.connections.service import new_key
from templates_lib.service_job.template import ServiceJob
from templates_lib.signatures import require_signature
from tests.builders.service import NAME, RESET, Answer, Call, Receiver, accepted, receiver
from tests.running import Ctx

PARAMETERS = {"service": NAME, "job_name": "weekly-digest", "config": {"batchSize": 100}}
CALLBACK = CallbackAddress("https://jobs.example.com/api/callbacks/t0k3n", "t0k3n")


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


class Caller:
    def __init__(self, service: Receiver, files: Path) -> None:
        self.settings: dict[str, Any] = service.settings
        self._files = files

    def ctx(self, **changes: Any) -> RunContext:
        return Ctx(self._files, {NAME: ConnectionGrant(NAME, "service", self.settings)})(**changes)

    def __call__(self, parameters: dict[str, Any] | None = None, **changes: Any) -> JobResult | Deferred:
        return ServiceJob().run({**PARAMETERS, **(parameters or {})}, self.ctx(**changes))

    def refused(self, parameters: dict[str, Any] | None = None, **changes: Any) -> TemplateError:
        with pytest.raises(TemplateError) as refused:
            self(parameters, **changes)
        return refused.value


@pytest.fixture
def call(service: Receiver, tmp_path: Path) -> Caller:
    return Caller(service, tmp_path)


def test_the_service_is_told_all_about_the_run(service: Receiver, call: Caller) -> None:
    result = call(triggered_by="schedule")
    assert result == JobResult("3 of 3 items", {"itemsProcessed": 3, "itemsSucceeded": 3, "itemsFailed": 0})
    (made,) = service.calls
    assert made.path == "/api/jobs/weekly-digest/execute"
    assert made.body == {
        "jobName": "weekly-digest",
        "config": {"batchSize": 100},
        "executionId": "exec-1",
        "triggeredBy": "scheduler",
        "triggeredByUser": None,
        "attempt": 1,
    }
    headers = {name.lower(): value for name, value in made.headers.items()}
    assert (headers["content-type"], headers["idempotency-key"], headers["webhook-id"]) == ("application/json", "exec-1", "exec-1:1")


def test_who_asked_for_the_run_and_where_to_report(service: Receiver, call: Caller) -> None:
    service.reply = accepted
    before = datetime.now(UTC)
    result = call(
        {"heartbeat_seconds": 20}, triggered_by="manual", triggered_by_user="u-7", attempt=2, callback=CALLBACK, timeout_seconds=600.0
    )
    assert result == Deferred(20)
    body = service.calls[0].body
    assert (body["triggeredBy"], body["triggeredByUser"], body["attempt"]) == ("admin", "u-7", 2)
    deadline = datetime.fromisoformat(body["callback"].pop("deadline"))
    assert body["callback"] == {"url": CALLBACK.url, "token": "t0k3n", "heartbeatSeconds": 20}
    assert before + timedelta(seconds=599) <= deadline <= datetime.now(UTC) + timedelta(seconds=600)


def test_each_active_key_signs_the_call(service: Receiver, call: Caller) -> None:
    fresh = new_key()
    call.settings["keys"].append({"id": "k2", "secret": fresh, "created_at": "2026-03-02T00:00:00Z"})
    call()
    (made,) = service.calls
    for key in (service.key, fresh):
        require_signature([key], made.headers, made.raw)
    call.settings["keys"] = []
    call()
    assert "webhook-signature" not in {name.lower() for name in service.calls[1].headers}


def test_the_call_goes_where_the_route_leads_and_below_the_path(service: Receiver, call: Caller) -> None:
    call.settings["address"] = "http://elsewhere.example.com"
    call({"path": "/jobs/digest?x=1"}, route=Route(f"{service.address}/base/", "i1"))
    assert service.calls[0].path == "/base/jobs/digest?x=1"
    call({"job_name": "a b/c"}, route=Route(service.address))
    assert service.calls[1].path == "/api/jobs/a%20b%2Fc/execute"


def test_a_host_that_the_connection_does_not_allow_is_not_called(service: Receiver, call: Caller) -> None:
    call.settings["hosts"] = ["10.0.0.1:80"]
    error = call.refused()
    assert "does not allow calls to" in str(error)
    assert error.permanent
    call.settings |= {"hosts": [], "address": service.address}
    assert "private or local address" in str(call.refused())
    assert not service.calls


def test_an_instance_on_a_host_of_the_operator_is_called_where_the_connection_lists_others(service: Receiver, call: Caller) -> None:
    place = service.address.removeprefix("http://")
    call.settings["hosts"] = ["10.0.0.1:80"]
    assert "does not allow calls to" in str(call.refused(route=Route(service.address, "i1")))
    assert "does not allow calls to" in str(call.refused(allowed_hosts=(place,))), "that is no instance"
    assert "does not allow calls to" in str(call.refused(route=Route("http://10.0.0.2", "i1"), allowed_hosts=(place,)))
    assert not service.calls
    for allowed in (place, place.partition(":")[0]):
        call(route=Route(service.address, "i1"), allowed_hosts=(allowed,))
    assert len(service.calls) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "words", "permanent", "retry_after"),
    [
        (Answer(500, {"error": "out of memory"}), "ServiceUnavailable", "The service answered 500: out of memory", False, None),
        (Answer(503, b"busy", {"Retry-After": "120"}), "ServiceUnavailable", "The service answered 503: busy", False, 120),
        (Answer(502, None), "ServiceUnavailable", "The service answered 502", False, None),
        (Answer(429, {"title": "Too many"}, {"Retry-After": "7"}), "TemplateError", "The service answered 429: Too many", False, 7),
        (Answer(409, {"detail": "running"}), "TemplateError", "The service answered 409: running", False, None),
        (Answer(408), "TemplateError", "The service answered 408", False, None),
        (Answer(425, None, {"Retry-After": "soon"}), "TemplateError", "The service answered 425", False, None),
        (Answer(400, b"<html>no"), "TemplateError", "The service answered 400: <html>no", True, None),
        (Answer(401), "TemplateError", "The service answered 401", True, None),
        (Answer(404), "TemplateError", "The service answered 404", True, None),
        (Answer(410, {"error": "no such job"}), "HandlerGone", "The service answered 410: no such job", True, None),
        (Answer(302, None, {"Location": "http://169.254.169.254/"}), "TemplateError", "The service answered 302", True, None),
        (Answer(200, b"<html>"), "TemplateError", "is not a JobResult: must be a JSON object", True, None),
        (Answer(200, None), "TemplateError", "is not a JobResult", True, None),
        (Answer(200, {"success": True, "itemsFailed": "2"}), "TemplateError", "/itemsFailed must be a whole number from 0", True, None),
        (Answer(200, {"success": False, "error": "no mail server"}), "TemplateError", "The service says: no mail server", False, None),
        (Answer(200, b'{"success": true, "x": "' + b"y" * 1_000_000 + b'"}'), "TemplateError", "longer than 1,000,000 bytes", True, None),
        (RESET, "ServiceUnavailable", "closed the connection", False, None),
    ],
)
def test_what_an_answer_becomes(
    service: Receiver, call: Caller, answer: Answer | str, kind: str, words: str, permanent: bool, retry_after: float | None
) -> None:
    service.reply = lambda _: answer
    error = call.refused()
    assert (type(error).__name__, error.permanent, error.retry_after_seconds) == (kind, permanent, retry_after)
    assert words in str(error)
    assert len(service.calls) == 1


@pytest.mark.parametrize("status", [200, 201, 204])
def test_other_answers_of_success(service: Receiver, call: Caller, status: int) -> None:
    service.reply = lambda _: Answer(status, {"success": True, "metadata": {"a": 1}} if status != 204 else None)
    result = call()
    assert isinstance(result, JobResult)
    assert (result.message, result.data.get("metadata")) == ("The service reported success", {"a": 1} if status != 204 else None)


def test_a_time_to_retry_may_be_a_date(service: Receiver, call: Caller) -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    service.reply = lambda _: Answer(503, None, {"Retry-After": format_datetime(at, usegmt=True)})
    assert 85 <= (call.refused().retry_after_seconds or 0) <= 90
    service.reply = lambda _: Answer(503, None, {"Retry-After": format_datetime(at - timedelta(hours=1), usegmt=True)})
    assert call.refused().retry_after_seconds is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("86400", 86_400),
        ("9" * 400, 86_400),
        ("-5", None),
        ("1.5", None),
        ("1e9", None),
        ("120, 130", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 -2300", 86_400),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2999 23:59:59 +99999999", None),
        ("Mon, 32 Jan 2026 25:00:00 GMT", None),
    ],
)
def test_an_odd_time_to_retry_does_no_harm(service: Receiver, call: Caller, value: str, seconds: float | None) -> None:
    service.reply = lambda _: Answer(503, None, {"Retry-After": value})
    error = call.refused()
    assert (str(error), error.retry_after_seconds) == ("The service answered 503", seconds)


def test_a_service_that_hangs_is_given_up(service: Receiver, call: Caller) -> None:
    go_on = threading.Event()

    def hang(_: Call) -> Answer:
        go_on.wait(20)
        return Answer(200)

    service.reply = hang
    error = call.refused({"timeout": 0.3})
    go_on.set()
    assert (type(error).__name__, str(error), error.permanent) == ("ServiceUnavailable", "The service did not answer within 0.3 s", False)


def test_a_refused_connection_is_tried_again(call: Caller) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    call.settings |= {"address": f"http://127.0.0.1:{port}", "hosts": [f"127.0.0.1:{port}"]}
    error = call.refused()
    assert (type(error).__name__, error.permanent) == ("ServiceUnavailable", False)


def test_accepted_without_an_address_for_reports_fails_and_says_what_to_set(service: Receiver, call: Caller) -> None:
    service.reply = accepted
    error = call.refused()
    assert "Set JOBWRIGHT_PUBLIC_URL" in str(error)
    assert error.permanent
    assert "callback" not in service.calls[0].body


def test_failed_items_follow_the_policy(service: Receiver, call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    service.reply = lambda _: Answer(200, {"success": True, "itemsProcessed": 5, "itemsFailed": 2})
    with caplog.at_level(logging.WARNING):
        call()
    assert "2 of 5 items failed" in caplog.text
    error = call.refused({"on_failed_items": "fail"})
    assert (str(error), error.data["itemsFailed"]) == ("2 of 5 items failed", 2)
    assert isinstance(call({"on_failed_items": "succeed"}), JobResult)


def test_lines_in_the_answer_become_lines_of_the_log(service: Receiver, call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    lines = [{"level": "warning", "message": "100 %s"}, {"message": "two"}, {"level": "odd", "message": "three"}, {"message": 5}, "x"]
    service.reply = lambda _: Answer(200, {"success": True, "logs": lines})
    with caplog.at_level(logging.INFO, "job"):
        call()
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "job"]
    assert told == [("WARNING", "100 %s"), ("INFO", "two"), ("INFO", "three")]
    service.reply = lambda _: Answer(200, {"success": True, "logs": "x"})
    assert isinstance(call(), JobResult)


def test_a_dry_run_shows_the_call_and_makes_none(service: Receiver, call: Caller) -> None:
    result = ServiceJob().preview(PARAMETERS, call.ctx(triggered_by="preview"))
    assert result.data["url"] == f"{service.address}/api/jobs/weekly-digest/execute"
    assert result.data["body"]["jobName"] == "weekly-digest"
    assert not service.calls

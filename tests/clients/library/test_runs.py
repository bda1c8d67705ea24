"""Runs in a service: each call's work is done once; what is accepted is reported; a service that stops loses nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jobwright_client import Cancelled, JobContext, JobFailed, JobResult, Keys, Service, Settings
from jobwright_client.calls import Request
from jobwright_client.errors import JobwrightError
from jobwright_client.runs import RENEW_SECONDS
from jobwright_client.state import LEASE_SECONDS, MemoryState
from jobwright_client.testing import Jobwright

from tests.support import eventually


class Work:
    """What the jobs of these tests do: they count their runs, and wait at a gate."""

    def __init__(self) -> None:
        self.runs = 0
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)

    def pass_gate(self) -> None:
        self.runs += 1
        self.began.release()
        assert self.gate.wait(30)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def service(work: Work) -> Service:
    made = Service("s", settings=Settings(most_running=4))

    @made.job("gated", answer_within_seconds=0)
    def gated(context: JobContext[Any]) -> JobResult:
        work.pass_gate()
        return JobResult(items_processed=work.runs, items_succeeded=work.runs)

    @made.job("short", answer_within_seconds=30)
    def short(context: JobContext[Any]) -> None:
        work.runs += 1
        context.log.info("run %s", work.runs)

    @made.job("stoppable", answer_within_seconds=0)
    def stoppable(context: JobContext[Any]) -> None:
        work.runs += 1
        work.began.release()
        context.succeeded(3)
        assert context.stop_requested.wait(30)
        context.check_cancelled()

    return made


@pytest.fixture
def heartbeat_seconds() -> float:
    return 60


@pytest.fixture
def jobwright(service: Service, work: Work, heartbeat_seconds: float) -> Iterator[Jobwright]:
    with Jobwright(service, heartbeat_seconds=heartbeat_seconds) as connected:
        yield connected
        work.gate.set()


def job(service: Service, function: Callable[..., Any], **options: Any) -> None:
    service.job("job", answer_within_seconds=30, **options)(function)


# -- results ---------------------------------------------------------------------------------------------------------


def returns(value: Any) -> Callable[..., Any]:
    def function(context: JobContext[Any]) -> Any:
        context.succeeded(2)
        context.failed("address refused")
        context.failed("another")
        return value

    return function


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"success": True, "itemsProcessed": 4, "itemsSucceeded": 2, "itemsFailed": 2, "error": "address refused"}),
        (
            {"campaign": 49},
            {
                "success": True,
                "itemsProcessed": 4,
                "itemsSucceeded": 2,
                "itemsFailed": 2,
                "error": "address refused",
                "metadata": {"campaign": 49},
            },
        ),
        (JobResult(items_processed=1), {"success": True, "itemsProcessed": 1, "itemsSucceeded": 0, "itemsFailed": 0}),
        (
            JobResult(success=False, error="no mail server"),
            {"success": False, "itemsProcessed": 0, "itemsSucceeded": 0, "itemsFailed": 0, "error": "no mail server"},
        ),
    ],
)
def test_what_a_job_returns_becomes_its_result(service: Service, jobwright: Jobwright, value: Any, expected: dict[str, Any]) -> None:
    job(service, returns(value))
    assert jobwright.run("job").result == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (42, "the job returned int; return a JobResult, a dict or None"),
        ({"x": object()}, "metadata is not JSON"),
        ({"x": float("nan")}, "metadata is not JSON"),
        ({"x": "y" * 1_000_000}, "metadata is too large"),
    ],
)
def test_a_result_that_cannot_be_sent_is_a_failure_that_says_why(service: Service, jobwright: Jobwright, value: Any, words: str) -> None:
    job(service, returns(value))
    run = jobwright.run("job")
    assert run.status == "failed"
    assert words in run.result["error"]


def raises(error: BaseException) -> Callable[..., Any]:
    def function(context: JobContext[Any]) -> None:
        context.succeeded()
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "words"),
    [
        (ValueError("bad value"), 200, None, "ValueError: bad value"),
        (JobFailed("no mail server"), 200, None, "no mail server"),
        (JobFailed("no such list", permanent=True), 422, None, "no such list"),
        (JobFailed("busy", retry_after_seconds=30), 503, "30", "busy"),
        (Cancelled(), 200, None, "Stopped at a safe point"),
        (SystemExit(3), 200, None, "SystemExit: 3"),
    ],
)
def test_what_a_job_raises_says_whether_another_attempt_helps(
    service: Service, jobwright: Jobwright, error: BaseException, status: int, retry_after: str | None, words: str
) -> None:
    job(service, raises(error))
    response = jobwright.call(jobwright.begin("job"))
    assert response.status == status
    assert response.headers.get("Retry-After") == retry_after
    assert response.body["success"] is False
    assert response.body["error"] == words
    assert response.body["itemsSucceeded"] == 1


def test_an_unexpected_error_stands_in_the_log_with_its_place(service: Service, jobwright: Jobwright) -> None:
    job(service, raises(ValueError("bad value")))
    (line,) = jobwright.run("job").lines
    assert line.startswith("ValueError: bad value\nTraceback")
    assert "test_runs.py" in line


def test_a_coroutine_is_run(service: Service, jobwright: Jobwright) -> None:
    async def function(context: JobContext[Any]) -> None:
        await asyncio.sleep(0)
        context.succeeded()

    job(service, function)
    assert jobwright.run("job").result["itemsSucceeded"] == 1


def test_a_job_learns_who_asked_for_it(service: Service, jobwright: Jobwright) -> None:
    told: dict[str, Any] = {}

    def function(context: JobContext[Any]) -> None:
        told.update(context.__dict__)

    job(service, function, config={"size": 3})
    jobwright.run("job", user="ada")
    assert (told["triggered_by"], told["triggered_by_user"], told["config"], told["attempt"]) == ("admin", "ada", {"size": 3}, 1)


# -- reports ---------------------------------------------------------------------------------------------------------


def test_an_accepted_run_reports_lines_progress_and_its_end(service: Service, jobwright: Jobwright, work: Work) -> None:
    @service.job("reporting", answer_within_seconds=0)
    def reporting(context: JobContext[Any]) -> None:
        context.log.info("first")
        for number in context.track(range(3)):
            context.log.warning("item %s", number)
            context.succeeded()
        context.extend(600)
        work.pass_gate()
        context.log.info("last")

    run = jobwright.begin("reporting")
    assert jobwright.call(run).status == 202
    eventually(lambda: run.progress and run.progress[-1] == {"done": 3, "total": 3})
    eventually(lambda: run.extended_seconds == 600)
    work.gate.set()
    assert run.ended.wait(30)
    assert run.lines == ["first", "item 0", "item 1", "item 2", "last"]
    assert run.result["itemsSucceeded"] == 3
    assert not jobwright.refused_reports


@pytest.mark.parametrize("heartbeat_seconds", [0.3])
def test_a_run_that_is_silent_sends_heartbeats(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert jobwright.call(run).status == 202
    eventually(lambda: run.heartbeats >= 3)
    work.gate.set()
    assert run.ended.wait(30)


@pytest.mark.parametrize("heartbeat_seconds", [0.3])
def test_a_cancelled_run_stops_at_a_safe_point_and_reports_what_it_did(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("stoppable")
    run.cancelling = True
    assert jobwright.call(run).status == 202
    assert run.ended.wait(60)
    assert run.status == "failed"
    assert run.result["itemsSucceeded"] == 3
    assert run.result["error"] == "Stopped at a safe point"


@pytest.mark.parametrize("heartbeat_seconds", [0.3])
def test_a_run_whose_attempt_is_over_stops_and_says_no_more(service: Service, jobwright: Jobwright) -> None:
    run = jobwright.begin("stoppable")
    assert jobwright.call(run).status == 202
    run.end("failed", {"error": "timed out"})
    eventually(lambda: not service.runs._live, seconds=60)
    assert run.result == {"error": "timed out"}
    assert all("heartbeat" in refused or "logs" in refused or "progress" in refused for refused in jobwright.refused_reports)


def test_a_short_run_answers_with_its_log_and_reports_nothing(jobwright: Jobwright) -> None:
    run = jobwright.run("short")
    assert run.answers == [200]
    assert run.lines == ["run 1"]
    assert run.heartbeats == 0


def test_without_a_callback_the_call_waits_for_the_work(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(jobwright.call, run, callback=False)
        work.began.acquire()
        assert not answer.done()
        work.gate.set()
        assert answer.result().status == 200


# -- duplicates ------------------------------------------------------------------------------------------------------


def test_of_ten_duplicates_one_does_the_work(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("short")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: jobwright.call(run, attempt=1), range(10)))
    assert {answer.status for answer in answers} == {200}
    assert {answer.body["success"] for answer in answers} == {True}
    assert work.runs == 1


def test_duplicates_of_a_running_and_of_an_ended_run_get_its_answer(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert [jobwright.call(run, attempt=1).status for _ in range(5)] == [202] * 5
    work.gate.set()
    assert run.ended.wait(30)
    eventually(lambda: not jobwright.service.runs._live)
    again = jobwright.call(run, attempt=1)
    assert again.status == 200
    assert again.body["itemsProcessed"] == 1
    assert work.runs == 1


def test_a_further_attempt_of_what_has_succeeded_does_no_new_work(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("short")
    first = jobwright.call(run)
    second = jobwright.call(run)
    assert (first.status, second.status) == (200, 200)
    assert work.runs == 1


def test_a_further_attempt_of_what_has_failed_does_the_work_again(service: Service, jobwright: Jobwright, work: Work) -> None:
    @service.job("flaky", answer_within_seconds=30)
    def flaky(context: JobContext[Any]) -> None:
        work.runs += 1
        if work.runs == 1:
            raise JobFailed("not yet")

    run = jobwright.begin("flaky")
    assert [jobwright.call(run).body["success"] for _ in range(2)] == [False, True]
    assert work.runs == 2


def test_a_call_of_an_older_attempt_gets_409(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("short")
    jobwright.call(run, attempt=2)
    assert jobwright.call(run, attempt=1).status == 409
    assert work.runs == 1


def test_a_newer_attempt_takes_over_the_work_that_is_being_done(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert jobwright.call(run).status == 202
    work.began.acquire()
    assert jobwright.call(run).status == 202
    assert jobwright.call(run, attempt=1).status == 409
    run.attempt = 2
    run.ended.clear()
    work.gate.set()
    assert run.ended.wait(30)
    assert run.status == "success"
    assert work.runs == 1
    assert not jobwright.refused_reports


def test_a_newer_attempt_does_the_work_again_if_the_older_one_fails(service: Service, jobwright: Jobwright, work: Work) -> None:
    @service.job("fails-first", answer_within_seconds=0)
    def fails_first(context: JobContext[Any]) -> None:
        work.runs += 1
        if work.runs == 1:
            work.began.release()
            assert work.gate.wait(30)
            raise JobFailed("the connection broke")

    run = jobwright.begin("fails-first")
    assert jobwright.call(run).status == 202
    work.began.acquire()
    assert jobwright.call(run).status == 202
    work.gate.set()
    assert run.ended.wait(30)
    assert run.status == "success"
    assert work.runs == 2


@pytest.mark.parametrize("heartbeat_seconds", [0.3])
def test_a_cancel_reaches_the_work_that_an_older_attempt_began(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("stoppable")
    for _ in range(2):
        assert jobwright.call(run).status == 202
    run.cancelling = True
    assert run.ended.wait(60)
    assert run.result["error"] == "Stopped at a safe point"
    assert work.runs == 1


def test_work_that_an_older_attempt_began_is_handed_back_with_the_newer_one(service: Service, jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("stoppable")
    for _ in range(2):
        assert jobwright.call(run).status == 202
    service.drain(grace_seconds=0)
    assert run.result["error"] == "Handed back: the instance stops"
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "jobwright-stoppable"])


def test_a_state_that_cannot_be_written_does_not_lose_an_outcome(
    service: Service, jobwright: Jobwright, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(service.runs._state, "end", broken)
    assert jobwright.run("short").status == "success"
    eventually(lambda: not service.runs._live)


def test_the_lease_of_a_run_is_longer_than_its_renewal() -> None:
    assert 3 * RENEW_SECONDS < LEASE_SECONDS


def test_work_of_another_process_is_not_done_here(service: Service, work: Work) -> None:
    state = MemoryState()
    with Jobwright(service, state=state) as jobwright:
        run = jobwright.begin("short")
        state.begin(run.execution_id, 1)
        assert jobwright.call(run, attempt=1).status == 202
        assert jobwright.call(run, attempt=1, callback=False).status == 409
        busy = jobwright.call(run, attempt=2)
        # If that process has died, the next attempt takes the work over.
        assert busy.status == 409
        assert LEASE_SECONDS - 5 < int(busy.headers["Retry-After"]) <= LEASE_SECONDS + 1
    assert work.runs == 0


# -- what is refused -------------------------------------------------------------------------------------------------


def test_forged_requests_are_refused_and_do_nothing(jobwright: Jobwright, work: Work) -> None:
    jobwright.check_bad_requests_are_refused("short")
    assert work.runs == 0


def test_the_harness_names_forged_requests_that_are_taken(service: Service) -> None:
    with Jobwright(service) as jobwright:
        service.settings = Settings(verify=False)
        with pytest.raises(AssertionError, match="signed with another key"):
            jobwright.check_bad_requests_are_refused("short")


def sent(jobwright: Jobwright, body: bytes, *, method: str = "POST", job: str = "short") -> tuple[int, str]:
    run = jobwright.begin(job)
    run.attempt = 1
    request = jobwright._signed(run, body)
    response = jobwright.service.handle(Request(method, request.path, request.headers, body))
    return response.status, response.body["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b"[]", 422, "must be an object"),
        (b"{}", 422, "/executionId: is required"),
        (b'{"executionId": 3}', 422, "/executionId"),
        (b'{"executionId": "e", "jobName": "gated"}', 422, "/jobName: the address calls short, the body 'gated'"),
        (b'{"executionId": "e", "attempt": "1"}', 422, "/attempt"),
        (b'{"executionId": "e", "attempt": true}', 422, "/attempt"),
        (b'{"executionId": "e", "attempt": -1}', 422, "/attempt"),
        (b'{"executionId": "e", "config": []}', 200, ""),
        (b'{"executionId": "e", "config": [1]}', 422, "/config: must be an object"),
        (b'{"executionId": "e", "callback": "x"}', 422, "/callback/url"),
        (b'{"executionId": "e", "callback": {"url": "file:///etc/passwd"}}', 422, "/callback/url"),
        (b" " * 2_000_001, 413, "more than 2,000,000 bytes"),
    ],
)
def test_a_call_that_is_not_one_is_refused_with_its_place(jobwright: Jobwright, body: bytes, status: int, words: str) -> None:
    if status == 200:
        run = jobwright.begin("short")
        request = jobwright._signed(run, body)
        assert jobwright.service.handle(request).status == 200
        return
    found, error = sent(jobwright, body)
    assert found == status
    assert words in error


def test_only_post_runs_a_job(jobwright: Jobwright, work: Work) -> None:
    assert sent(jobwright, b'{"executionId": "e"}', method="GET") == (405, "Use POST")
    assert work.runs == 0


def test_a_config_of_another_type_is_a_permanent_failure_and_forgotten(service: Service, jobwright: Jobwright) -> None:
    def function(context: JobContext[Any], *, size: int = 1) -> dict[str, Any]:
        return {"size": size}

    job(service, function)
    run = jobwright.begin("job")
    refused = jobwright.call(run, {"size": "x"}, attempt=1)
    assert (refused.status, refused.body["error"]) == (422, "/config/size: must be a whole number")
    assert jobwright.call(run, {"size": 2}, attempt=1).body["metadata"] == {"size": 2}


def test_a_job_that_another_version_may_have_is_asked_for_again(jobwright: Jobwright) -> None:
    response = jobwright.call(jobwright.begin("unknown"))
    assert (response.status, response.headers["Retry-After"]) == (425, "10")


def test_a_retired_job_is_gone(service: Service, jobwright: Jobwright) -> None:
    service.retire("old")
    assert jobwright.call(jobwright.begin("old")).status == 410


def test_a_service_without_keys_takes_no_calls_but_by_choice(service: Service, work: Work) -> None:
    request = Request("POST", "/api/jobs/short/execute", {}, b'{"executionId": "e"}')
    assert service.handle(request).status == 401
    service.connect(Settings(verify=False))
    assert service.handle(request).status == 200
    assert work.runs == 1


def test_all_places_taken_means_later(service: Service, work: Work) -> None:
    service.connect(Settings(verify=False, most_running=2))

    def call(number: int) -> Any:
        body = {"executionId": f"e{number}", "callback": {"url": "http://127.0.0.1:9/x"}}
        return service.handle(Request("POST", "/api/jobs/gated/execute", {}, json.dumps(body).encode()))

    assert [call(number).status for number in range(2)] == [202, 202]
    full = call(2)
    assert (full.status, full.headers["Retry-After"]) == (429, "5")
    assert "All 2 places" in full.body["error"]
    work.gate.set()
    eventually(lambda: not service.runs._live, seconds=60)


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_service_that_stops_finishes_its_runs_and_takes_no_more(service: Service, jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert jobwright.call(run).status == 202
    drain = threading.Thread(target=service.drain, args=(30,))
    drain.start()
    eventually(lambda: jobwright.heartbeats and jobwright.heartbeats[-1]["state"] == "draining")
    assert jobwright.service.handle(jobwright.request(jobwright.begin("short"))).status == 200, "a call that was on its way"
    eventually(lambda: service.runs.draining)
    refused = jobwright.service.handle(jobwright.request(jobwright.begin("short")))
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert jobwright.service.handle(jobwright.request(run)).status == 202, "a duplicate of what still runs"
    work.gate.set()
    drain.join()
    assert run.status == "success"
    assert jobwright.heartbeats[-1]["state"] == "stopped"


def test_what_cannot_be_finished_is_handed_back(service: Service, jobwright: Jobwright, work: Work) -> None:
    stuck, polite = jobwright.begin("gated"), jobwright.begin("stoppable")
    for run in (stuck, polite):
        assert jobwright.call(run).status == 202
    service.drain(grace_seconds=0)
    for run in (stuck, polite):
        assert run.status == "failed"
        assert run.result["error"] == "Handed back: the instance stops"
        assert run.permanent is False
        assert run.result["retryAfterSeconds"] == 0


def test_a_call_that_waits_for_its_result_is_handed_back_with_503(service: Service, jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(jobwright.call, run, callback=False)
        work.began.acquire()
        service.drain(grace_seconds=0)
        assert (answer.result().status, answer.result().headers["Retry-After"]) == (503, "0")


def test_draining_twice_is_draining_once(service: Service, jobwright: Jobwright) -> None:
    service.drain()
    service.drain()
    assert [beat["state"] for beat in jobwright.heartbeats].count("stopped") == 1


# -- a Jobwright that is away ----------------------------------------------------------------------------------------


def test_an_end_is_reported_when_jobwright_is_back(jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert jobwright.call(run).status == 202
    jobwright.away = True
    work.gate.set()
    eventually(lambda: not jobwright.service.runs._live)
    assert not run.ended.is_set()
    jobwright.away = False
    assert run.ended.wait(60)
    assert run.status == "success"


def test_an_end_outlives_the_process_in_a_file(service: Service, work: Work, tmp_path: Any) -> None:
    from jobwright_client.state import FileState

    path = str(tmp_path / "state.db")
    with Jobwright(service, state=FileState(path)) as jobwright:
        run = jobwright.begin("gated")
        assert jobwright.call(run).status == 202
        jobwright.away = True
        work.gate.set()
        eventually(lambda: FileState(path).owed() == 1)
    jobwright.away = False
    after = Service("s", settings=Settings())
    after.connect(Settings(signing_keys=(jobwright.signing_key,)), transport=jobwright, state=FileState(path))
    after.start()
    assert run.ended.wait(60)
    assert run.status == "success"
    after.drain()


def test_reports_of_a_service_without_a_key_are_not_signed(service: Service, jobwright: Jobwright, work: Work) -> None:
    run = jobwright.begin("gated")
    assert jobwright.call(run).status == 202
    service._keys = Keys()
    work.gate.set()
    eventually(lambda: jobwright.refused_reports)
    assert "no signature" in jobwright.refused_reports[0] or "missing" in jobwright.refused_reports[0]
    service._keys = jobwright.keys
    assert run.ended.wait(60), "a refused signature is tried again, because a key may be rotated"


def test_what_goes_wrong_in_the_service_is_a_failure_that_is_tried_again(
    service: Service, jobwright: Jobwright, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(service.runs._state, "begin", broken)
    with caplog.at_level(logging.ERROR):
        assert jobwright.call(jobwright.begin("short")).status == 500
    assert "the disk is full" in caplog.text


def test_errors_have_one_root() -> None:
    assert issubclass(JobFailed, JobwrightError)
    assert issubclass(Cancelled, JobFailed)

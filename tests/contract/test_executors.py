"""What every executor promises (app.executors.base): the local one in both isolations, and the inline one. All of them run real templates.

A worker on Celery has the local executor. What is promised from the hand-over of a run to its end is tested there, too, with runs that a
real broker announced (`ways`). What happens inside an attempt is the same, however it came to the executor; so is a run that its executor
refuses or was never given.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import SYSTEM
from app.clock import ManualClock
from app.config import Settings
from app.executors.base import Executor, LogLine, Run
from app.executors.inline import InlineExecutor
from app.executors.local.executor import LocalExecutor
from app.factory import Store
from app.jobs.model import RetryOn, RetryPolicy
from app.node.work_source import PushedSource
from app.queue.execution import Execution
from app.queue.model import Attempt, Deferral, Outcome, Reason, Status, Trigger
from app.sandbox.kernel import boot_seconds
from app.sandbox.protocol import StopReason
from app.services import Services
from tests.builders.lines import OVER_CELERY, LineMaker, Lines
from tests.builders.queue import Queue, make_job, new_execution
from tests.support import KINDS, eventually

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOADS = {"noop": "jobwright_noop:Noop", "misbehave": "jobwright_test_kinds:Misbehave"}


class RecordingSink:
    """Keeps what is reported of each execution, in its order."""

    def __init__(self) -> None:
        self.events: dict[str, list[Any]] = {}

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        self.events.setdefault(attempt.execution_id, []).extend(lines)

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.events.setdefault(attempt.execution_id, []).append(progress)

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        self.events.setdefault(attempt.execution_id, []).append(outcome)

    def unwritten(self) -> dict[str, Attempt]:
        return {}


class Bench:
    """An executor with two places, and what it reports."""

    def __init__(self, executor: Executor, *, reused: bool) -> None:
        self.executor, self.sink, self.freed = executor, RecordingSink(), threading.Event()
        self.begin_until: Callable[[], float] = lambda: float("inf")
        self._reused, self._numbers = reused, itertools.count(1)

    def start(self) -> None:
        self.executor.start(self.sink, on_free=self.freed.set, begin_until=lambda: self.begin_until())

    def make(self, template: str, parameters: dict[str, Any], *, timeout_seconds: float = 30.0, **changes: Any) -> Run:
        attempt = Attempt(
            execution_id=f"e{next(self._numbers)}",
            number=2,
            token=1,
            job_id="j",
            job_name="j",
            template_type=template,
            template_version=1,
            code_version=1,
            parameters=parameters,
            timeout_seconds=timeout_seconds,
            started_at=NOW,
            began_at=NOW,
            retry_policy=RetryPolicy(),
            failed_attempts=1,
        )
        return Run(replace(attempt, **changes), parameters, {}, LOADS.get(template, template), reused=self._reused)

    def send(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Hands over; returns what was handed over."""
        self.executor.submit(runs)
        return runs

    def submit(self, template: str, parameters: dict[str, Any], **changes: Any) -> str:
        run = self.make(template, parameters, **changes)
        self.send([run])
        return run.attempt.execution_id

    def outcome(self, execution_id: str) -> Outcome:
        def last() -> Outcome | None:
            events = self.sink.events.get(execution_id)
            return events[-1] if events and isinstance(events[-1], Outcome) else None

        return eventually(last, seconds=30)

    def run(self, template: str, parameters: dict[str, Any], **changes: Any) -> Outcome:
        return self.outcome(self.submit(template, parameters, **changes))

    def lines(self, execution_id: str) -> list[str]:
        return [event.message for event in self.sink.events.get(execution_id, []) if isinstance(event, LogLine)]


class WorkerBench(Bench):
    """The executor of a worker on Celery: an execution waits in the queue, the broker announces it, the worker claims it, and its run is
    handed over."""

    def __init__(self, executor: Executor, lines: Lines, store: Store, services: Services, clock: ManualClock) -> None:
        super().__init__(executor, reused=False)
        self._queue, self._clock, self._services = Queue(store.database), clock, services
        self._lines, self._line = lines, lines.line(0)
        self._source = PushedSource(self._queue.worker(), clock)
        self._line.lead_to(self._source)

    def send(self, runs: Sequence[Run]) -> Sequence[Run]:
        waiting = {run.attempt.execution_id: run for run in runs}
        self._queue.queue.add([self._execution(execution_id) for execution_id in waiting])
        self._lines.announce(self._line, waiting)
        claimed = self._source.take(self.executor.capacity(), until=None)
        assert {attempt.execution_id for attempt in claimed} == set(waiting)
        return super().send([self._claimed(waiting[attempt.execution_id], attempt) for attempt in claimed])

    def _execution(self, execution_id: str) -> Execution:
        job = make_job(self._services, SYSTEM, name=execution_id)
        return new_execution(job, now=self._clock.now(), triggered_by=Trigger.API, execution_id=execution_id)

    @staticmethod
    def _claimed(run: Run, attempt: Attempt) -> Run:
        """What the test wants to run, as it was claimed."""
        return replace(run, attempt=replace(run.attempt, token=attempt.token, job_id=attempt.job_id, job_name=attempt.job_name))


BENCHES = ["local", "local reused", "inline"]
ways = pytest.mark.parametrize("bench", [*BENCHES, *OVER_CELERY], indirect=True)


@pytest.fixture(params=BENCHES)
def bench(settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, line_maker: LineMaker) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    bounded = replace(settings, pool_size=2, kill_grace_seconds=1.0, job_log_bytes=200_000)
    executor = InlineExecutor(bounded) if request.param == "inline" else LocalExecutor(bounded)
    lines = line_maker(request.param)
    if lines is None:
        made = Bench(executor, reused=request.param == "local reused")
    else:
        made = WorkerBench(executor, lines, *(request.getfixturevalue(name) for name in ("store", "services", "clock")))
    made.start()
    yield made
    executor.close()


def began(trace: Path, count: int = 1) -> None:
    """Waits until so many runs of `noop` have begun that were given this file."""
    eventually(lambda: trace.exists() and trace.read_text().count("start") == count, seconds=20)


# -- ends --------------------------------------------------------------------------------------------------------------


@ways
def test_a_success_has_its_result_and_its_times(bench: Bench) -> None:
    before = datetime.now(UTC)
    outcome = bench.run("noop", {"seconds": 0.2})
    assert (outcome.status, outcome.error, outcome.reason) == (Status.SUCCESS, None, None)
    assert outcome.result == {"message": "did nothing", "attempt": 2}
    assert 0.2 <= outcome.seconds < 20
    assert outcome.began_at is not None
    assert before <= outcome.began_at <= datetime.now(UTC)


def test_a_deferred_attempt_leaves_its_process_and_knows_where_to_report(bench: Bench) -> None:
    run = bench.make("misbehave", {"how": "defer"}, triggered_by="api", triggered_by_user="u1")
    reports = ("https://jobs.example.com/api/callbacks/t", "t")
    bench.executor.submit([replace(run, route=("http://10.0.0.7:7006", "i1"), callback=reports)])
    outcome = bench.outcome(run.attempt.execution_id)
    assert (outcome.status, outcome.deferral, outcome.error) == (Status.RUNNING, Deferral(heartbeat_seconds=20), None)
    line = bench.lines(run.attempt.execution_id)[0]
    assert line.startswith("api u1 Route(address='http://10.0.0.7:7006', instance='i1') CallbackAddress(url='https://jobs.example.com/api/")
    eventually(lambda: bench.executor.held() == {})


def test_an_attempt_without_an_address_for_reports_cannot_be_deferred(bench: Bench) -> None:
    outcome = bench.run("misbehave", {"how": "defer"})
    assert outcome.error is not None
    assert (outcome.status, outcome.error.type, outcome.error.permanent) == (Status.FAILED, "NotDeferrable", True)


def test_a_failure_may_say_when_to_try_again(bench: Bench) -> None:
    error = bench.run("misbehave", {"how": "ask_later"}).error
    assert error is not None
    assert error.retry_after_seconds == 33


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("raise", "ValueError", "no good"),
        ("sysexit", "SystemExit", "sys.exit(3)"),
        ("unserialisable", "UnserialisableResult", "not a JSON value"),
        ("wrong_type", "TypeError", "must return a JobResult"),
        ("huge_result", "ResultTooLarge", "JOBWRIGHT_JOB_RESULT_BYTES"),
    ],
)
def test_a_failure_says_what_went_wrong_and_may_be_tried_again(bench: Bench, how: str, kind: str, words: str) -> None:
    outcome = bench.run("misbehave", {"how": how})
    assert (outcome.status, outcome.result) == (Status.FAILED, None)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.kind, outcome.error.permanent) == (kind, RetryOn.ERROR, False)
    assert words in outcome.error.message


def test_an_unexpected_error_has_its_traceback(bench: Bench) -> None:
    outcome = bench.run("misbehave", {"how": "raise"})
    assert outcome.error is not None
    assert "jobwright_test_kinds.py" in outcome.error.traceback


@ways
def test_a_permanent_error_keeps_what_was_achieved(bench: Bench) -> None:
    outcome = bench.run("misbehave", {"how": "permanent"})
    assert outcome.error is not None
    assert (outcome.status, outcome.error.permanent, outcome.result) == (Status.FAILED, True, {"done": 3})


def test_a_template_that_cannot_be_loaded_is_a_permanent_failure_and_harms_no_other(bench: Bench) -> None:
    outcome = bench.run("jobwright_noop:Missing", {})
    assert outcome.error is not None
    assert (outcome.status, outcome.error.type, outcome.error.permanent) == (Status.FAILED, "TemplateBroken", True)
    assert "Missing" in outcome.error.message
    assert bench.run("noop", {}).status is Status.SUCCESS


@ways
def test_a_run_over_its_time_is_stopped(bench: Bench) -> None:
    outcome = bench.run("noop", {"seconds": 60}, timeout_seconds=0.5)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.kind, outcome.error.message) == (Status.TIMEOUT, RetryOn.TIMEOUT, "Ran longer than 0.5 s")
    assert 0.5 <= outcome.seconds < 20


@ways
@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        (StopReason.CANCEL, Status.CANCELLED, None),
        (StopReason.REPLACED, Status.CANCELLED, Reason.REPLACED),
        (StopReason.DRAIN, Status.CANCELLED, Reason.HANDED_BACK),
        (StopReason.LEASE_LOST, Status.FAILED, Reason.LOST_WORKER),
    ],
)
def test_a_stopped_run_ends_for_the_reason_of_the_stop(
    bench: Bench, tmp_path: Path, reason: StopReason, status: Status, why: Reason | None
) -> None:
    run = bench.submit("noop", {"seconds": 60, "file": str(tmp_path / "trace")})
    began(tmp_path / "trace")
    bench.executor.stop(run, reason, grace_seconds=1.0)
    bench.executor.stop(run, StopReason.TIMEOUT)  # the first reason stays
    outcome = bench.outcome(run)
    assert (outcome.status, outcome.reason) == (status, why)
    assert "end" not in (tmp_path / "trace").read_text()


@ways
def test_a_stop_that_comes_with_the_start_is_not_lost(bench: Bench) -> None:
    run = bench.submit("noop", {"seconds": 60})
    bench.executor.stop(run, StopReason.CANCEL)
    assert bench.outcome(run).status is Status.CANCELLED


def test_a_stop_of_an_unknown_execution_does_nothing(bench: Bench) -> None:
    bench.executor.stop("no such execution", StopReason.CANCEL)
    assert bench.run("noop", {}).status is Status.SUCCESS


def test_a_dry_run_is_the_preview_of_the_template(bench: Bench) -> None:
    outcome = bench.run("noop", {}, dry=True)
    assert outcome.error is not None
    assert (outcome.error.message, outcome.error.permanent) == ("This template has no preview", True)


def test_a_template_may_be_asynchronous(bench: Bench) -> None:
    assert bench.run("misbehave", {"how": "async"}).result == {"message": "async"}


# -- reports -----------------------------------------------------------------------------------------------------------


def test_log_and_progress_come_before_the_end_and_nothing_after_it(bench: Bench) -> None:
    run = bench.submit("misbehave", {"how": "report"})
    bench.outcome(run)
    time.sleep(0.3)
    events = bench.sink.events[run]
    assert [type(event) is Outcome for event in events] == [False] * (len(events) - 1) + [True]
    assert bench.lines(run) == ["first", "second"]
    assert [event.level for event in events if isinstance(event, LogLine)] == ["INFO", "WARNING"]
    assert [event for event in events if isinstance(event, dict)][-1] == {"done": 4, "total": 4, "note": "all"}


def test_a_log_is_bounded_and_says_so_once(bench: Bench) -> None:
    run = bench.submit("misbehave", {"how": "flood_log"})
    assert bench.outcome(run).status is Status.SUCCESS
    lines = bench.lines(run)
    assert sum(map(len, lines)) < 250_000
    assert [line for line in lines if "The log is full" in line] == [lines[-1]]


def test_odd_reports_are_kept_and_the_run_goes_on(bench: Bench) -> None:
    run = bench.submit("misbehave", {"how": "odd_progress"})
    assert bench.outcome(run).status is Status.SUCCESS
    (progress,) = [event for event in bench.sink.events[run] if isinstance(event, dict)]
    assert (progress["done"], progress["total"]) == (2**63 - 1, 0)


def test_the_folder_of_an_attempt_is_its_own_and_gone_after_it(bench: Bench, settings: Settings) -> None:
    for _ in range(2):
        outcome = bench.run("misbehave", {"how": "write_file"})
        assert outcome.result is not None
        assert (outcome.status, outcome.result["found"]) == (Status.SUCCESS, [])
        assert str(outcome.result["folder"]).startswith(str(settings.data_path))
        eventually(lambda outcome=outcome: not (Path(outcome.result["folder"]) / "kept").exists())


# -- what it holds -----------------------------------------------------------------------------------------------------


@ways
def test_it_holds_a_run_until_its_end_is_reported(bench: Bench, tmp_path: Path) -> None:
    assert (bench.executor.held(), bench.executor.capacity()) == ({}, 2)
    (run,) = bench.send([bench.make("noop", {"seconds": 60, "file": str(tmp_path / "trace")})])
    assert bench.executor.held() == {run.attempt.execution_id: run.attempt}
    assert bench.executor.capacity() == 1
    began(tmp_path / "trace")
    eventually(lambda: not bench.executor.has_waiting())
    assert not bench.freed.is_set()
    bench.executor.stop(run.attempt.execution_id, StopReason.CANCEL)
    bench.outcome(run.attempt.execution_id)
    eventually(bench.freed.is_set)
    eventually(lambda: bench.executor.held() == {})
    assert bench.executor.capacity() >= 1


@ways
def test_two_runs_are_at_work_at_once(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    runs = [bench.make("noop", {"seconds": 60, "file": str(trace)}) for _ in range(2)]
    bench.send(runs)
    began(trace, 2)
    assert bench.executor.capacity() == 0
    first, second = (run.attempt.execution_id for run in runs)
    bench.executor.stop(first, StopReason.CANCEL)
    assert bench.outcome(first).status is Status.CANCELLED
    eventually(lambda: list(bench.executor.held()) == [second])  # the other one goes on
    bench.executor.stop(second, StopReason.CANCEL)
    assert bench.outcome(second).status is Status.CANCELLED


@ways
def test_each_of_many_runs_ends_exactly_once(bench: Bench) -> None:
    runs: list[str] = []
    while len(runs) < 60:
        eventually(lambda: bench.executor.capacity() > 0)
        runs.append(bench.submit("noop" if len(runs) % 7 else "misbehave", {} if len(runs) % 7 else {"how": "raise"}))
    outcomes = [bench.outcome(run) for run in runs]
    assert [outcome.status for outcome in outcomes] == [Status.SUCCESS if n % 7 else Status.FAILED for n in range(60)]
    assert all(sum(isinstance(event, Outcome) for event in bench.sink.events[run]) == 1 for run in runs)
    eventually(lambda: bench.executor.held() == {})


# -- permission to begin, and the close --------------------------------------------------------------------------------


def test_a_run_that_may_not_begin_is_not_begun(bench: Bench, tmp_path: Path) -> None:
    """It waits and can be released, or it ends as handed back: in both cases it goes back to the queue."""
    bench.begin_until = lambda: boot_seconds() - 1
    run = bench.submit("noop", {"file": str(tmp_path / "trace")})
    released = bench.executor.release_waiting(0.0)
    if not released:
        outcome = bench.outcome(run)
        assert (outcome.status, outcome.reason, outcome.began_at) == (Status.CANCELLED, Reason.HANDED_BACK, None)
    else:
        assert [attempt.execution_id for attempt in released] == [run]
        assert run not in bench.sink.events
    assert (bench.executor.held(), bench.executor.has_waiting()) == ({}, False)
    bench.begin_until = lambda: float("inf")
    assert bench.run("noop", {}).status is Status.SUCCESS
    assert not (tmp_path / "trace").exists()


@ways
def test_closing_ends_what_runs_and_reports_nothing_more(bench: Bench, tmp_path: Path, settings: Settings) -> None:
    trace = tmp_path / "trace"
    run = bench.submit("noop", {"seconds": 2, "file": str(trace)})
    began(trace)
    bench.executor.close()
    reported = list(bench.sink.events.get(run, []))
    time.sleep(2.5)
    assert "end" not in trace.read_text()
    assert bench.sink.events.get(run, []) == reported
    assert not any(isinstance(event, Outcome) for event in reported)
    assert list((settings.data_path / "work").glob("*")) == []
    bench.executor.close()  # a second time does nothing


@pytest.mark.parametrize("kind", [LocalExecutor, InlineExecutor])
def test_an_executor_that_was_never_started_can_be_closed(kind: type[LocalExecutor | InlineExecutor], settings: Settings) -> None:
    kind(settings).close()

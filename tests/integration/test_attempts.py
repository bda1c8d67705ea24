"""What becomes of attempts that do everything wrong: the local executor with real processes (design.md 5: 5 and 6)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.execution.executors.base import LogLine, Run
from app.execution.executors.local import LocalExecutor
from app.execution.judge import CANCEL, DRAIN
from app.execution.model import Attempt, Outcome, Reason, Status
from app.jobs.model import RetryOn
from tests.support import KINDS, alive, eventually


class RecordingSink:
    """Keeps what an executor reports."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.logs: dict[str, list[LogLine]] = {}
        self.steps: dict[str, list[Mapping[str, Any]]] = {}

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        self.logs.setdefault(attempt.execution_id, []).extend(lines)

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.steps.setdefault(attempt.execution_id, []).append(progress)

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        assert attempt.execution_id not in self.outcomes, "an end was reported twice"
        self.outcomes[attempt.execution_id] = outcome

    def unwritten(self) -> dict[str, Attempt]:
        return {}


class Bench:
    def __init__(self, executor: LocalExecutor, sink: RecordingSink) -> None:
        self.executor, self.sink, self._count = executor, sink, 0

    def start(self, template: str, parameters: dict[str, Any], *, timeout: float = 30.0) -> str:
        self._count += 1
        now = datetime.now(UTC)
        attempt = Attempt(
            execution_id=f"e{self._count}", number=1, token=1, job_id="j", template_type=template, parameters=parameters,
            timeout_seconds=timeout, started_at=now, began_at=now, retry_policy={}, failed_attempts=1,
        )  # fmt: skip
        self.executor.submit([Run(attempt, parameters, {})])
        return attempt.execution_id

    def outcome(self, execution_id: str, seconds: float = 20.0) -> Outcome:
        return eventually(lambda: self.sink.outcomes.get(execution_id), seconds=seconds)

    def text(self, execution_id: str) -> list[str]:
        return [line.message for line in self.sink.logs.get(execution_id, [])]


@pytest.fixture
def bench(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    monkeypatch.setenv("MONGODB_URI", "mongodb://canary-secret")
    monkeypatch.setenv("JOBWRIGHT_SECRET_KEY", "canary-secret")
    bounded = replace(settings, job_memory_mb=1024, job_log_bytes=200_000, job_processes=20, kill_grace_seconds=0.5, pool_size=8)
    executor, sink = LocalExecutor(bounded), RecordingSink()
    executor.start(sink, on_free=lambda: None)
    yield Bench(executor, sink)
    executor.close()


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("raise", "ValueError", "no good"),
        ("permanent", "TemplateError", "never"),
        ("sysexit", "SystemExit", "sys.exit(3)"),
        ("hard_exit", "ProcessDied", "status 7"),
        ("segfault", "ProcessDied", "SIGSEGV"),
        ("unserialisable", "UnserialisableResult", "no JSON value"),
        ("nan", "UnserialisableResult", "no JSON value"),
        ("wrong_type", "TypeError", "must return a JobResult"),
        ("huge_result", "ResultTooLarge", "JOBWRIGHT_JOB_RESULT_BYTES"),
        ("memory", "MemoryError", "1024 MiB"),
        ("many_files", "OSError", "Too many open files"),
        ("many_processes", "TooManyProcesses", "JOBWRIGHT_JOB_PROCESSES"),
        ("no_such_thing", "AttributeError", "no_such_thing"),
    ],
)
def test_each_wrong_end_is_a_failed_attempt_with_a_readable_reason(bench: Bench, how: str, kind: str, words: str) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": how}))
    assert outcome.status is Status.FAILED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.kind) == (kind, RetryOn.ERROR)
    assert words in outcome.error.message
    assert outcome.error.permanent is (how == "permanent")


def test_what_was_achieved_before_a_failure_is_kept(bench: Bench) -> None:
    assert bench.outcome(bench.start("misbehave", {"how": "permanent"})).result == {"done": 3}


def test_an_error_nobody_expected_keeps_its_traceback(bench: Bench) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": "raise"}))
    assert outcome.error is not None
    assert "jobwright_test_kinds.py" in outcome.error.traceback


@pytest.mark.parametrize(("how", "message"), [("async", "async"), ("closed_stdout", "closed"), ("talk", "talked")])
def test_unusual_but_right_ends_are_successes(bench: Bench, how: str, message: str) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": how}))
    assert (outcome.status, outcome.error) == (Status.SUCCESS, None)
    assert outcome.result == {"message": message}


def test_prints_logging_and_children_reach_the_log_and_progress_its_end(bench: Bench) -> None:
    run = bench.start("misbehave", {"how": "talk"})
    bench.outcome(run)
    assert sorted(bench.text(run)) == ["from a child", "from a library", "no newline", "to stderr", "to stdout"]
    assert {line.level for line in bench.sink.logs[run] if line.message == "from a library"} == {"WARNING"}
    assert bench.sink.steps[run][-1] == {"done": 4, "total": 4, "note": "all"}


@pytest.mark.parametrize("how", ["flood_print", "flood_log"])
def test_a_flood_is_cut_off_once_and_the_run_goes_on(bench: Bench, how: str) -> None:
    run = bench.start("misbehave", {"how": how})
    assert bench.outcome(run).status is Status.SUCCESS
    lines = bench.text(run)
    assert sum(map(len, lines)) < 250_000
    assert [line for line in lines if "The log is full" in line] == [lines[-1]]


def test_a_job_that_ignores_sigterm_is_gone_with_its_whole_tree_after_timeout_and_grace(bench: Bench, tmp_path: Path) -> None:
    began = time.monotonic()
    run = bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")}, timeout=1.0)
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)
    outcome = bench.outcome(run)
    assert time.monotonic() - began < 1.0 + 5.0
    assert outcome.status is Status.TIMEOUT
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.message) == (RetryOn.TIMEOUT, "Ran longer than 1 s")
    assert [pid for pid in pids if alive(pid)] == []


def test_eight_stubborn_trees_are_ended_side_by_side(bench: Bench, tmp_path: Path) -> None:
    began = time.monotonic()
    runs = [bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / f"pids{n}")}, timeout=1.0) for n in range(8)]
    for run in runs:
        assert bench.outcome(run).status is Status.TIMEOUT
    assert time.monotonic() - began < 6.0
    pids = [int(pid) for n in range(8) for pid in (tmp_path / f"pids{n}").read_text().split()]
    assert [pid for pid in pids if alive(pid)] == []


def test_a_daemon_left_behind_by_a_good_run_is_ended(bench: Bench, tmp_path: Path) -> None:
    assert bench.outcome(bench.start("misbehave", {"how": "daemon_left", "file": str(tmp_path / "pid")})).status is Status.SUCCESS
    assert not alive(int((tmp_path / "pid").read_text()))


def test_cancel_stops_at_a_safe_point_and_a_stubborn_one_all_the_same(bench: Bench) -> None:
    polite, rude = bench.start("noop", {"seconds": 60}), bench.start("misbehave", {"how": "burn"})
    time.sleep(0.3)  # both are past their start; an earlier stop is the next test's
    for run in (polite, rude):
        bench.executor.stop_attempt(run, CANCEL)
        assert bench.outcome(run, 5.0).status is Status.CANCELLED


def test_a_stop_that_comes_with_the_start_is_not_lost(bench: Bench) -> None:
    run = bench.start("noop", {"seconds": 60})
    bench.executor.stop_attempt(run, CANCEL)
    assert bench.outcome(run, 5.0).status is Status.CANCELLED


def test_a_drained_run_is_handed_back_not_failed(bench: Bench) -> None:
    run = bench.start("noop", {"seconds": 60})
    bench.executor.stop_attempt(run, DRAIN, grace_seconds=0.0)
    outcome = bench.outcome(run, 5.0)
    assert (outcome.status, outcome.reason) == (Status.CANCELLED, Reason.HANDED_BACK)


def test_the_child_sees_no_credential_and_not_the_registry(bench: Bench) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": "look_around"}))
    assert outcome.result is not None
    assert not [name for name in outcome.result["environment"] if name.startswith(("JOBWRIGHT_", "MONGODB_"))]
    assert not {"app.mongo", "app.config", "app.connections.vault"} & set(outcome.result["modules"])


def test_the_attempts_own_folder_is_gone_after_it(bench: Bench, settings: Settings) -> None:
    bench.outcome(bench.start("noop", {}))
    assert list((settings.data_path / "work").glob("*/*")) == []


def test_a_dead_zygote_loses_its_attempts_loudly_and_is_replaced(bench: Bench) -> None:
    run = bench.start("noop", {"seconds": 60})
    time.sleep(0.2)  # it must be running, not waiting in the inbox
    zygote = bench.executor._zygote
    assert zygote is not None
    os.kill(zygote.pid, signal.SIGKILL)
    outcome = bench.outcome(run)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.kind) == (Status.FAILED, RetryOn.LOST_WORKER)
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


def test_large_parameters_reach_the_child_whole(bench: Bench) -> None:
    run = bench.start("misbehave", {"how": "talk", "file": "x" * 1_500_000})
    assert bench.outcome(run).status is Status.SUCCESS


def test_closing_the_executor_ends_every_tree(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    executor, sink = LocalExecutor(settings), RecordingSink()
    executor.start(sink, on_free=lambda: None)
    bench = Bench(executor, sink)
    bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")})
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    executor.close()
    assert [pid for pid in pids if alive(pid)] == []
    assert not [thread for thread in threading.enumerate() if thread.name == "local-executor"]

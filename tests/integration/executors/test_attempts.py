"""What becomes of attempts that do everything wrong: the local executor with real processes (design.md 5: 5 and 6)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.config import Settings
from app.executors.local.executor import LocalExecutor
from app.jobs.model import RetryOn
from app.queue.model import Reason, Status
from app.sandbox.cgroup import make_home, remove_home
from app.sandbox.protocol import StopReason
from tests.builders.attempts import Bench, RecordingSink
from tests.support import KINDS, alive, eventually


@pytest.fixture(params=["process", "reused"])
def bench(settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An executor, once for each isolation: whatever a run does wrong ends the same in both."""
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    monkeypatch.setenv("MONGODB_URI", "mongodb://canary-secret")
    monkeypatch.setenv("JOBWRIGHT_SECRET_KEY", "canary-secret")
    bounded = replace(settings, job_memory_mb=1024, job_log_bytes=200_000, job_processes=20, kill_grace_seconds=0.5, pool_size=8)
    executor, sink = LocalExecutor(bounded), RecordingSink()
    yield Bench(executor, sink, reused=request.param == "reused")
    executor.close()


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("raise", "ValueError", "no good"),
        ("permanent", "TemplateError", "never"),
        ("sysexit", "SystemExit", "sys.exit(3)"),
        ("hard_exit", "ProcessDied", "exit code 7"),
        ("segfault", "ProcessDied", "SIGSEGV"),
        ("unserialisable", "UnserialisableResult", "not a JSON value"),
        ("nan", "UnserialisableResult", "not a JSON value"),
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
        bench.executor.stop(run, StopReason.CANCEL)
        assert bench.outcome(run, 5.0).status is Status.CANCELLED


def test_a_stop_that_comes_with_the_start_is_not_lost(bench: Bench) -> None:
    run = bench.start("noop", {"seconds": 60})
    bench.executor.stop(run, StopReason.CANCEL)
    assert bench.outcome(run, 5.0).status is Status.CANCELLED


def test_a_drained_run_is_handed_back_not_failed(bench: Bench) -> None:
    run = bench.start("noop", {"seconds": 60})
    bench.executor.stop(run, StopReason.DRAIN, grace_seconds=0.0)
    outcome = bench.outcome(run, 5.0)
    assert (outcome.status, outcome.reason) == (Status.CANCELLED, Reason.HANDED_BACK)


def test_the_child_sees_no_credential_and_not_the_registry(bench: Bench) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": "look_around"}))
    assert outcome.result is not None
    assert not [name for name in outcome.result["environment"] if name.startswith(("JOBWRIGHT_", "MONGODB_"))]
    assert not {"app.mongo", "app.config", "app.connections.vault"} & set(outcome.result["modules"])


def test_the_attempts_own_folder_is_gone_after_it(bench: Bench, settings: Settings) -> None:
    outcome = bench.outcome(bench.start("misbehave", {"how": "write_here"}))
    assert outcome.result is not None
    assert outcome.result["found"] == [], "what an earlier one wrote"
    assert list((settings.data_path / "work").glob("*/*" if not bench.reused else "*/*/*")) == []
    assert bench.outcome(bench.start("misbehave", {"how": "write_here"})).result == outcome.result


@pytest.mark.parametrize("which", ["root", "kind"])
def test_a_dead_zygote_loses_its_attempts_loudly_and_is_replaced(bench: Bench, tmp_path: Path, which: str) -> None:
    trace = tmp_path / "trace"
    run = bench.start("noop", {"seconds": 60, "file": str(trace)})
    child = eventually(lambda: trace.exists() and trace.read_text().endswith("\n") and int(trace.read_text().split()[3]))
    root = bench.executor.root_pid
    assert root is not None
    kind = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(root if which == "root" else kind, signal.SIGKILL)
    outcome = bench.outcome(run)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.kind) == (Status.FAILED, RetryOn.LOST_WORKER)
    eventually(lambda: not alive(child))
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


def test_large_parameters_reach_the_child_whole(bench: Bench) -> None:
    run = bench.start("misbehave", {"how": "talk", "file": "x" * 1_500_000})
    assert bench.outcome(run).status is Status.SUCCESS


def test_closing_the_executor_ends_every_tree(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    executor, sink = LocalExecutor(settings), RecordingSink()
    bench = Bench(executor, sink)
    bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")})
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    executor.close()
    assert [pid for pid in pids if alive(pid)] == []
    assert not [thread for thread in threading.enumerate() if thread.name == "local-executor"]


# -- reused processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def one_place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """One place, so that short runs are lined up in one reused process."""
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    executor, sink = LocalExecutor(replace(settings, pool_size=1, kill_grace_seconds=0.5)), RecordingSink()
    yield Bench(executor, sink, reused=True)
    executor.close()


def pid_of(bench: Bench, run: str) -> int:
    result = bench.outcome(run).result
    assert result is not None
    return int(result["pid"])


def practise(bench: Bench) -> None:
    """Runs so short that the executor takes more of them than there are places."""
    for _ in range(60):
        bench.outcome(bench.start("noop", {}))
    assert bench.executor.capacity() > 1


def test_runs_that_are_lined_up_keep_what_they_print_apart(one_place: Bench) -> None:
    practise(one_place)
    runs = [one_place.start("misbehave", {"how": "echo", "file": str(n)}) for n in range(200)]
    pids = {pid_of(one_place, run) for run in runs}
    for n, run in enumerate(runs):
        assert "".join(one_place.text(run)) == f"raw {n};print {n}"
    assert len(pids) == 1


@pytest.mark.parametrize("how", ["raise", "sysexit", "hard_exit", "leave_environment", "leave_thread", "daemon_left", "closed_stdout"])
def test_a_process_that_may_be_spoilt_is_not_used_again(one_place: Bench, tmp_path: Path, how: str) -> None:
    before = pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"}))
    assert pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"})) == before
    spoilt = one_place.start("misbehave", {"how": how, "file": str(tmp_path / "pid")})
    after = [one_place.start("misbehave", {"how": "echo", "file": "y"}) for _ in range(5)]
    one_place.outcome(spoilt)
    assert before not in {pid_of(one_place, run) for run in after}


def test_a_template_that_moves_the_log_or_the_signal_hurts_only_itself(one_place: Bench) -> None:
    first = pid_of(one_place, one_place.start("misbehave", {"how": "leave_logging"}))
    run = one_place.start("noop", {})
    assert one_place.outcome(run).status is Status.SUCCESS
    talk = one_place.start("misbehave", {"how": "talk"})
    assert one_place.outcome(talk).status is Status.SUCCESS
    assert "from a library" in one_place.text(talk)
    assert pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"})) == first


def test_stopping_one_of_those_lined_up_stops_no_other(one_place: Bench) -> None:
    """The first is at work, one behind it is stopped: before it has begun, and after."""
    practise(one_place)
    runs = [one_place.start("noop", {"seconds": 0.05}) for _ in range(12)]
    for number in (5, 9):
        one_place.executor.stop(runs[number], StopReason.CANCEL)
    statuses = [one_place.outcome(run).status for run in runs]
    assert statuses == [Status.CANCELLED if n in (5, 9) else Status.SUCCESS for n in range(12)]


def test_those_behind_one_that_dies_run_all_the_same(one_place: Bench) -> None:
    practise(one_place)
    dying = one_place.start("misbehave", {"how": "hard_exit"})
    behind = [one_place.start("misbehave", {"how": "echo", "file": "x"}) for _ in range(8)]
    assert one_place.outcome(dying).status is Status.FAILED
    assert {one_place.outcome(run).status for run in behind} == {Status.SUCCESS}


def test_what_finds_no_place_is_given_back(one_place: Bench) -> None:
    practise(one_place)
    long = one_place.start("noop", {"seconds": 60})
    waiting = [one_place.start("misbehave", {"how": "echo", "file": "x"}) for _ in range(3)]
    assert one_place.executor.release_waiting(60.0) == []
    taken = eventually(lambda: one_place.executor.release_waiting(0.2))
    assert [attempt.execution_id for attempt in taken] == waiting
    assert set(one_place.executor.held()) == {long}
    assert one_place.executor.capacity() == 0, "it has learnt that it took too much"
    one_place.executor.stop(waiting[0], StopReason.CANCEL)  # it is no longer here
    one_place.executor.stop(long, StopReason.CANCEL)
    assert one_place.outcome(long).status is Status.CANCELLED
    assert not set(waiting) & set(one_place.sink.outcomes)


def test_a_run_that_waits_for_a_place_can_be_stopped(one_place: Bench) -> None:
    one_place.start("noop", {"seconds": 60})
    waiting = one_place.start("misbehave", {"how": "echo", "file": "x"})
    one_place.executor.stop(waiting, StopReason.CANCEL)
    assert one_place.outcome(waiting).status is Status.CANCELLED


def test_a_kind_that_cannot_be_imported_says_so_and_harms_no_other(bench: Bench) -> None:
    run = bench.start("jobwright_noop:Missing", {})
    outcome = bench.outcome(run)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.permanent) == ("TemplateBroken", True)
    assert "Missing" in outcome.error.message
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


def test_an_idle_process_ends(one_place: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.executors.local.supervisor.IDLE_SECONDS", 0.2)
    pid = pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"}))
    eventually(lambda: not alive(pid))
    assert pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"})) != pid


def test_a_process_serves_so_many_runs_and_no_more(one_place: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.executors.local.supervisor.RUNS_A_PROCESS", 10)
    pids = [pid_of(one_place, one_place.start("misbehave", {"how": "echo", "file": "x"})) for _ in range(35)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [10, 10, 10, 5]


# -- control groups -----------------------------------------------------------------------------------------------------

GROUPS = make_home(whole=False)
if GROUPS is not None:
    remove_home(GROUPS)
in_groups = pytest.mark.skipif(GROUPS is None, reason="no control groups of version 2 that this user may make")


def group_of(pid: int) -> str:
    return next(line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))


@in_groups
def test_an_attempt_has_a_control_group_that_goes_with_it(bench: Bench, tmp_path: Path) -> None:
    run = bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")})
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    (group,) = {group_of(pid) for pid in pids}
    assert f"jobwright-{bench.executor.root_pid}/" in group
    other = bench.start("noop", {})
    bench.outcome(other)
    bench.executor.stop(run, StopReason.CANCEL, grace_seconds=0.0)
    bench.outcome(run)
    assert [pid for pid in pids if alive(pid)] == []
    assert not [path for path in Path("/sys/fs/cgroup").rglob(group.rpartition("/")[2]) if path.parent.name == group.split("/")[-2]]


@in_groups
def test_what_outlives_both_parents_is_ended_by_the_next_root(bench: Bench, tmp_path: Path) -> None:
    """Root and zygote are killed at once: the attempt dies with them, its orphans in sessions of their own have no parent left."""
    run = bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")})
    child, *orphans = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    root = bench.executor.root_pid
    assert root is not None
    kind = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (root, kind):
        os.kill(pid, signal.SIGSTOP)  # neither can end the tree in the moment in which it outlives the other
    for pid in (root, kind):
        os.kill(pid, signal.SIGKILL)
    assert bench.outcome(run).reason is Reason.LOST_WORKER
    eventually(lambda: not any(alive(pid) for pid in (child, *orphans)))
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


def test_without_control_groups_a_tree_is_ended_all_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    executor, sink = LocalExecutor(replace(settings, cgroup="off", kill_grace_seconds=0.5)), RecordingSink()
    bench = Bench(executor, sink)
    run = bench.start("misbehave", {"how": "stubborn_tree", "file": str(tmp_path / "pids")}, timeout=1.0)
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    assert not [pid for pid in pids if "jobwright-" in group_of(pid)]
    assert bench.outcome(run).status is Status.TIMEOUT
    assert [pid for pid in pids if alive(pid)] == []
    executor.close()

"""How many runs the local executor takes, and where each of them goes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.executors.base import Run
from app.executors.local.backlog import (
    LINED_UP,
    MOST_AHEAD,
    SHORT_SECONDS,
    SMOOTHING,
    Backlog,
    Placement,
    are_short,
    capacity,
    choose,
    line_up,
    read_ahead,
    smoothed,
)
from app.jobs.model import RetryPolicy
from app.queue.model import Attempt

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHORT, LONG = SHORT_SECONDS / 5, SHORT_SECONDS * 100


def make_run(number: int = 1, *, load: str = "m:A", reused: bool = True) -> Run:
    attempt = Attempt(
        execution_id=f"e{number}",
        number=1,
        token=1,
        job_id="j",
        job_name="j",
        template_type="t",
        template_version=1,
        code_version=1,
        parameters={},
        timeout_seconds=5,
        started_at=NOW,
        began_at=NOW,
        retry_policy=RetryPolicy(),
        failed_attempts=1,
    )
    return Run(attempt, {}, {}, load, reused=reused)


@dataclass
class Process:
    """A process as `choose` sees it, with so many runs."""

    count: int = 0
    load: str = "m:A"
    reused: bool = True
    closing: bool = False
    runs: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.runs = list(range(self.count))


# -- how many runs it takes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool_size", "mean_seconds", "ahead"),
    [
        (4, None, 0),
        (4, 0.1, 0),
        (4, 60.0, 0),
        (4, 0.05, 8),
        (4, 0.001, 400),
        (1, 0.001, 100),
        (4, 0.0001, MOST_AHEAD),
        (4, 0.0, MOST_AHEAD),
    ],
)
def test_short_runs_are_taken_ahead(pool_size: int, mean_seconds: float | None, ahead: int) -> None:
    assert read_ahead(pool_size, mean_seconds) == ahead


@pytest.mark.parametrize(
    ("held", "mean_seconds", "room"),
    [
        (0, None, 4),
        (3, None, 1),
        (4, None, 0),
        (9, None, 0),
        (0, 1.0, 4),
        (0, 0.001, 404),
        (303, 0.001, 101),
        (304, 0.001, 0),  # a quarter of the 400 is not worth a claim
        (404, 0.001, 0),
    ],
)
def test_a_claim_is_for_free_processes_or_for_many_runs(held: int, mean_seconds: float | None, room: int) -> None:
    assert capacity(4, held, mean_seconds) == room


@given(st.integers(1, 50), st.integers(0, 2_000), st.none() | st.floats(0, 100))
def test_it_never_holds_more_than_its_processes_and_the_read_ahead(pool_size: int, held: int, mean_seconds: float | None) -> None:
    room = capacity(pool_size, held, mean_seconds)
    assert room >= 0
    assert room == 0 or held + room <= pool_size + MOST_AHEAD


@pytest.mark.parametrize(("mean_seconds", "short"), [(None, False), (0.0, False), (SHORT, True), (SHORT_SECONDS, False), (LONG, False)])
def test_runs_are_short_by_their_mean(mean_seconds: float | None, short: bool) -> None:
    assert are_short(mean_seconds) is short


@pytest.mark.parametrize(
    ("lined_up", "waiting", "pool_size", "count"),
    [
        (0, 0, 4, 1),
        (0, 3, 4, 1),
        (0, 40, 4, 10),
        (0, 1_000, 4, LINED_UP),
        (8, 1_000, 4, LINED_UP - 8),
        (8, 40, 1, LINED_UP - 8),
        (LINED_UP, 1_000, 4, 1),
    ],
)
def test_a_process_gets_a_fair_share_of_what_waits(lined_up: int, waiting: int, pool_size: int, count: int) -> None:
    assert line_up(lined_up, waiting, pool_size) == count


def test_the_mean_moves_by_a_share_of_each_run() -> None:
    assert smoothed(None, 3.0) == 3.0
    assert smoothed(1.0, 2.0) == pytest.approx(1.0 + SMOOTHING)


# -- where a run goes --------------------------------------------------------------------------------------------------


def test_a_run_with_a_process_of_its_own_gets_one_while_there_is_room() -> None:
    run = make_run(reused=False)
    one = Process(1, reused=False)
    assert choose(run, [], pool_size=2, mean_seconds=None) is Placement.FORK
    assert choose(run, [one], pool_size=2, mean_seconds=None) is Placement.FORK
    assert choose(run, [one, one], pool_size=2, mean_seconds=SHORT) is Placement.WAIT


def test_an_idle_process_does_not_keep_a_place() -> None:
    assert choose(make_run(reused=False), [Process(0), Process(1)], pool_size=2, mean_seconds=None) is Placement.FORK


def test_a_process_that_has_ended_its_one_run_keeps_its_place_until_it_is_gone() -> None:
    assert choose(make_run(), [Process(0, reused=False)], pool_size=1, mean_seconds=None) is Placement.WAIT


def test_a_reusable_run_goes_to_an_idle_process_of_its_template() -> None:
    idle, other, closing = Process(0), Process(0, load="m:B"), Process(0, closing=True)
    assert choose(make_run(), [other, closing, idle], pool_size=4, mean_seconds=None) is idle
    assert choose(make_run(), [other, closing, Process(3)], pool_size=4, mean_seconds=None) is Placement.FORK


def test_short_runs_are_lined_up_where_the_fewest_wait() -> None:
    few, many = Process(2), Process(5)
    assert choose(make_run(), [many, few], pool_size=2, mean_seconds=SHORT) is few
    assert choose(make_run(), [many, few], pool_size=2, mean_seconds=LONG) is Placement.WAIT
    assert choose(make_run(), [many, Process(2, load="m:B")], pool_size=2, mean_seconds=SHORT) is many
    assert choose(make_run(), [Process(2, closing=True)], pool_size=1, mean_seconds=SHORT) is Placement.WAIT


def test_a_process_is_filled_up_when_half_of_its_line_is_done() -> None:
    assert choose(make_run(), [full := Process(LINED_UP // 2)], pool_size=1, mean_seconds=SHORT) is full
    assert choose(make_run(), [Process(LINED_UP // 2 + 1)], pool_size=1, mean_seconds=SHORT) is Placement.WAIT


# -- the runs that it holds --------------------------------------------------------------------------------------------


def ids(runs: list[Run]) -> list[str]:
    return [run.attempt.execution_id for run in runs]


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(1)


def practise(backlog: Backlog) -> None:
    """Many short runs, so that runs are lined up."""
    for _ in range(100):
        backlog.note_end("x", SHORT)


def test_runs_leave_in_the_order_in_which_they_came(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(3)]
    backlog.add(runs, 0.0)
    assert backlog.first() is runs[0]
    assert [ids(backlog.take(run)) for run in runs] == [["e0"], ["e1"], ["e2"]]
    assert backlog.first() is None
    assert list(backlog.held()) == ["e0", "e1", "e2"], "they are held until they end"


def test_only_the_first_can_be_taken(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(2)]
    assert backlog.take(runs[0]) == []
    backlog.add(runs, 0.0)
    assert backlog.take(runs[1]) == []


def test_short_runs_of_one_template_are_taken_together(backlog: Backlog) -> None:
    practise(backlog)
    runs = [make_run(n, load="m:A" if n < 5 else "m:B") for n in range(60)]
    backlog.add(runs, 0.0)
    assert ids(backlog.take(runs[0], lined_up=0)) == [f"e{n}" for n in range(5)]
    assert len(backlog.take(runs[5], lined_up=4)) == LINED_UP - 4


@pytest.mark.parametrize("case", ["not reused", "long"])
def test_other_runs_are_taken_one_by_one(backlog: Backlog, case: str) -> None:
    practise(backlog)
    if case == "long":
        for _ in range(200):
            backlog.note_end("x", LONG)
    runs = [make_run(n, reused=case != "not reused") for n in range(60)]
    backlog.add(runs, 0.0)
    assert len(backlog.take(runs[0], lined_up=None if case == "not reused" else 0)) == 1


def test_runs_that_were_not_begun_come_back_to_the_front_in_their_order(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(4)]
    backlog.add(runs, 0.0)
    given = [backlog.take(run)[0] for run in runs[:2]]
    backlog.add_first(given, 1.0)
    assert [ids(backlog.take(run)) for run in runs] == [["e0"], ["e1"], ["e2"], ["e3"]]


def test_one_that_waits_can_be_removed_and_is_held_until_its_end(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(3)]
    backlog.add(runs, 0.0)
    assert backlog.remove("e1") is runs[1]
    assert backlog.remove("e1") is None
    assert set(backlog.held()) == {"e0", "e1", "e2"}
    backlog.note_end("e1", 0.0)
    assert set(backlog.held()) == {"e0", "e2"}
    assert ids(backlog.take(runs[0])) == ["e0"]
    assert ids(backlog.take(runs[2])) == ["e2"]


def test_what_waits_is_released_together_once_the_first_has_waited_long(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(3)]
    backlog.add(runs[:2], 0.0)
    backlog.add(runs[2:], 9.0)
    backlog.take(runs[0])
    backlog.note_end("other", SHORT)
    assert backlog.release(10.0, 9.9) == []
    assert [attempt.execution_id for attempt in backlog.release(10.0, 10.0)] == ["e1", "e2"]
    assert list(backlog.held()) == ["e0"]
    assert backlog.mean_seconds is None, "it has learnt that it took too much"
    assert backlog.release(0.0, 99.0) == []


def test_a_run_has_begun_when_its_process_says_so(backlog: Backlog) -> None:
    runs = [make_run(n) for n in range(2)]
    backlog.add(runs, 0.0)
    backlog.take(runs[0])
    backlog.note_begun("e0")
    assert backlog.has_not_begun()
    backlog.note_end("e1", 0.0)
    assert not backlog.has_not_begun()
    assert list(backlog.held()) == ["e0"]


def test_what_threads_do_to_it_at_once_loses_and_doubles_nothing() -> None:
    backlog, taken, released = Backlog(2), [], []
    stop = threading.Event()

    def take() -> None:
        while not stop.is_set() or backlog.first() is not None:
            first = backlog.first()
            if first is not None:
                taken.extend(ids(backlog.take(first, lined_up=0)))

    def release() -> None:
        while not stop.is_set():
            released.extend(attempt.execution_id for attempt in backlog.release(0.0, 1.0))

    practise(backlog)
    threads = [threading.Thread(target=work) for work in (take, release)]
    for thread in threads:
        thread.start()
    for number in range(2_000):
        backlog.add([make_run(number)], 0.0)
    stop.set()
    for thread in threads:
        thread.join()
    both: list[Any] = taken + released
    assert sorted(both) == sorted(f"e{n}" for n in range(2_000))
    assert set(backlog.held()) == set(taken)

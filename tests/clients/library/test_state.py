"""One contract for the memory of a service, in memory and in a file."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from jobwright_client.results import Outcome
from jobwright_client.state import (
    KEEP_SECONDS,
    LEASE_SECONDS,
    MOST_RUNS,
    SENDING_SECONDS,
    FileState,
    MemoryState,
    Owed,
    Seen,
    State,
    Verdict,
)

GOOD = Outcome({"success": True, "itemsProcessed": 3})
BAD = Outcome({"success": False, "error": "x"}, permanent=True, retry_after_seconds=2.5)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "file"])
def state(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> State:
    return MemoryState(clock) if request.param == "memory" else FileState(str(tmp_path / "state.db"), clock)


def test_the_work_of_an_attempt_is_taken_once(state: State) -> None:
    assert state.begin("e", 1) == Verdict(Seen.NEW)
    duplicate = state.begin("e", 1)
    assert duplicate == Verdict(Seen.RUNNING)
    assert duplicate.lease_seconds == LEASE_SECONDS
    assert state.begin("other", 1) == Verdict(Seen.NEW)


@pytest.mark.parametrize(
    ("outcome", "attempt", "expected"),
    [
        (GOOD, 2, Verdict(Seen.DONE, GOOD)),
        (BAD, 2, Verdict(Seen.DONE, BAD)),
        (GOOD, 3, Verdict(Seen.DONE, GOOD)),
        (BAD, 3, Verdict(Seen.NEW)),
        (GOOD, 1, Verdict(Seen.STALE)),
        (BAD, 1, Verdict(Seen.STALE)),
    ],
)
def test_what_a_call_is_after_the_second_attempt_has_ended(state: State, outcome: Outcome, attempt: int, expected: Verdict) -> None:
    state.begin("e", 2)
    state.end("e", outcome)
    assert state.begin("e", attempt) == expected


def test_a_newer_attempt_supersedes_and_an_older_one_is_stale(state: State) -> None:
    state.begin("e", 1)
    assert state.begin("e", 2) == Verdict(Seen.SUPERSEDES)
    assert state.begin("e", 2) == Verdict(Seen.SUPERSEDES)
    state.adopt("e", 2)
    assert state.begin("e", 2) == Verdict(Seen.RUNNING)
    assert state.begin("e", 1) == Verdict(Seen.STALE)
    state.adopt("e", 1)
    assert state.begin("e", 1) == Verdict(Seen.STALE)


def test_work_that_is_handed_back_is_forgotten(state: State) -> None:
    state.begin("e", 1)
    state.end("e", None)
    assert state.begin("e", 1) == Verdict(Seen.NEW)


def test_the_work_of_a_process_that_died_may_be_taken_over(state: State, clock: Clock) -> None:
    state.begin("e", 1)
    clock.now += LEASE_SECONDS - 1
    state.renew("e")
    clock.now += LEASE_SECONDS
    assert state.begin("e", 1) == Verdict(Seen.RUNNING)
    clock.now += 1
    assert state.begin("e", 1) == Verdict(Seen.NEW)


def test_a_result_is_kept_for_a_day(state: State, clock: Clock) -> None:
    state.begin("e", 1)
    state.end("e", GOOD)
    clock.now += KEEP_SECONDS
    assert state.begin("e", 1) == Verdict(Seen.DONE, GOOD)
    clock.now += 1
    assert state.begin("e", 1) == Verdict(Seen.NEW)


def test_ending_what_is_unknown_changes_nothing(state: State) -> None:
    state.end("e", GOOD)
    state.renew("e")
    state.adopt("e", 3)
    assert state.begin("e", 1) == Verdict(Seen.NEW)


def test_of_many_threads_one_takes_the_work(state: State) -> None:
    verdicts: list[Verdict] = []
    barrier = threading.Barrier(8)

    def call() -> None:
        barrier.wait()
        verdicts.append(state.begin("e", 1))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdict.seen.value for verdict in verdicts) == ["new"] + ["running"] * 7


# -- reports that are owed -------------------------------------------------------------------------------------------


def owe(state: State, *tokens: str) -> None:
    for number, token in enumerate(tokens):
        state.owe(f"http://x/{token}", token, f"m{number}", b"{}")


def test_a_report_is_owed_until_it_is_delivered(state: State) -> None:
    assert state.due() is None
    assert state.next_due_seconds() is None
    owe(state, "a")
    assert state.next_due_seconds() == 0
    owed = state.due()
    assert owed == Owed(1, "http://x/a", "a", "m0", b"{}")
    assert state.due() is None, "another thread would send it too"
    assert state.owed() == 1
    state.delivered(owed.number)
    assert state.owed() == 0


def test_reports_of_one_token_keep_their_order_and_do_not_hold_up_others(state: State, clock: Clock) -> None:
    owe(state, "a", "a", "b")
    first = state.due()
    assert first is not None
    assert first.number == 1
    state.later(1, 10)
    second = state.due()
    assert second is not None
    assert second.token == "b"
    assert state.due() is None
    state.delivered(second.number)
    assert state.next_due_seconds() == pytest.approx(10)
    clock.now += 10
    again = state.due()
    assert again == Owed(1, "http://x/a", "a", "m0", b"{}", tries=1)
    state.delivered(1)
    last = state.due()
    assert last is not None
    assert last.number == 2


def test_a_report_whose_sender_died_is_sent_by_another(state: State, clock: Clock) -> None:
    owe(state, "a")
    state.due()
    clock.now += SENDING_SECONDS - 1
    assert state.due() is None
    clock.now += 1
    owed = state.due()
    assert owed is not None
    assert owed.number == 1


def test_a_signing_key_is_kept(state: State) -> None:
    assert state.signing_key() is None
    assert state.signing_key("whsec_YQ==") == "whsec_YQ=="
    assert state.signing_key() == "whsec_YQ=="
    assert state.signing_key("whsec_Yg==") == "whsec_Yg=="


# -- of each ---------------------------------------------------------------------------------------------------------


def test_a_file_outlives_its_process_and_is_for_its_owner_only(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "state.db"
    before = FileState(str(path), clock)
    before.begin("e", 1)
    before.end("e", GOOD)
    owe(before, "a")
    before.signing_key("whsec_YQ==")
    after = FileState(str(path), clock)
    assert after.begin("e", 1) == Verdict(Seen.DONE, GOOD)
    assert after.owed() == 1
    assert after.signing_key() == "whsec_YQ=="
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, clock: Clock) -> None:
    state = FileState(str(tmp_path / "state.db"), clock)
    with pytest.raises(sqlite3.Error):
        state.owe("http://x", "a", "m", object())  # type: ignore[arg-type]
    assert state.owed() == 0
    owe(state, "a")
    assert state.owed() == 1


def test_memory_is_bounded_and_keeps_what_runs(clock: Clock) -> None:
    state = MemoryState(clock)
    state.begin("runs", 1)
    ended: Callable[[str], None] = lambda name: (state.begin(name, 1), state.end(name, GOOD), None)[-1]
    for number in range(MOST_RUNS + 100):
        ended(f"e{number}")
    assert len(state._runs) <= MOST_RUNS + 1
    assert state.begin("runs", 1) == Verdict(Seen.RUNNING)

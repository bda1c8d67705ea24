"""Which starts a job's own limit of runs allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.model import RunLimit
from app.queue.starts import Start, Starts, Wanted, admit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def starts(*seconds: float, runs: int = 2, period: int = 60) -> Starts:
    return Starts(job_id="j", runs=runs, seconds=period, starts=tuple(Start(f"s{second}", after(second)) for second in seconds))


def wanted(*names: str, runs: int = 2, seconds: int = 60) -> list[Wanted]:
    return [Wanted(execution_id=name, limit=RunLimit(runs=runs, seconds=seconds)) for name in names]


@pytest.mark.parametrize(
    ("before", "now", "others", "free"),
    [
        ((), 0, 0, None),
        ((10,), 30, 0, None),
        ((10, 30), 40, 0, 70),
        ((10, 30), 40, 1, 90),
        ((10, 30), 40, 2, 130),
        ((10, 30), 40, 3, 150),
        ((10, 30), 69.999, 0, 70),
        ((10, 30), 70, 0, None),
        ((10, 20, 30), 40, 0, 80),  # the limit was lowered to 2
    ],
)
def test_when_one_more_run_may_start(before: tuple[float, ...], now: float, others: int, free: float | None) -> None:
    at = starts(*before).free_at(RunLimit(runs=2, seconds=60), after(now), others=others)
    assert at == (None if free is None else after(free))


def test_runs_are_let_in_up_to_the_limit_in_their_order() -> None:
    now_started, refused = admit(starts(10), wanted("a", "b", "c", "d"), after(40))
    assert [start.execution_id for start in now_started.starts] == ["s10", "a"]
    assert refused == {"b": after(70), "c": after(100), "d": after(130)}


def test_a_run_that_was_let_in_before_counts_once_and_from_now_on() -> None:
    first, _ = admit(starts(), wanted("a"), after(0))
    again, refused = admit(first, wanted("a"), after(50))
    assert (again.starts, refused) == ((Start("a", after(50)),), {})
    _, refused = admit(again, wanted("b", "c"), after(70))
    assert refused == {"c": after(110)}


def test_only_what_the_limit_needs_is_kept() -> None:
    kept, _ = admit(starts(0, 10), wanted("a"), after(100))
    assert [start.execution_id for start in kept.starts] == ["a"]


def test_a_limit_of_more_runs_or_a_longer_period_needs_more_starts() -> None:
    known = starts(runs=2, period=60)
    assert known.covers(RunLimit(runs=1, seconds=30))
    assert not known.covers(RunLimit(runs=3, seconds=30))
    assert not known.covers(RunLimit(runs=1, seconds=61))


def test_starts_of_a_clock_that_was_ahead_count_from_now_on() -> None:
    known = starts(10, 3_000_000).not_after(after(40))
    assert [start.at for start in known.starts] == [after(10), after(40)]
    assert known.free_at(RunLimit(runs=1, seconds=60), after(40)) == after(100)
    assert known.not_after(after(41)) is known


@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 4)), max_size=40),
    runs=st.integers(1, 5),
    seconds=st.integers(1, 90),
)
def test_no_window_ever_has_more_starts_than_the_limit(steps: list[tuple[float, int]], runs: int, seconds: int) -> None:
    known, now, begun = Starts(job_id="j", runs=runs, seconds=seconds), NOON, list[datetime]()
    for number, (pause, count) in enumerate(steps):
        now += timedelta(seconds=pause)
        names = [f"{number}.{place}" for place in range(count)]
        known, refused = admit(known, wanted(*names, runs=runs, seconds=seconds), now)
        begun += [now] * (count - len(refused))
        assert all(at > now for at in refused.values())
    for moment in begun:
        assert sum(moment - timedelta(seconds=seconds) < other <= moment for other in begun) <= runs

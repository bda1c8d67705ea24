"""When a circuit breaker opens, lets a probe through and closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.integrations.callbacks.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker, Circuit

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def calls(text: str) -> list[bool]:
    """`+` for a call that succeeded, `-` for one that failed."""
    return [sign == "+" for sign in text]


@pytest.mark.parametrize(
    ("results", "opens"),
    [
        ("", False),
        ("----", False),
        ("-----", True),
        ("----+----", False),  # 8 of 9: too few to judge by their share
        ("----+---+-", True),  # 8 of 10
        ("+-+-+-+-+-", True),  # 5 of 10
        ("+-+-+-+-++", False),  # 4 of 10
        ("++++++++++----", False),  # 4 of 14
        ("++++++++++-----", True),
        ("--+--+--+--", True),
    ],
)
def test_it_opens_after_failures_in_a_row_or_too_large_a_share(results: str, opens: bool) -> None:
    after = Breaker().after(calls(results), NOW)
    assert (after.circuit is Circuit.OPEN) is opens
    assert after.admits(NOW) is not opens


def test_a_share_that_is_reached_by_a_success_opens_nothing() -> None:
    assert Breaker().after(calls("-+-+-+-+-+"), NOW).circuit is Circuit.CLOSED


def test_failures_of_the_minute_before_do_not_count() -> None:
    old = Breaker().after(calls("+-+-+-+-+"), NOW)
    later = old.after(calls("-"), NOW + timedelta(seconds=61))
    assert (later.circuit, later.calls, later.failures) == (Circuit.CLOSED, 1, 1)
    assert old.after(calls("-"), NOW + timedelta(seconds=59)).circuit is Circuit.OPEN


def test_failures_in_a_row_count_however_far_apart() -> None:
    state = Breaker()
    for hour in range(5):
        state = state.after(calls("-"), NOW + timedelta(hours=hour))
    assert state.circuit is Circuit.OPEN


def test_an_open_one_waits_twice_as_long_with_each_probe_that_fails() -> None:
    state = Breaker().after(calls("-----"), NOW)
    waited = []
    for _ in range(8):
        assert state.retry_at is not None
        waited.append(state.pause)
        assert not state.admits(state.retry_at - timedelta(milliseconds=1))
        assert state.admits(state.retry_at)
        now = state.retry_at
        probing = state.probed(now + timedelta(seconds=30))
        assert not probing.admits(now)
        assert probing.admits(now + timedelta(seconds=30))  # nobody has heard of the probe
        state = probing.after(calls("-"), now)
        assert state.circuit is Circuit.OPEN
    assert waited[:4] == [FIRST_PAUSE * n for n in (1, 2, 4, 8)]
    assert waited[-1] == LONGEST_PAUSE


def test_a_probe_that_succeeds_closes_it_and_forgets_the_past() -> None:
    state = Breaker().after(calls("-----"), NOW).probed(NOW + timedelta(seconds=30)).after(calls("+"), NOW)
    assert state == Breaker()
    assert state.after(calls("-----"), NOW).pause == FIRST_PAUSE


def test_calls_that_began_before_it_opened_change_nothing() -> None:
    state = Breaker().after(calls("-----"), NOW)
    assert state.after(calls("+-+++-"), NOW) == state

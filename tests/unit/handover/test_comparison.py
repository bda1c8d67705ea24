"""Due times of two schedulers beside each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.handover.comparison import Match, Ours, compare, tolerance_of

AT = datetime(2026, 12, 1, 10, tzinfo=UTC)
M, OLD, OURS, DOUBLE = Match.MATCHED, Match.ONLY_OLD, Match.ONLY_OURS, Match.DOUBLE


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("old", "ours", "expected"),
    [
        ([], [], []),
        ([0, 60], [0, 60], [(M, 0.0), (M, 0.0)]),
        ([0], [12], [(M, 12.0)]),
        ([12], [0], [(M, -12.0)]),
        ([0], [30], [(M, 30.0)]),
        ([0], [31], [(OLD, None), (OURS, None)]),
        ([31], [0], [(OURS, None), (OLD, None)]),
        ([0, 60, 120], [0, 120], [(M, 0.0), (OLD, None), (M, 0.0)]),
        ([0, 120], [0, 60, 120], [(M, 0.0), (OURS, None), (M, 0.0)]),
        ([0, 60.2, 120.4, 180.6], [0, 60, 120, 180], [(M, 0.0), (M, -0.2), (M, -0.4), (M, -0.6)]),
        ([], [0, 60], [(OURS, None), (OURS, None)]),
        ([0, 60], [], [(OLD, None), (OLD, None)]),
    ],
)
def test_each_due_time_is_in_one_row(old: list[float], ours: list[float], expected: list[tuple[Match, float | None]]) -> None:
    rows = compare([at(one) for one in old], [Ours(due_at=at(one), ran=False) for one in ours], timedelta(seconds=30))
    assert [(row.match, row.seconds if row.seconds is None else round(row.seconds, 3)) for row in rows] == expected
    assert [row.old for row in rows if row.old] == [at(one) for one in old]
    assert [row.ours for row in rows if row.ours] == [at(one) for one in ours]


def test_what_both_have_really_run_is_double() -> None:
    rows = compare([at(0), at(60)], [Ours(due_at=at(0), ran=True), Ours(due_at=at(120), ran=True)], timedelta(seconds=30))
    assert [(row.match, row.ran) for row in rows] == [(DOUBLE, True), (OLD, False), (OURS, True)]


@pytest.mark.parametrize(("interval", "seconds"), [(1, 0.5), (60, 30), (3600, 60), (86_400, 60)])
def test_the_tolerance_is_half_an_interval_and_at_most_a_minute(interval: int, seconds: float) -> None:
    assert tolerance_of(interval) == timedelta(seconds=seconds)

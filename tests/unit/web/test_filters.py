"""Times and durations as pages say them."""

from __future__ import annotations

import pytest

from app.clock import SystemClock
from web.filters.times import relative, seconds


@pytest.mark.parametrize(
    ("shift", "words"), [(0.5, "now"), (45, "in 45 s"), (-45, "45 s ago"), (720, "in 12 min"), (-7300, "2 h ago"), (200_000, "in 2 d")]
)
def test_relative_times(shift: float, words: str) -> None:
    from datetime import timedelta

    now = SystemClock().now()
    assert relative(now + timedelta(seconds=shift), now) == words


def test_durations() -> None:
    assert [seconds(n) for n in (None, 0.041, 12.34, 250, 7500)] == ["–", "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"]

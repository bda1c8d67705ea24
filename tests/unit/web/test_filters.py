"""Times and durations as pages say them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.clock import SystemClock
from app.jobs.model import Schedule
from app.triggers import CronTrigger, IntervalTrigger, Trigger
from web.filters.times import relative, rough_time, schedule_words, seconds


@pytest.mark.parametrize(
    ("shift", "words"), [(0.5, "now"), (45, "in 45 s"), (-45, "45 s ago"), (720, "in 12 min"), (-7300, "2 h ago"), (200_000, "in 2 d")]
)
def test_relative_times(shift: float, words: str) -> None:
    from datetime import timedelta

    now = SystemClock().now()
    assert relative(now + timedelta(seconds=shift), now) == words


def test_durations() -> None:
    assert [seconds(n) for n in (None, 0.041, 12.34, 250, 7500)] == ["–", "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (CronTrigger(expression="0 2 * * *", timezone="Europe/Berlin"), "At 02:00 (Europe/Berlin)"),
        (CronTrigger(expression="*/5 * * * *", timezone="Europe/Berlin"), "Every 5 minutes"),
        (IntervalTrigger(interval_seconds=90, timezone="Europe/Berlin"), "Every 1 minute 30 seconds"),
        (
            CronTrigger(expression="0 2 * * *", timezone="Asia/Tokyo", start_at=datetime(2026, 3, 29, 5, 30, tzinfo=UTC)),
            "At 02:00 (Asia/Tokyo), from 2026-03-29 05:30:00 UTC",
        ),
    ],
)
def test_a_time_of_day_has_its_time_zone(trigger: Trigger, words: str) -> None:
    assert schedule_words(Schedule(trigger=trigger)) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.2, "1 s"), (8.4, "8 s"), (41.1, "40 s"), (59.9, "1 min"), (250, "4 min"), (3_590, "1 h"), (8_000, "2 h 15 min")],
)
def test_an_estimate_is_no_more_exact_than_it_can_be(value: float, words: str) -> None:
    assert rough_time(value) == words

"""Moments in words: which instant each text names, in the zone of whoever writes it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.instants import EARLIEST, LATEST, InstantRefused
from app.moments import next_weekday, parse, tomorrow

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 27, 22, 30, tzinfo=UTC)  # a Friday; 23:30 in Berlin; the clock goes forward on the Sunday


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", "2026-03-27T22:30"),
        ("tomorrow 8:00", "2026-03-28T07:00"),
        ("Tomorrow at 08:00", "2026-03-28T07:00"),
        ("morgen um 8:00 Uhr", "2026-03-28T07:00"),
        ("tomorrow", "2026-03-27T23:00"),
        ("today 23:45", "2026-03-27T22:45"),
        ("yesterday", "2026-03-25T23:00"),
        ("gestern 6.15", "2026-03-26T05:15"),
        ("Monday 8:00", "2026-03-30T06:00"),
        ("Montag, 8:00", "2026-03-30T06:00"),
        ("fri 23:40", "2026-03-27T22:40"),
        ("Friday 8:00", "2026-04-03T06:00"),
        ("23:40", "2026-03-27T22:40"),
        ("8:00", "2026-03-28T07:00"),
        ("in 2 h 30 min", "2026-03-28T01:00"),
        ("+90", "2026-03-27T22:31:30"),
        ("2 h ago", "2026-03-27T20:30"),
        ("vor 1 Tag", "2026-03-26T22:30"),
        ("2026-03-29T04:00", "2026-03-29T02:00"),
        ("2026-03-29 04:00", "2026-03-29T02:00"),
        ("2026-03-29T04:00:00Z", "2026-03-29T04:00"),
    ],
)
def test_reads_words_dates_and_times(text: str, instant: str) -> None:
    assert parse(text, now=NOW, zone=BERLIN) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "tomorrow 25:00", "8", "in a while", "2026-02-30T01:00", "monday tuesday", "x" * 1000])
def test_refuses_other_texts_with_an_example(text: str) -> None:
    with pytest.raises(InstantRefused, match="tomorrow 8:00"):
        parse(text, now=NOW, zone=BERLIN)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        moment = parse(text, now=NOW, zone=BERLIN)
    except InstantRefused:
        return
    assert EARLIEST <= moment <= LATEST


def test_a_weekday_is_the_next_one_and_never_now() -> None:
    monday = datetime(2026, 3, 30, 6, 0, tzinfo=UTC)  # 8:00 in Berlin
    assert next_weekday(monday, BERLIN, 0, time(8)) == datetime(2026, 4, 6, 6, 0, tzinfo=UTC)
    assert next_weekday(monday.replace(hour=5), BERLIN, 0, time(8)) == monday


def test_tomorrow_follows_the_clock_of_the_zone() -> None:
    assert tomorrow(datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN, time(8)) == datetime(2026, 3, 29, 6, tzinfo=UTC)

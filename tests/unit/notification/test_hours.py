"""Quiet hours: when they are, by the clocks of their zone."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import pytest

from app.notification.announcing import AlertSeverity
from app.notification.quiet.hours import DAYS, QuietHours, hours_from, problems

ALL = frozenset(range(7))
WORKDAYS = frozenset(range(5))


def quiet(begin: str, end: str, *, days: frozenset[int] = ALL, zone: str = "UTC") -> QuietHours:
    return QuietHours(zone=zone, days=days, begin=time.fromisoformat(begin), end=time.fromisoformat(end), passing=frozenset())


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (quiet("22:00", "07:00"), "2026-03-03T03:00", "2026-03-03T07:00"),
        (quiet("22:00", "07:00"), "2026-03-03T22:00", "2026-03-04T07:00"),
        (quiet("22:00", "07:00"), "2026-03-03T07:00", None),
        (quiet("22:00", "07:00"), "2026-03-03T21:59", None),
        (quiet("12:00", "13:00"), "2026-03-03T12:59", "2026-03-03T13:00"),
        (quiet("12:00", "13:00"), "2026-03-03T13:00", None),
        (quiet("00:00", "00:00", days=frozenset({5, 6})), "2026-03-07T09:00", "2026-03-09T00:00"),  # a weekend is one time
        (quiet("22:00", "07:00", days=WORKDAYS), "2026-03-07T06:59", "2026-03-07T07:00"),  # the night after Friday
        (quiet("22:00", "07:00", days=WORKDAYS), "2026-03-08T06:59", None),
        (quiet("22:00", "07:00", zone="Asia/Tokyo"), "2026-03-03T13:00", "2026-03-03T22:00"),
        (quiet("01:00", "03:30", zone="Europe/Berlin"), "2026-03-29T00:30", "2026-03-29T01:30"),  # clocks go forward at 02:00
        (quiet("01:00", "03:30", zone="Europe/Berlin"), "2026-10-25T02:00", "2026-10-25T02:30"),  # and back at 03:00
    ],
)
def test_quiet_hours_are_by_the_clocks_of_their_zone(hours: QuietHours, now: str, end: str | None) -> None:
    found = hours.end_at(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == (None if end is None else datetime.fromisoformat(end).replace(tzinfo=UTC))


def test_what_is_always_quiet_has_an_end_that_moves() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    end = quiet("00:00", "00:00").end_at(now)
    assert end is not None
    assert end > now


def test_quiet_hours_come_back_as_they_were_stored() -> None:
    hours = QuietHours(zone="Europe/Berlin", days=WORKDAYS, begin=time(22), end=time(7), passing=frozenset({AlertSeverity.CRITICAL}))
    assert hours_from(hours.as_document()) == hours
    assert hours.as_document()["days"] == list(DAYS[:5])
    assert hours_from(None) is None


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"zone": "Nowhere/City"}, "/zone"),
        ({"days": []}, "/days"),
        ({"days": ["someday"]}, "/days/0"),
        ({"begin": "24:00"}, "/begin"),
        ({"end": "7"}, "/end"),
        ({"pass": ["loud"]}, "/pass/0"),
    ],
)
def test_quiet_hours_that_cannot_be_are_refused(change: dict[str, Any], pointer: str) -> None:
    row = {"zone": "UTC", "days": ["mon"], "begin": "22:00", "end": "07:00", **change}
    assert [error.pointer for error in problems(row)] == [pointer]
    assert hours_from(row) is None

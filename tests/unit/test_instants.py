"""Instants at both ends of the calendar, and time zones: read, moved and shown without an error, or refused with the reason."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import instants
from app.config import load_settings
from app.errors import ConfigError
from app.instants import EARLIEST, LATEST, InstantRefused
from app.jobs.model import Schedule
from app.scheduling.calendars import Blackouts, Calendar
from app.scheduling.triggers import Triggers
from app.triggers import CronTrigger, IntervalTrigger, OnceTrigger, Trigger
from app.triggers.clock_changes import clock_change
from app.triggers.walls import END_OF_TIME
from app.zones import UnknownZone, is_zone, zone, zone_names
from tests.lengths import examples

ENDS = (EARLIEST, EARLIEST + timedelta(hours=13), LATEST - timedelta(hours=13), LATEST)
FAR = ("Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "America/Adak", "UTC")
anywhen = st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC))
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
zones = st.sampled_from(sorted(zone_names()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-29T02:30:00+02:00", "2026-03-29T00:30:00+00:00"),
        ("2026-03-29t02:30:00.123456789z", "2026-03-29T02:30:00.123000+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999000+00:00"),
        ("9999-12-31T23:59:59-14:00", "years 1 and 9999"),
        ("0001-01-01T00:00:00+00:01", "years 1 and 9999"),
        ("2026-03-29T02:30:00", "needs a time zone"),
        ("2026-03-29", "needs a time zone"),
        ("0000-01-01T00:00:00Z", "date and time"),
        ("10000-01-01T00:00:00Z", "date and time"),
        ("2026-02-30T00:00:00Z", "date and time"),
        ("2026-01-01T00:00:00+99:00", "date and time"),
        ("２026-01-01T00:00:00Z", "date and time"),
        ("2026-01-01\ud80000:00:00Z", "date and time"),
        ("2026-01-01T00:00:00Z\0", "date and time"),
        ("", "date and time"),
    ],
)
def test_one_parser_reads_an_instant_or_says_what_is_wrong(text: str, expected: str) -> None:
    try:
        found = instants.parse(text).isoformat()
    except InstantRefused as refused:
        found = str(refused)
    assert expected in found


@given(moment=st.datetimes(), offset=offsets)
def test_a_bound_beyond_the_calendar_is_its_end(moment: datetime, offset: timezone) -> None:
    found = instants.parse_bound(moment.replace(tzinfo=offset).isoformat())
    assert EARLIEST <= found <= LATEST
    assert found.tzinfo is UTC
    assert found in {EARLIEST, LATEST} or found == instants.to_milliseconds(moment.replace(tzinfo=offset))


@given(moment=anywhen, name=zones, by=st.timedeltas())
def test_no_conversion_and_no_sum_leaves_the_calendar(moment: datetime, name: str, by: timedelta) -> None:
    local = instants.in_zone(moment, zone(name))
    assert abs(instants.utc(local) - moment) <= timedelta(days=1)
    assert EARLIEST <= instants.shifted(moment, by) <= LATEST
    assert EARLIEST <= instants.midnight(moment.date(), zone(name)) <= LATEST
    assert clock_change(moment, name) < timedelta(days=2)


@pytest.mark.parametrize("days", [-1, 0, 1, 10**12, -(10**12)])
def test_a_date_moved_beyond_the_calendar_is_its_first_or_last(days: int) -> None:
    assert instants.day_after(date.max, days) <= date.max
    assert instants.day_after(date.min, days) >= date.min


class _Book:
    def __init__(self, *calendars: Calendar) -> None:
        self._calendars = calendars

    def of(self, names: object) -> Blackouts:
        return Blackouts(self._calendars)

    def names(self) -> list[str]:
        return [one.name for one in self._calendars]


ICAL = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:{}\r\nDTEND:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
BOOK = _Book(
    Calendar("weekly", {"timezone": "Pacific/Kiritimati", "weekly": [{"days": ["sat"], "from": "22:00", "to": "06:00"}]}),
    Calendar("first", {"timezone": "Etc/GMT+12", "ical": ICAL.format("00010101T000000Z", "00010102T000000Z")}),
    Calendar("last", {"timezone": "Etc/GMT+12", "ical": ICAL.format("99991230T000000", "99991231T235959")}),
)


@settings(deadline=None, max_examples=examples(60))
@given(
    kind=st.sampled_from(
        [
            {"expression": "0 2 * * *"},
            {"expression": "59 59 23 31 12 *"},
            {"expression": "* * * * * *"},
            {"interval_seconds": 31_536_000},
            {"interval_seconds": 1},
            {},
        ]
    ),
    name=st.sampled_from(FAR),
    start=st.sampled_from((None, *ENDS)),
    end=st.sampled_from((None, *ENDS)),
    after=st.sampled_from(ENDS),
)
def test_any_schedule_can_be_asked_at_any_time(
    kind: dict[str, object], name: str, start: datetime | None, end: datetime | None, after: datetime
) -> None:
    triggers = Triggers(max_lookahead_days=36_500, calendars=BOOK)
    chosen: type[Trigger] = CronTrigger if "expression" in kind else IntervalTrigger if kind else OnceTrigger
    trigger = chosen(timezone=name, start_at=start, end_at=end, **(kind or {"run_at": LATEST}))  # type: ignore[arg-type]
    schedule = Schedule(trigger=trigger, calendars=("weekly", "first", "last"))
    triggers.check(schedule, after)
    due = list(islice(trigger.iter_after(after), 5))
    assert due == sorted(due)
    assert all(after < one and (chosen is OnceTrigger or one < END_OF_TIME) for one in due)
    assert all(instants.in_zone(one, zone(name)) for one in due)
    assert trigger.count(after, instants.shifted(after, timedelta(days=2))) >= 0
    for one in (*due, *ENDS):
        triggers.blackouts(schedule).at(one)


def test_a_zone_is_an_iana_name_and_no_other() -> None:
    assert {"Europe/Berlin", "US/Eastern", "EST5EDT", "Etc/GMT+12", "UTC", "GMT"} <= zone_names()
    for name in zoneinfo.available_timezones() - zone_names() | {
        "localtime",
        "posixrules",
        "Factory",
        "right/Europe/Berlin",
        "posix/Europe/Berlin",
        "./Europe/Berlin",
        "Europe//Berlin",
        "europe/berlin",
        "Europe/Berlin\0",
        "/usr/share/zoneinfo/Europe/Berlin",
        "../zoneinfo/UTC",
        "UTC ",
        "",
        "CEST",
        "tzdata.zi",
        "+02:00",
    }:
        assert not is_zone(name), name
        with pytest.raises(UnknownZone, match="is not an IANA time zone"):
            zone(name)
    assert not is_zone(["UTC"])
    assert not is_zone(None)
    assert all(zoneinfo.ZoneInfo(name) for name in zone_names())


@pytest.mark.parametrize("name", ["localtime", "Factory", "right/UTC", "europe/berlin"])
def test_the_setting_takes_no_other_zone(name: str) -> None:
    with pytest.raises(ConfigError, match="SCHEDULER_TIMEZONE: .*is not an IANA time zone"):
        load_settings({"SCHEDULER_TIMEZONE": name})


@pytest.mark.parametrize(
    "variable",
    [
        "SCHEDULER_MISFIRE_GRACE_TIME",
        "JOBWRIGHT_KEEP_SUCCESS_DAYS",
        "JOBWRIGHT_KEEP_FAILURE_DAYS",
        "JOBWRIGHT_KEEP_SKIPPED_DAYS",
        "LOCK_TIMEOUT_SECONDS",
        "JOBWRIGHT_TICK_SECONDS",
        "JOBWRIGHT_DRAIN_SECONDS",
        "JOBWRIGHT_KILL_GRACE_SECONDS",
        "JOBWRIGHT_SESSION_HOURS",
        "JOBWRIGHT_APPROVAL_DAYS",
        "MAX_SCHEDULE_LOOKAHEAD_DAYS",
        "JOBWRIGHT_MAX_TIMEOUT_SECONDS",
        "DEFAULT_RETRY_DELAY",
    ],
)
@pytest.mark.parametrize("value", ["99999999999999999999", "1e400", "9" * 5000])
def test_a_span_that_no_date_can_be_moved_by_stops_the_start(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load_settings({variable: value})

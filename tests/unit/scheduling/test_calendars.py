"""Blackout calendars, and what becomes of due times in them."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.jobs.model import Misfire, MisfirePolicy
from app.scheduling.calendars import SCHEMA, Blackouts, Calendar, problems
from app.scheduling.plan import plan_due
from app.triggers import CronTrigger
from app.validation import SchemaValidator

BERLIN = "Europe/Berlin"


def calendar(**body: Any) -> Calendar:
    full = {"timezone": BERLIN, **body}
    assert SchemaValidator(SCHEMA).errors(full) == []
    assert problems(full) == []
    return Calendar("c", full)


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def ends(blackouts: Blackouts, moment: datetime) -> datetime | None:
    hit = blackouts.at(moment)
    return hit.end if hit else None


@pytest.mark.parametrize(
    ("body", "moment", "end"),
    [
        ({"dates": [{"from": "2026-12-24", "to": "2026-12-26"}]}, "2026-12-25T12:00", "2026-12-27T00:00"),
        ({"dates": [{"from": "2026-12-24", "to": "2026-12-26"}]}, "2026-12-24T00:00", "2026-12-27T00:00"),
        ({"dates": [{"from": "2026-12-24", "to": "2026-12-26"}]}, "2026-12-27T00:00", None),
        ({"dates": [{"from": "2026-12-24"}, {"from": "2026-12-25"}]}, "2026-12-24T08:00", "2026-12-26T00:00"),
        ({"weekly": [{"days": ["fri"], "from": "22:00", "to": "06:00"}]}, "2026-11-28T05:59:59", "2026-11-28T06:00"),
        ({"weekly": [{"days": ["fri"], "from": "22:00", "to": "06:00"}]}, "2026-11-28T06:00", None),
        ({"weekly": [{"days": ["fri"], "from": "22:00", "to": "06:00"}]}, "2026-11-27T21:59:59", None),
        ({"weekly": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}]}, "2026-11-28T00:00", "2026-11-30T00:00"),
        ({"weekly": [{"days": ["mon"], "from": "08:00", "to": "08:00"}]}, "2026-11-24T07:59", "2026-11-24T08:00"),
        # The night on which the clock goes back: the window lasts nine hours, on the one on which it goes forward seven.
        ({"weekly": [{"days": ["sat"], "from": "22:00", "to": "06:00"}]}, "2026-10-24T22:00", "2026-10-25T06:00"),
        ({"weekly": [{"days": ["sat"], "from": "22:00", "to": "06:00"}]}, "2026-03-28T22:00", "2026-03-29T06:00"),
    ],
)
def test_days_and_windows_are_of_the_calendars_zone(body: dict[str, Any], moment: str, end: str | None) -> None:
    assert ends(Blackouts([calendar(**body)]), local(moment)) == (local(end) if end else None)


ICAL = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:1
SUMMARY:Christmas
DTSTART;VALUE=DATE:20201225
DTEND;VALUE=DATE:20201227
RRULE:FREQ=YEARLY
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Stand-up
DTSTART;TZID=America/New_York:20260105T090000
DURATION:PT30M
RRULE:FREQ=WEEKLY;BYDAY=MO
EXDATE;TZID=America/New_York:20260112T090000
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Off
STATUS:CANCELLED
DTSTART:20260601T000000Z
DTEND:20260602T000000Z
END:VEVENT
BEGIN:VEVENT
UID:4
SUMMARY:Floating
DTSTART:20260701T080000
DTEND:20260701T090000
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (local("2027-12-26T23:59"), local("2027-12-27T00:00")),  # a whole day without a zone is the calendar's
        (datetime(2026, 7, 6, 13, 10, tzinfo=UTC), datetime(2026, 7, 6, 13, 30, tzinfo=UTC)),  # summer in New York
        (datetime(2026, 12, 7, 14, 10, tzinfo=UTC), datetime(2026, 12, 7, 14, 30, tzinfo=UTC)),  # winter
        (datetime(2026, 1, 12, 14, 10, tzinfo=UTC), None),  # left out
        (datetime(2026, 6, 1, 12, tzinfo=UTC), None),  # cancelled
        (local("2026-07-01T08:30"), local("2026-07-01T09:00")),
    ],
)
def test_icalendar_events_recur_in_their_own_zones(moment: datetime, end: datetime | None) -> None:
    assert ends(Blackouts([calendar(ical=ICAL)]), moment) == end


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "", "at least one day"),
        ({"timezone": "Mars/Base", "dates": [{"from": "2026-01-01"}]}, "/timezone", "IANA"),
        ({"dates": [{"from": "2026-01-02", "to": "2026-01-01"}]}, "/dates/0/to", "before the first day"),
        ({"dates": [{"from": "0001-01-01"}]}, "/dates/0/from", "between"),
        ({"ical": "hello"}, "/ical", "iCalendar"),
        ({"ical": "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nEND:VCALENDAR"}, "/ical", "no event"),
        ({"ical": ICAL.replace("FREQ=YEARLY", "FREQ=SECONDLY")}, "/ical", "'Christmas' repeats more often than daily"),
        ({"ical": ICAL.replace("FREQ=YEARLY", "FREQ=DAILY;BYSECOND=1,2,3")}, "/ical", "more often than daily"),
        ({"ical": ICAL.replace("RRULE:FREQ=YEARLY", "RRULE:FREQ=NONSENSE")}, "/ical", "cannot be read"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(body: dict[str, Any], pointer: str, words: str) -> None:
    (error,) = problems({"timezone": BERLIN, **body})
    assert error.pointer == pointer
    assert words in error.message


def test_at_and_between_agree() -> None:
    draw = random.Random(7)
    for _ in range(30):
        dates = [{"from": f"2026-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"} for _ in range(6)]
        window = {
            "days": draw.sample(["mon", "tue", "sat"], 2),
            "from": f"{draw.randint(0, 23):02d}:00",
            "to": f"{draw.randint(0, 23):02d}:30",
        }
        both = Blackouts([calendar(dates=dates, weekly=[window]), calendar(ical=ICAL)])
        begin = datetime(2026, draw.randint(1, 11), 1, tzinfo=UTC)
        listed = both.between(begin, begin + timedelta(days=28))
        assert all(one.end < other.start for one, other in itertools.pairwise(listed))
        for _ in range(60):
            moment = begin + timedelta(minutes=draw.randint(0, 28 * 1440))
            inside = next((one for one in listed if one.start <= moment < one.end), None)
            assert ends(both, moment) == (inside.end if inside else None)


MINUTELY = CronTrigger(expression="* * * * *")


def planned(first: str, now: str, policy: MisfirePolicy = MisfirePolicy.ONCE, *, zone: str = "UTC", **body: Any) -> Any:
    return plan_due(
        MINUTELY,
        local(first, zone),
        local(now, zone),
        misfire=Misfire(policy=policy),
        blackouts=Blackouts([Calendar("c", {"timezone": zone, **body})]),
    )


NIGHT = {"weekly": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "22:00", "to": "06:00"}]}


def test_the_first_due_time_in_a_blackout_closes_the_job_until_its_end() -> None:
    plan = planned("2026-11-23T22:00", "2026-11-23T22:00:01", **NIGHT)
    assert (plan.runs, plan.missed, plan.blackout) == ((), None, None)
    assert plan.closed.since_due == local("2026-11-23T22:00", "UTC")
    assert plan.next_run_at == plan.closed.until == local("2026-11-24T06:00", "UTC")


def test_what_is_in_time_and_open_runs_though_a_blackout_is_near() -> None:
    plan = planned("2026-11-23T21:58", "2026-11-23T21:59:30", **NIGHT)
    assert len(plan.runs) == 2
    assert plan.closed is None
    assert plan.next_run_at == local("2026-11-23T22:00", "UTC"), "its turn will tell"


def test_nothing_starts_while_now_is_in_a_blackout() -> None:
    """Down from 21:50 to 22:02: what was due at 21:58 is still within the grace, and it is night."""
    plan = planned("2026-11-23T21:50", "2026-11-23T22:02", **NIGHT)
    assert plan.runs == ()
    assert plan.closed.until == local("2026-11-24T06:00", "UTC")
    assert plan.closed.since_due == local("2026-11-23T21:57", "UTC")
    assert (plan.missed.count, plan.missed.last) == (7, local("2026-11-23T21:56", "UTC"))


def test_an_outage_over_nights_is_two_summaries_and_one_run() -> None:
    """Down from Monday noon to Friday noon, minutely: four nights of eight hours."""
    plan = planned("2026-11-23T12:00", "2026-11-27T12:00", **NIGHT)
    minutes, nights = 4 * 1440 + 1, 4 * 480
    assert plan.blackout.count == nights
    assert (plan.blackout.first, plan.blackout.last) == (local("2026-11-23T22:00", "UTC"), local("2026-11-27T05:59", "UTC"))
    assert plan.missed.count + len(plan.runs) == minutes - nights
    assert plan.missed.first == local("2026-11-23T12:00", "UTC")
    assert all(NIGHT and not (due.hour >= 22 or due.hour < 6) for due in plan.runs)


@pytest.mark.parametrize("policy", list(MisfirePolicy))
def test_every_due_time_of_an_outage_is_in_one_place(policy: MisfirePolicy) -> None:
    draw = random.Random(11)
    for _ in range(40):
        first = datetime(2026, 11, draw.randint(1, 20), draw.randint(0, 23), draw.randint(0, 59), tzinfo=UTC)
        now = first + timedelta(minutes=draw.randint(0, 3000), seconds=draw.randint(0, 59))
        window = {"days": draw.sample(list(NIGHT["weekly"][0]["days"]), 4), "from": f"{draw.randint(0, 23):02d}:00", "to": "12:00"}  # type: ignore[index]
        blackouts = Blackouts([Calendar("c", {"timezone": "UTC", "weekly": [window]})])
        plan = plan_due(MINUTELY, first, now, misfire=Misfire(policy=policy, grace_seconds=120), blackouts=blackouts)
        assert all(blackouts.at(due) is None for due in plan.runs)
        assert not plan.runs or blackouts.at(now) is None
        told = len(plan.runs) + sum(span.count for span in (plan.missed, plan.blackout) if span)
        end = plan.closed.since_due - timedelta(milliseconds=1) if plan.closed else now
        assert told == MINUTELY.count(first - timedelta(milliseconds=1), end)
        firsts = [span.first for span in (plan.missed, plan.blackout) if span] + list(plan.runs)
        assert len(firsts) == len(set(firsts)), "each record has a due time of its own"


def test_a_year_of_nights_is_planned_at_once() -> None:
    plan = planned("2025-11-23T12:00", "2026-11-23T12:00", **NIGHT)
    assert plan.blackout.count == 365 * 480
    assert plan.missed.count + len(plan.runs) == 365 * 960 + 1


DEFINED = "BEGIN:VTIMEZONE\r\nTZID:Ours\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:{0}\r\nTZOFFSETTO:{0}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"


def _in_zone(zone: str, before: str = "", after: str = "") -> dict[str, Any]:
    event = f"DTSTART;TZID={zone}:20260302T100000\r\nDTEND;TZID={zone}:20260302T110000\r\nEXDATE;TZID={zone}:20260303T100000\r\n"
    whole = f"BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:closed\r\n{event}END:VEVENT\r\n"
    return {"timezone": "UTC", "ical": f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{before}{whole}{after}END:VCALENDAR\r\n"}


@pytest.mark.parametrize("zone", ["localtime", "Factory", "right/UTC", "posix/UTC", "europe/berlin", "Nowhere/At_All", "Ours"])
def test_an_event_in_a_zone_that_not_each_node_knows_is_refused(zone: str) -> None:
    found = problems(_in_zone(zone))
    assert [(one.pointer, zone in one.message) for one in found] == [("/ical", True)], found


def test_a_zone_is_known_by_its_iana_name_by_that_of_windows_or_from_the_file_alone() -> None:
    def begins(body: dict[str, Any]) -> datetime:
        assert problems(body) == []
        return Blackouts([Calendar("x", body)]).between(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC))[0].start

    assert begins(_in_zone("US/Eastern")) == datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert begins(_in_zone("W. Europe Standard Time")) == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert begins(_in_zone("Ours", before=DEFINED.format("+0300"))) == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert begins(_in_zone("Ours", after=DEFINED.format("-0300"))) == datetime(2026, 3, 2, 13, tzinfo=UTC), (
        "another file's definition holds"
    )


@pytest.mark.parametrize(
    "event",
    [
        "DTSTART;VALUE=DATE:00010101",
        "DTSTART:99991231T235959Z\r\nDURATION:P1000000D",
        "DTSTART:20260101T000000Z\r\nDTEND:99991231T235959Z\r\nRRULE:FREQ=DAILY",
    ],
)
def test_an_event_at_an_end_of_the_calendar_is_refused(event: str) -> None:
    whole = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\n{event}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    assert [one.pointer for one in problems({"timezone": "UTC", "ical": whole})] == ["/ical"]

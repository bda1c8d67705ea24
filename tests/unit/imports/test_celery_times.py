"""Schedules of Celery: the oracle of the import against Celery itself, and the schedules of jobs against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.imports.dialects.celery import CrontabRefused, read_crontab
from app.imports.dialects.celery_schedule import Limits, beat_schedule
from app.imports.dialects.spelling import Pattern, schedule_of, spell
from app.imports.entries import Draft
from app.imports.fires import compare, trigger_of, trigger_times
from tests.builders import celery_expressions
from tests.lengths import one_in

celery = pytest.importorskip("celery")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
# Near clock changes of the zones, and on a common day.
STARTS = [
    datetime.fromisoformat(f"{text}+00:00")
    for text in ("2026-03-28T09:00", "2026-10-24T05:00", "2026-04-04T01:00", "2026-11-30T12:00", "2026-09-05T01:00")
]
LIMITS = Limits(now=NOW)


def library(fields: dict[str, str], zone: str) -> Any:
    """A crontab of Celery in a time zone; None if Celery refuses it."""
    from celery.schedules import ParseException, crontab

    try:
        made = crontab(app=celery.Celery("x", set_as_current=False), **fields)
    except (ValueError, ParseException):
        return None
    made.tz = ZoneInfo(zone)
    return made


def library_times(crontab: Any, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times in (after, until], each looked for from the one before, as Beat does."""
    moment = after
    while True:
        crontab.nowfun = lambda moment=moment: moment
        last, delta, _ = crontab.remaining_delta(moment)
        moment = (last + delta).astimezone(UTC)
        if moment > until:
            return
        yield moment


def test_the_oracle_agrees_with_celery() -> None:
    """2,000 crontabs in `make check-long`, a part of them in `make check`."""
    compared = 0
    for number in one_in(8, range(2_000)):
        random = Random(number)
        fields, zone, begin = celery_expressions.fields(random), random.choice(celery_expressions.ZONES), random.choice(STARTS)
        crontab = library(fields, zone)
        if crontab is None:
            with pytest.raises(CrontabRefused):
                read_crontab(fields, zone)
            continue
        until = begin + timedelta(days=400)
        ours = list(islice(read_crontab(fields, zone).times(begin, until), 10))
        assert ours == list(islice(library_times(crontab, begin, until), 10)), (number, fields, zone, begin)
        compared += len(ours)
    assert compared > 1_000


@pytest.mark.parametrize("text", ["60", "7-8/0", "*/0", "5/10", "x", "", "1,,2", "-3", "*5"])
def test_fields_that_celery_refuses_are_refused(text: str) -> None:
    assert library({"minute": text}, "UTC") is None
    with pytest.raises(CrontabRefused):
        read_crontab({"minute": text}, "UTC")


@pytest.mark.parametrize(
    ("fields", "zone", "schedule"),
    [
        ({"minute": "0", "hour": "4"}, "UTC", "cron 0 4 * * *"),
        ({"minute": "*/15"}, "UTC", "cron */15 * * * *"),
        ({"minute": "*/15"}, "Europe/Berlin", "cron 0-59/15 0-23 * * *"),
        ({"minute": "*/15", "hour": "8-18"}, "Europe/Berlin", "cron */15 8-18 * * *"),
        ({"minute": "0", "hour": "6", "day_of_week": "fri-mon"}, "UTC", "cron 0 6 * * 0,1,5,6"),
        ({"minute": "0", "hour": "6", "day_of_week": "*/2", "day_of_month": "1-7"}, "UTC", "cron 0 6 1-7 * */2"),
        ({"minute": "0", "hour": "9", "day_of_month": "1-7", "day_of_week": "mon"}, "Europe/Berlin", "calendar FREQ=MONTHLY;BYMONTHDAY="),
        (
            {"minute": "0", "hour": "9", "day_of_month": "13", "day_of_week": "5"},
            "UTC",
            "calendar FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=9",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_crontab_becomes_a_schedule_with_the_same_times(fields: dict[str, str], zone: str, schedule: str) -> None:
    spec = {"type": "crontab", **dict.fromkeys(celery_expressions.BOUNDS, "*"), **fields, "timezone": zone}
    draft = Draft(body={})
    times = beat_schedule(spec, LIMITS, draft)
    assert times is not None
    made = trigger_of(draft.body["schedule"])
    assert f"{made.type} {made.notation}".startswith(schedule)
    result = compare(times, lambda after, until: trigger_times(made, after, until), made.timezone, NOW)
    assert result.equal, result
    assert result.first == next(library_times(library(fields, zone), NOW, NOW + timedelta(days=400)))


def test_a_time_that_the_clock_skips_must_be_decided() -> None:
    """Celery sends the task of 02:30 at 03:30, and a job runs at 03:00."""
    spec = {
        "type": "crontab",
        **dict.fromkeys(celery_expressions.BOUNDS, "*"),
        "minute": "30",
        "hour": "2",
        "timezone": "Europe/Berlin",
    }
    draft = Draft(body={})
    times = beat_schedule(spec, LIMITS, draft)
    assert times is not None
    made = trigger_of(draft.body["schedule"])
    result = compare(times, lambda after, until: trigger_times(made, after, until), made.timezone, NOW)
    assert result.wrong == datetime(2027, 3, 28, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "limits", "schedule"),
    [
        ({"type": "interval", "seconds": 300.0}, LIMITS, {"type": "interval", "interval_seconds": 300, "timezone": "UTC"}),
        (
            {"type": "interval", "seconds": 300.0},
            Limits(now=NOW, last_run=NOW - timedelta(seconds=59.5)),
            {"type": "interval", "interval_seconds": 300, "timezone": "UTC", "start_at": "2026-11-30T12:04:00+00:00"},
        ),
        (
            {"type": "interval", "seconds": 3600.0},
            Limits(now=NOW, last_run=NOW, start=NOW + timedelta(days=2), end=NOW + timedelta(days=9)),
            {
                "type": "interval",
                "interval_seconds": 3600,
                "timezone": "UTC",
                "start_at": "2026-12-02T12:00:00+00:00",
                "end_at": "2026-12-09T12:00:00+00:00",
            },
        ),
        (
            {"type": "interval", "seconds": 86400.0, "relative": True, "timezone": "Europe/Berlin"},
            LIMITS,
            {"type": "cron", "expression": "0 0 * * *", "timezone": "Europe/Berlin"},
        ),
        ({"type": "clocked", "at": "2026-12-24T18:00:00.5+00:00"}, LIMITS, {"type": "once", "run_at": "2026-12-24T18:00:01+00:00"}),
        (
            {"type": "crontab", **dict.fromkeys(celery_expressions.BOUNDS, "*"), "minute": "0", "hour": "4", "timezone": "UTC"},
            Limits(now=NOW, once=True),
            {"type": "once", "run_at": "2026-12-01T04:00:00+00:00"},
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_schedules_become_schedules_with_the_same_times(spec: dict[str, Any], limits: Limits, schedule: dict[str, Any]) -> None:
    draft = Draft(body={})
    times = beat_schedule(spec, limits, draft)
    assert times is not None
    assert draft.body["schedule"] == schedule
    made = trigger_of(schedule)
    assert compare(times, lambda after, until: trigger_times(made, after, until), made.timezone, NOW).equal


def test_a_crontab_with_a_start_that_comes_is_sent_at_once_then_and_must_be_decided() -> None:
    spec = {"type": "crontab", **dict.fromkeys(celery_expressions.BOUNDS, "*"), "minute": "0", "hour": "4", "timezone": "UTC"}
    draft = Draft(body={})
    start = NOW + timedelta(days=2)
    times = beat_schedule(spec, Limits(now=NOW, start=start), draft)
    assert times is not None
    assert list(islice(times(NOW, NOW + timedelta(days=9)), 2)) == [start, start + timedelta(hours=16)]
    made = trigger_of(draft.body["schedule"])
    assert not compare(times, lambda after, until: trigger_times(made, after, until), "UTC", NOW).equal


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"type": "solar", "event": "sunrise", "latitude": "52", "longitude": "13"}, "follow the sun"),
        ({"type": "interval", "seconds": 0.5}, "a whole number of seconds"),
        ({"type": "interval", "seconds": 172800.0, "relative": True, "timezone": "UTC"}, "not rounded to days"),
        ({"type": "other", "text": "rrule(...)"}, "not one of those that Celery itself has"),
        (
            {"type": "crontab", **dict.fromkeys(celery_expressions.BOUNDS, "*"), "minute": "99", "timezone": "UTC"},
            "99 is not between 0 and 59",
        ),
        (
            {"type": "crontab", **dict.fromkeys(celery_expressions.BOUNDS, "*"), "timezone": "Mars/Base"},
            "Mars/Base is not an IANA time zone",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_no_schedule_can_say_is_decided(spec: dict[str, Any], why: str) -> None:
    draft = Draft(body={})
    assert beat_schedule(spec, LIMITS, draft) is None
    (question,) = draft.questions
    assert why in question.text
    assert draft.body["schedule"] == {"type": "manual"}


@pytest.mark.parametrize(
    ("values", "star", "text"),
    [
        (range(60), True, "*"),
        (range(60), False, "0-59"),
        (range(0, 60, 15), True, "*/15"),
        (range(0, 60, 15), False, "0-59/15"),
        (range(0, 60, 7), True, "*/7"),
        (range(5, 50, 10), True, "5-45/10"),
        ([1, 2, 3, 7, 9, 10], True, "1-3,7,9,10"),
        ([0, 30], True, "0,30"),
        ([4], True, "4"),
    ],
)
def test_numbers_are_written_as_people_write_them(values: Any, star: bool, text: str) -> None:
    assert spell(values, 0, 59, star=star) == text


def test_a_pattern_without_words_has_no_schedule() -> None:
    every = frozenset(range(60))
    assert schedule_of(Pattern(seconds=every, days=frozenset({1}), weekdays=frozenset({0})), "UTC") is None
    assert schedule_of(Pattern(nth=frozenset({(1, 0)}), days=frozenset(), weekdays=frozenset({1})), "UTC") is None

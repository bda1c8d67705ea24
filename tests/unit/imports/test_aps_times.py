"""Triggers of APScheduler 3: the oracle of the import against APScheduler itself, and the schedules of jobs against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.imports.dialects.aps import TriggerRefused, read_cron
from app.imports.dialects.aps_schedule import describe, may_coincide, trigger_schedule
from app.imports.entries import Draft
from app.imports.fires import compare, trigger_of, trigger_times
from tests.builders import aps_expressions, aps_jobs
from tests.lengths import one_in

BERLIN = ZoneInfo("Europe/Berlin")
# Near clock changes of the zones, and on a common day.
STARTS = [
    datetime.fromisoformat(f"{text}+00:00")
    for text in ("2026-03-28T09:00", "2026-10-24T05:00", "2026-04-04T01:00", "2026-11-30T12:00", "2026-09-05T01:00")
]


def library_times(trigger: BaseTrigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of a trigger in (after, until], as the scheduler asks for them one after the other."""
    previous, now = None, after + timedelta(seconds=1)
    while (found := trigger.get_next_fire_time(previous, now)) is not None and found.astimezone(UTC) <= until:
        if found.astimezone(UTC) > after:
            yield found.astimezone(UTC)
        previous, now = found, found.astimezone(UTC) + timedelta(milliseconds=5)  # as late as a scheduler is


def test_the_oracle_agrees_with_apscheduler() -> None:
    """2,000 triggers in `make check-long`, a part of them in `make check`: APScheduler itself takes a second for 20 of them."""
    random, compared = Random(20_261), 0
    for number in one_in(40, range(2_000)):
        random.seed(number)
        fields, zone, begin = (
            aps_expressions.fields(random),
            random.choice(aps_expressions.ZONES),
            random.choice(STARTS),
        )
        until = begin + timedelta(days=random.choice([2, 30, 400]))
        trigger = CronTrigger(timezone=ZoneInfo(zone), end_date=until, **fields)
        texts = {field.name: str(field) for field in trigger.fields}
        ours = list(islice(read_cron(texts, zone).times(begin, until), 8))
        assert ours == list(islice(library_times(trigger, begin, until), 8)), (number, fields, zone, begin)
        compared += len(ours)
    assert compared > 100


@pytest.mark.parametrize(
    ("fields", "begin", "times"),
    [
        # Skipped by the clock: as if it had not changed.
        ({"hour": "2", "minute": "30"}, "2026-03-28T12:00", ["2026-03-29T01:30", "2026-03-30T00:30"]),
        # Repeated by the clock: twice.
        ({"hour": "2", "minute": "30"}, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
        # The midnight after the change is left out, and so is the first of April.
        ({"hour": "0"}, "2026-03-28T12:00", ["2026-03-28T23:00", "2026-03-30T22:00"]),
        ({"day": "1", "hour": "0"}, "2026-02-02T12:00", ["2026-02-28T23:00", "2026-04-30T22:00"]),
        # 0 is Monday.
        ({"day_of_week": "0", "hour": "12"}, "2026-06-01T12:00", ["2026-06-08T10:00", "2026-06-15T10:00"]),
    ],
)
def test_the_traps_are_those_of_apscheduler(fields: dict[str, str], begin: str, times: list[str]) -> None:
    expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in times]
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    trigger = CronTrigger(timezone=BERLIN, **fields)
    assert list(islice(library_times(trigger, start, start + timedelta(days=400)), len(expected))) == expected
    rule = read_cron({field.name: str(field) for field in trigger.fields}, "Europe/Berlin")
    assert list(islice(rule.times(start, start + timedelta(days=400)), len(expected))) == expected


@pytest.mark.parametrize(
    ("trigger", "schedule"),
    [
        (CronTrigger(hour=2, timezone="UTC"), "cron 0 2 * * *"),
        (CronTrigger(second="*/10", timezone="UTC"), "cron */10 * * * * *"),
        (CronTrigger(day_of_week="mon-fri", hour="9-17", minute="*/15", timezone="UTC"), "cron */15 9-17 * * 1-5"),
        (CronTrigger(day_of_week=6, hour=4, timezone="UTC"), "cron 0 4 * * 0"),
        (CronTrigger(month="jan,jul", day=1, timezone="UTC"), "cron 0 0 1 1,7 *"),
        (CronTrigger(day="*/2", day_of_week="mon", hour=5, timezone="UTC"), "cron 0 5 */2 * 1"),
        (
            CronTrigger(day="1-7", day_of_week="mon", hour=5, timezone="UTC"),
            "calendar FREQ=MONTHLY;BYMONTHDAY=1,2,3,4,5,6,7;BYDAY=MO;BYHOUR=5",
        ),
        (CronTrigger(day="last", hour=22, timezone=BERLIN), "calendar FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=22"),
        (CronTrigger(day="2nd fri", hour=9, timezone=BERLIN), "calendar FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9"),
        (CronTrigger(day="last sun, 3rd mon", month="3,9", timezone="UTC"), "calendar FREQ=MONTHLY;BYMONTH=3,9;BYDAY=-1SU,3MO;BYHOUR=0"),
        (CronTrigger(week="1-53/2", day_of_week="tue", hour=8, timezone="UTC"), "calendar FREQ=YEARLY;BYWEEKNO="),
        (CronTrigger(year="2027", month=3, timezone="UTC"), "cron 0 0 1 3 *"),
        (
            CalendarIntervalTrigger(months=1, start_date="2026-01-31", hour=8, timezone=BERLIN),
            "calendar FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY=31",
        ),
        (CalendarIntervalTrigger(weeks=2, start_date="2026-01-05", hour=8, timezone=BERLIN), "calendar FREQ=DAILY;INTERVAL=14"),
        (CalendarIntervalTrigger(years=1, months=6, start_date="2026-01-05", timezone=BERLIN), "calendar FREQ=MONTHLY;INTERVAL=18"),
        (IntervalTrigger(minutes=5, start_date="2026-01-01", end_date="2027-06-01", timezone="UTC"), "interval"),
        (DateTrigger("2027-02-03 04:05:06", timezone=BERLIN), "once"),
        (AndTrigger([CronTrigger(hour="2-4", timezone="UTC"), CronTrigger(hour=3, day_of_week="mon", timezone="UTC")]), "cron 0 3 * * 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_trigger_becomes_a_schedule_with_the_same_times(trigger: BaseTrigger, schedule: str) -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    draft = Draft(body={})
    times = trigger_schedule(aps_jobs.spec_of(trigger), "", None, draft)
    assert times is not None
    made = trigger_of(draft.body["schedule"])
    assert f"{made.type} {made.notation}".strip().startswith(schedule)
    result = compare(times, lambda after, until: trigger_times(made, after, until), made.timezone, now)
    assert result.equal, result
    assert result.first is not None
    if not isinstance(trigger, AndTrigger):  # APScheduler itself looks for ever for the second time of it
        until = now + timedelta(days=500)
        assert list(islice(times(now, until), 5)) == list(islice(library_times(trigger, now, until), 5))


@pytest.mark.parametrize(
    ("trigger", "why"),
    [
        (CronTrigger(year="2027,2029", timezone="UTC"), "years with other years between them"),
        (CronTrigger(day="1,2nd fri", timezone="UTC"), "can combine these days"),
        (CronTrigger(week=5, day="2nd fri", timezone="UTC"), "can combine these days"),
        (CalendarIntervalTrigger(months=1, days=2, timezone="UTC"), "in months and in days together"),
        (IntervalTrigger(seconds=1.5, timezone="UTC"), "a whole number of seconds"),
        (
            AndTrigger([CronTrigger(hour=2, timezone="UTC"), IntervalTrigger(hours=1, timezone="UTC")]),
            "only cron triggers of one time zone",
        ),
        (AndTrigger([CronTrigger(hour=2, timezone="UTC"), CronTrigger(hour=3, timezone="UTC")]), "leaves no time"),
        (AndTrigger([OrTrigger([DateTrigger("2027-01-01", timezone="UTC")])]), "only cron triggers"),
        (CronTrigger(hour=2, timezone=ZoneInfo("Europe/Berlin")), ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_no_schedule_can_say_is_decided(trigger: BaseTrigger, why: str) -> None:
    draft = Draft(body={})
    times = trigger_schedule(aps_jobs.spec_of(trigger), "", None, draft)
    if not why:
        assert times is not None
        return
    assert times is None
    assert draft.body["schedule"] == {"type": "manual"}
    (question,) = draft.questions
    assert why in question.text
    assert set(question.choices) == {"manual", "leave-out"}


def test_a_time_zone_that_is_not_known_must_be_given() -> None:
    spec = {**aps_jobs.spec_of(CronTrigger(hour=2, timezone="UTC")), "timezone": ""}
    draft = Draft(body={})
    assert trigger_schedule(spec, "", None, draft) is None
    assert "Give it with --zone" in draft.questions[0].text
    assert trigger_schedule(spec, "Europe/Berlin", None, Draft(body={})) is not None


@pytest.mark.parametrize("text", ["61", "5-3", "*/0", "x", "1-70", "mon"])
def test_fields_that_apscheduler_refuses_are_refused(text: str) -> None:
    with pytest.raises(TriggerRefused):
        read_cron({"minute": text}, "UTC")
    with pytest.raises(ValueError, match="."):
        CronTrigger(minute=text, timezone="UTC")


def test_triggers_that_can_be_due_at_the_same_time_are_found() -> None:
    first, second, third = (aps_jobs.spec_of(CronTrigger(hour=hour, timezone="UTC")) for hour in (1, 2, "1-2"))
    assert [may_coincide(one, other) for one, other in pairwise((first, second, third))] == [False, True]
    assert describe(first).startswith("cron[hour='1'")

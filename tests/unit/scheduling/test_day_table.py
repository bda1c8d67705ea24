"""The table of days against the triggers themselves: each due time counts once, in its hour of the viewer's zone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.records import SharedSchedule
from app.scheduling.day_table import (
    MOST_NAMES,
    MOST_TIMES,
    NamedDueTime,
    count_between,
    due_by_hour,
    due_times,
    list_between,
)
from app.triggers import CronTrigger, IntervalTrigger, ManualTrigger, OnceTrigger, Trigger
from tests.lengths import examples

SPRING = datetime(2026, 3, 27, 11, 17, tzinfo=UTC)  # the clocks of Berlin change on the 29th
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana")
zones = st.sampled_from(ZONES)
triggers = st.one_of(
    st.builds(
        CronTrigger,
        expression=st.sampled_from(["0 2 * * *", "30 2 * * 0", "*/7 * * * *", "5,35 9-17 * * 1-5", "0 0 29 3 *", "15 */6 * * *"]),
        timezone=zones,
        end_at=st.sampled_from([None, SPRING + timedelta(hours=50)]),
    ),
    st.builds(IntervalTrigger, interval_seconds=st.sampled_from([1200, 5000, 90_000]), start_at=st.just(SPRING)),
    st.builds(OnceTrigger, run_at=st.just(SPRING + timedelta(hours=30))),
    st.just(ManualTrigger()),
)


def planned(trigger: Trigger, jobs: int = 1, name: str = "job") -> SharedSchedule:
    return SharedSchedule(trigger, None, jobs, ((name, name),))


@settings(max_examples=examples(40), deadline=None)
@given(
    chosen=st.lists(st.tuples(triggers, st.integers(1, 3)), max_size=4),
    zone=zones,
    hours=st.integers(0, 24 * 200),
    length=st.integers(1, 80),
)
def test_every_due_time_is_counted_once_in_its_hour(chosen: list[tuple[Trigger, int]], zone: str, hours: int, length: int) -> None:
    begin = SPRING + timedelta(hours=hours - 24)
    end = begin + timedelta(hours=length)
    expected: Counter[datetime] = Counter()
    for trigger, jobs in chosen:
        for at in trigger.between(begin, end):
            expected[at.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0).astimezone(UTC)] += jobs
    found = due_by_hour([planned(*each) for each in chosen], begin, end, ZoneInfo(zone))
    counted: Counter[datetime] = Counter()
    for hour, due in found.items():
        counted[hour.astimezone(UTC)] += due.count
    assert counted == expected


@settings(max_examples=examples(40), deadline=None)
@given(trigger=triggers, minutes=st.integers(-3000, 300_000), length=st.integers(1, 4000))
def test_the_fast_list_is_that_of_the_trigger(trigger: Trigger, minutes: int, length: int) -> None:
    begin = SPRING + timedelta(minutes=minutes)
    end = begin + timedelta(minutes=length)
    assert list(list_between(trigger, begin, end)) == list(trigger.between(begin, end))
    assert count_between(trigger, begin, end) == len(list(trigger.between(begin, end)))


def test_only_what_is_due_rarely_is_named_and_few_of_that() -> None:
    day = datetime(2026, 6, 1, tzinfo=UTC)
    nightly = CronTrigger(expression="0 2 * * *")
    plans = [planned(nightly, name=f"job {number}") for number in range(6)] + [planned(CronTrigger(expression="*/5 * * * *"), name="often")]
    found = due_by_hour(plans, day, day + timedelta(days=1), ZoneInfo("UTC"))
    two = day + timedelta(hours=2)
    assert len(found) == 24
    assert found[two].count == 6 + 12
    assert found[two].named == tuple(NamedDueTime(two, f"job {number}", f"job {number}") for number in range(MOST_NAMES))
    assert found[day].named == ()


@pytest.mark.parametrize(
    ("expression", "days", "count", "spans"),
    [("0 */6 * * *", 1, 4, 4), ("* * * * *", 1, 1440, 96), ("0 2 29 2 *", 1, 0, 0), (f"*/{60 // 20} * * * *", 1, MOST_TIMES, MOST_TIMES)],
)
def test_many_due_times_are_told_by_quarters_of_an_hour(expression: str, days: int, count: int, spans: int) -> None:
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    times = due_times(CronTrigger(expression=expression), begin, begin + timedelta(days=days))
    assert (times.count, len(times.spans)) == (count, spans)
    assert all(bool(length) is (count > MOST_TIMES) for _, length in times.spans)


def test_the_rest_of_a_day_names_the_same_jobs_as_a_whole_day() -> None:
    begin = datetime(2026, 11, 29, 23, 1, tzinfo=UTC)  # one due time of the day is left
    plans = [planned(CronTrigger(expression="5 * * * *"), name="hourly"), planned(CronTrigger(expression="30 23 * * *"), name="nightly")]
    hours = due_by_hour(plans, begin, begin + timedelta(days=2), ZoneInfo("UTC"))
    assert {named.name for hour in hours.values() for named in hour.named} == {"nightly"}
    assert hours[datetime(2026, 11, 29, 23, tzinfo=UTC)].count == 2

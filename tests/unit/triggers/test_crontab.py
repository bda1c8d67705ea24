"""Due times of cron expressions against tables worked out by hand, and against a minute-by-minute reading of cron(8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.triggers import CronTrigger
from app.triggers.crontab import CronError, check_expression, count_times, iter_times
from app.triggers.words import in_language
from tests.builders import cron_oracle
from tests.lengths import examples


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("0 2 * * *", "UTC", "2026-03-02T12:00", ["2026-03-03T02:00", "2026-03-04T02:00"]),
        ("*/15 * * * *", "UTC", "2026-03-02T12:01", ["2026-03-02T12:15", "2026-03-02T12:30"]),
        ("0 0 * * 0", "UTC", "2026-03-02T12:00", ["2026-03-08T00:00"]),
        ("0 0 * * 7", "UTC", "2026-03-02T12:00", ["2026-03-08T00:00"]),
        ("0 0 * * SUN", "UTC", "2026-03-02T12:00", ["2026-03-08T00:00"]),
        ("0 0 * * 5-7", "UTC", "2026-03-02T12:00", ["2026-03-06T00:00", "2026-03-07T00:00", "2026-03-08T00:00", "2026-03-13T00:00"]),
        ("0 0 1 jan,Jul *", "UTC", "2026-03-02T12:00", ["2026-07-01T00:00", "2027-01-01T00:00"]),
        # day of month OR weekday when neither begins with *
        ("0 0 13 * 5", "UTC", "2026-03-01T00:00", ["2026-03-06T00:00", "2026-03-13T00:00", "2026-03-20T00:00"]),
        # … AND where one begins with *
        ("0 0 */2 * 5", "UTC", "2026-03-01T00:00", ["2026-03-13T00:00", "2026-03-27T00:00"]),
        ("0 0 29 2 *", "UTC", "2026-03-02T12:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00", ["2104-02-29T00:00"]),
        ("30 0 2 * * *", "UTC", "2026-03-02T12:00", ["2026-03-03T02:00:30"]),
        ("* * * * * *", "UTC", "2026-03-02T12:00:00.4", ["2026-03-02T12:00:01", "2026-03-02T12:00:02"]),
        ("@daily", "Asia/Kathmandu", "2026-03-02T12:00", ["2026-03-02T18:15"]),
        # Berlin, spring: 02:30 is skipped and runs at 03:00; autumn: once
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        # a wildcard hour follows the wall clock: nothing for the gap, both in the repetition
        ("30 * * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T00:30", "2026-03-29T01:30"]),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        # Lord Howe moves by half an hour: 02:15 does not exist on 4 October and runs at 02:30 local
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
        # Beirut changes at midnight: 00:00 on 29 March 2026 does not exist
        ("0 0 * * *", "Asia/Beirut", "2026-03-27T23:00", ["2026-03-28T22:00", "2026-03-29T21:00"]),
        # Apia skipped 30 December 2011 whole: no run is made up for a jump of a day
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-29T22:00", "2011-12-30T22:00"]),
        ("0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00", ["2012-12-29T22:00"]),
    ],
)
def test_due_times(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert list(islice(iter_times(expression, zone, utc(after)), len(expected))) == [utc(text) for text in expected]


@pytest.mark.parametrize(
    ("expression", "words", "position"),
    [
        ("", "must have five fields", 0),
        ("* * * *", "It has 4", 0),
        ("1 2 3 4 5 6 7", "It has 7", 0),
        ("60 * * * *", "60 is not between 0 and 59", 0),
        ("* 24 * * *", "24 is not between 0 and 23", 2),
        ("* * 0 * *", "0 is not between 1 and 31", 4),
        ("* * * 13 *", "13 is not between 1 and 12", 6),
        ("* * * * 8", "8 is not between 0 and 7", 8),
        ("0 0 * * fri-sun", "runs backwards", 12),
        ("0 9-17/0 * * *", "from 1 to 9999", 7),
        ("5/15 * * * *", "needs * or a range", 0),
        ("1,,2 * * * *", "is not *, a number", 2),
        ("0 0 L * *", "not a number", 4),
        ("0 0 * * 5#2", "'5#2' is not", 9),
        ("*-5 * * * *", "* cannot be followed by a range", 2),
        ("０ * * * *", "is not *, a number", 0),
        ("@reboot", "not known", 0),
        ("0 0 30 2 *", "does not exist", 4),
        ("0 0 31 4,6,9,11 *", "does not exist", 4),
    ],
)
def test_what_debian_cron_would_not_take(expression: str, words: str, position: int) -> None:
    with pytest.raises(CronError, match=r".*") as caught:
        check_expression(expression)
    assert words in str(caught.value)
    assert caught.value.position == position


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a time zone"):
        next(iter_times("* * * * *", "UTC", datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point


field = st.one_of(st.just("*"), st.integers(2, 30).map(lambda n: f"*/{n}"))
ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Africa/Casablanca", "Asia/Beirut", "UTC", "America/Havana"]


@settings(max_examples=examples(60), deadline=None)
@given(
    minute=st.one_of(field, st.integers(0, 59).map(str), st.just("0,30"), st.just("10-20/5")),
    hour=st.one_of(st.just("*"), st.integers(0, 23).map(str), st.just("*/3"), st.just("1-4")),
    day=st.sampled_from(["*", "1", "15,28", "*/7"]),
    weekday=st.sampled_from(["*", "0", "1-5", "7"]),
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2019, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_agrees_with_the_clock_on_the_wall(minute: str, hour: str, day: str, weekday: str, zone: str, start: datetime) -> None:
    """Wherever no clock change is near, the due times are exactly the minutes whose wall time matches; and the counts agree."""
    expression, begin = f"{minute} {hour} {day} * {weekday}", start.replace(second=0, microsecond=0, tzinfo=UTC)
    end = begin + timedelta(days=9)
    tz = ZoneInfo(zone)
    offsets = {(begin + timedelta(hours=h)).astimezone(tz).utcoffset() for h in range(-24, 24 * 10)}
    found = []
    for moment in iter_times(expression, zone, begin):
        if moment > end:
            break
        found.append(moment)
    assert count_times(expression, zone, begin, end) == len(found)
    assert found == sorted(set(found))
    if len(offsets) == 1:
        from cronsim import CronSim

        sim = CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - for its sets
        minutes = (begin + timedelta(minutes=m) for m in range(1, 9 * 1440 + 1))
        assert found == [
            m for m in minutes if (w := m.astimezone(tz)).minute in sim.minutes and w.hour in sim.hours and sim.match_day(w.date())
        ]


def test_a_year_of_seconds_is_counted_without_listing() -> None:
    assert count_times("* * * * * *", "Europe/Berlin", utc("2026-01-01T00:00"), utc("2027-01-01T00:00")) == 365 * 86400


@given(text=st.text(max_size=60) | st.text(alphabet="0123456789*,-/ @LW#?janmonsufriwkdly\t\n", max_size=60))
@settings(max_examples=examples(500), deadline=None)
def test_any_text_is_an_expression_or_is_refused_at_one_of_its_characters(text: str) -> None:
    try:
        normal, refused = check_expression(text), None
    except CronError as error:
        normal, refused = "", error
    if refused is not None:
        assert 0 <= refused.position <= len(text)
        return
    assert check_expression(normal) == normal
    times = list(islice(iter_times(text, "Europe/Berlin", utc("2026-03-02T12:00")), 3))
    assert times == sorted(set(times))
    assert times[0] > utc("2026-03-02T12:00")


def test_a_range_of_one_number_has_that_number_whatever_its_step() -> None:
    """cronsim would go on to the end of the field; cron does not."""
    assert check_expression("*,29 10-10/4 25 * fri-FRI/2") == "*,29 10 25 * fri"
    assert check_expression("1-10/2 * * * *") == "1-10/2 * * * *"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    "expression",
    [
        "*/60 * * * *",
        "*/90 * * * *",
        "*/90 2 * * *",
        "30 */48 * * *",
        "0 9 */40 * *",
        "0 9 */40 * 1",
        "0 9 1-5/9 * */9",
        "0,*/70 1 * */13 *",
    ],
)
def test_a_step_longer_than_its_field_means_what_debian_makes_of_it(expression: str, zone: str) -> None:
    """cron_oracle is a simulation of Debian's cron."""
    line = cron_oracle.parse(expression)
    assert line is not None
    for begin in (datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 3, 27, 23, tzinfo=UTC), datetime(2027, 10, 30, 22, tzinfo=UTC)):
        end = begin + timedelta(days=2)
        expected = cron_oracle.simulate(line, zone, begin, end)
        trigger = CronTrigger(expression=expression, timezone=zone)
        assert list(trigger.between(begin + timedelta(minutes=1), end)) == expected
        assert trigger.count(begin, end - timedelta(minutes=1)) == len(expected)


@pytest.mark.parametrize(
    ("expression", "english", "german"),
    [
        ("*/90 * * * *", "*/90 matches only minute 0", "Wählen Sie für einen längeren Abstand die Art „Intervall“"),
        ("0 5-9/7 * * *", "5-9/7 matches only hour 5", "passt nur zu Stunde 5"),
        ("*/61 0 0 1 * *", "*/61 matches only second 0", "passt nur zu Sekunde 0"),
        ("0 0 */31 * *", "only day 1 of the month", "zum 1. Tag des Monats"),
        ("0 0 1 */12 *", "only month 1", "zu Monat 1"),
        ("0 0 * * 1-5/6", "only day 1 of the week", "zu Wochentag 1"),
    ],
)
def test_a_step_longer_than_its_field_is_remarked(expression: str, english: str, german: str) -> None:
    (remark,) = CronTrigger(expression=expression).remarks()
    assert remark.pointer == "/schedule/expression"
    assert english in remark.message
    assert german in in_language(remark.message, "de")


@pytest.mark.parametrize("expression", ["*/59 * * * *", "*/15 */12 */30 */11 */6", "0 0 1 1 *", "@daily", "wrong"])
def test_other_expressions_have_no_remark(expression: str) -> None:
    assert CronTrigger(expression=expression).remarks() == []


@pytest.mark.parametrize(("expression", "words"), [("*/90 * * * *", "Every hour"), ("0 9 */40 * *", "At 09:00, on day 1 of the month")])
def test_a_step_longer_than_its_field_is_said_in_words(expression: str, words: str) -> None:
    assert CronTrigger(expression=expression).words() == words

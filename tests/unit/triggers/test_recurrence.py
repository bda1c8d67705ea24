"""Calendar rules: their days against dateutil and the examples of RFC 5545, their words, what is refused, and the builder."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from app.triggers import CalendarTrigger
from app.triggers.recurrence import NEAR, WEEKDAYS, RuleError, read_rule
from app.triggers.simple_calendar import LAST, NTHS, WORKING, Pick, SimpleCalendar, from_builder, simplified
from tests.lengths import examples

SIMPLE = st.builds(
    SimpleCalendar,
    pick=st.sampled_from(Pick),
    interval=st.integers(1, 1000),
    weekdays=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    day=st.sampled_from([LAST, *range(1, 32)]),
    nth=st.sampled_from(NTHS),
    kind=st.sampled_from([WORKING, *WEEKDAYS]),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
).filter(lambda simple: simple.pick is not Pick.NEAR or simple.day != LAST)


def due(rule: str, after: datetime, count: int, *, timezone: str = "UTC", counted_from: str | None = None) -> list[datetime]:
    return CalendarTrigger(rule=rule, counted_from=counted_from, timezone=timezone).preview(after, count)


def days(rule: str, count: int, *, counted_from: str | None = None, after: datetime = datetime(1997, 9, 1, tzinfo=UTC)) -> list[str]:
    return [moment.date().isoformat() for moment in due(rule, after, count, counted_from=counted_from)]


# -- days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [  # RFC 5545, 3.8.5.3, which counts them from 2 September 1997, 09:00
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH", ["1997-09-02", "1997-09-04", "1997-09-16", "1997-09-18", "1997-09-30"]),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,WE,FR", ["1997-09-01", "1997-09-03", "1997-09-05", "1997-09-15", "1997-09-17"]),
        ("FREQ=MONTHLY;BYDAY=1FR", ["1997-09-05", "1997-10-03", "1997-11-07", "1997-12-05", "1998-01-02", "1998-02-06"]),
        ("FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", ["1997-09-07", "1997-09-28", "1997-11-02", "1997-11-30", "1998-01-04"]),
        ("FREQ=MONTHLY;BYDAY=-2MO", ["1997-09-22", "1997-10-20", "1997-11-17", "1997-12-22", "1998-01-19", "1998-02-16"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-3", ["1997-09-28", "1997-10-29", "1997-11-28", "1997-12-29", "1998-01-29", "1998-02-26"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13", "2000-10-13"]),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", ["1997-11-04", "2001-11-06", "2005-11-08"]),
        ("FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", ["1997-09-04", "1997-10-07", "1997-11-06", "1997-12-04"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", ["1997-09-29", "1997-10-30", "1997-11-27", "1997-12-30", "1998-01-29"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", ["1998-05-11", "1999-05-17", "2000-05-15"]),
        ("FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200", ["2000-01-01", "2000-04-09", "2000-07-18", "2003-01-01"]),
    ],
)
def test_the_examples_of_the_rfc(rule: str, expected: list[str]) -> None:
    assert days(f"{rule};BYHOUR=9", len(expected), counted_from="1997-09-02") == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (15, ["2026-08-14", "2026-09-15", "2026-10-15", "2026-11-16"]),  # a Saturday goes back, a Sunday on
        (1, ["2026-08-03", "2026-09-01", "2026-10-01", "2026-11-02"]),  # it stays in its month
        (31, ["2026-08-31", "2026-10-30", "2026-12-31", "2027-01-29"]),  # months without the day have none
    ],
)
def test_the_nearest_weekday(day: int, expected: list[str]) -> None:
    assert days(f"FREQ=MONTHLY;{NEAR}={day};BYHOUR=9", 4, after=datetime(2026, 7, 31, 23, tzinfo=UTC)) == expected


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "INTERVAL": st.integers(1, 30),
        "BYMONTH": st.sets(st.integers(1, 12), min_size=1, max_size=4),
        "WKST": st.sampled_from(WEEKDAYS),
    },
)
DAYS = {
    "DAILY": st.just({}),
    "WEEKLY": st.fixed_dictionaries({"BYDAY": st.sets(st.sampled_from(WEEKDAYS), min_size=1)}),
    "MONTHLY": st.one_of(
        st.fixed_dictionaries({"BYMONTHDAY": st.sets(st.sampled_from([-31, -2, -1, 1, 2, 28, 29, 30, 31]), min_size=1)}),
        st.fixed_dictionaries({"BYDAY": st.sets(st.sampled_from(["MO", "2TU", "-1FR", "5SU"]), min_size=1)}),
        st.fixed_dictionaries({"BYDAY": st.just({"MO", "TU", "WE", "TH", "FR"}), "BYSETPOS": st.sampled_from([{1}, {-1}, {2, -2}])}),
    ),
    "YEARLY": st.one_of(
        st.fixed_dictionaries({"BYYEARDAY": st.sets(st.sampled_from([1, 60, 100, 365, 366, -1]), min_size=1)}),
        st.fixed_dictionaries({"BYDAY": st.sets(st.sampled_from(["20MO", "-1SU", "TU"]), min_size=1)}),
    ),
}


@st.composite
def rules(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(sorted(DAYS)))
    parts = {**draw(PARTS), **draw(DAYS[frequency])}
    if "BYYEARDAY" in parts:
        parts.pop("BYMONTH", None)
    written = [f"{name}={','.join(map(str, sorted(value))) if isinstance(value, set) else value}" for name, value in parts.items()]
    return ";".join([f"FREQ={frequency}", *written, "BYHOUR=9"])


@settings(max_examples=examples(60), deadline=None)
@given(rule=rules(), begin=st.dates(date(1990, 1, 1), date(2030, 1, 1)), skip=st.integers(0, 1500))
def test_it_says_what_dateutil_says(rule: str, begin: date, skip: int) -> None:
    """dateutil goes from its first day on; a trigger begins anywhere, in the same phase."""
    counted = begin.isoformat()
    after = datetime(begin.year, begin.month, begin.day) + timedelta(days=skip)  # noqa: DTZ001 - dateutil knows wall time
    # The first period of dateutil begins at its first day, so one that began before it is left out of the comparison.
    reference = rrulestr(rule + ";BYMINUTE=0;BYSECOND=0", dtstart=datetime(begin.year, begin.month, begin.day))  # noqa: DTZ001
    horizon = after + timedelta(days=366 * 6)
    expected = list(islice((moment for moment in reference.xafter(after) if moment < horizon), 12))
    after = max(after, datetime(begin.year, begin.month, begin.day))  # noqa: DTZ001
    if "BYSETPOS" in rule and skip < 62:
        return  # a set that began before the first day is another set for dateutil
    assert [moment.replace(tzinfo=None) for moment in due(rule, after.replace(tzinfo=UTC), len(expected), counted_from=counted)] == expected


@settings(max_examples=examples(30), deadline=None)
@given(week=st.integers(1, 53), backwards=st.booleans(), start=st.sampled_from(WEEKDAYS), year=st.integers(1990, 2050))
def test_weeks_are_numbered_as_dateutil_numbers_them(week: int, backwards: bool, start: str, year: int) -> None:
    rule = f"FREQ=YEARLY;BYWEEKNO={-week if backwards else week};BYDAY=MO,WE,SU;WKST={start};BYHOUR=9"
    reference = rrulestr(rule + ";BYMINUTE=0;BYSECOND=0", dtstart=datetime(1980, 1, 1))  # noqa: DTZ001 - dateutil knows wall time
    begin, end = datetime(year, 1, 1), datetime(year + 2, 1, 1)  # noqa: DTZ001
    expected = reference.between(begin, end)
    trigger = CalendarTrigger(rule=rule)
    assert [moment.replace(tzinfo=None) for moment in trigger.between(begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC))] == expected


def test_clock_changes_of_a_zone() -> None:
    """A skipped time comes right after the gap, a repeated one comes once: as a fixed time of a cron expression."""
    every_sunday = "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2;BYMINUTE=30"
    assert due(every_sunday, datetime(2026, 3, 28, tzinfo=UTC), 2, timezone="Europe/Berlin") == [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 4, 5, 0, 30, tzinfo=UTC),
    ]
    assert due(every_sunday, datetime(2026, 10, 24, tzinfo=UTC), 2, timezone="Europe/Berlin") == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 1, 30, tzinfo=UTC),
    ]


def test_a_rule_without_days_is_never_due_and_says_so() -> None:
    never = CalendarTrigger(rule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=9")
    wrong = never.never_due(datetime(2026, 1, 1, tzinfo=UTC))
    assert wrong is not None
    assert wrong.pointer == "/schedule/rule"
    rare = CalendarTrigger(rule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=9")
    assert rare.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2044, 2, 29, 9, tzinfo=UTC)


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["RRULE:FREQ=DAILY;BYHOUR=1", " freq=daily ; byhour = 1 ", "FREQ=DAILY;BYHOUR=1;"])
def test_spellings(rule: str) -> None:
    assert read_rule(rule) == read_rule("FREQ=DAILY;BYHOUR=1")


@pytest.mark.parametrize(
    ("rule", "words", "position"),
    [
        ("", "needs FREQ", 0),
        ("BYHOUR=1", "needs FREQ", 0),
        ("every day", "'every day' is not a part of a rule", 0),
        ("FREQ=HOURLY", "too often", 0),
        ("FREQ=SOMETIMES;BYHOUR=1", "FREQ must be", 0),
        ("FREQ=DAILY", "time of day", 0),
        ("FREQ=WEEKLY;BYHOUR=3", "needs the days, by BYDAY", 0),
        ("FREQ=DAILY;BYHOUR=1;COUNT=3", "COUNT is not possible", 20),
        ("FREQ=DAILY;BYHOUR=1;UNTIL=20260101", "end of the schedule", 20),
        ("FREQ=DAILY;BYHOUR=1;BYHOUR=2", "stands twice", 20),
        ("FREQ=DAILY;BYHOUR=24", "'24' is not a number from 0 to 23", 11),
        ("FREQ=DAILY;BYHOUR=-+5", "'-+5' is not a number", 11),
        ("FREQ=DAILY;BYHOUR=١", "is not a number", 11),
        ("FREQ=DAILY;BYHOUR=99999999999999999999", "is not a number", 11),
        ("FREQ=DAILY;INTERVAL=0;BYHOUR=1", "'0' is not a number from 1 to 1000", 11),
        ("FREQ=MONTHLY;BYDAY=9ZZ;BYHOUR=1", "'9ZZ' is not a day", 13),
        ("FREQ=MONTHLY;BYDAY=0MO;BYHOUR=1", "'0MO' is not a day", 13),
        ("FREQ=WEEKLY;BYDAY=2MO;BYHOUR=1", "only in months and years", 12),
        ("FREQ=WEEKLY;BYDAY=MO;BYMONTHDAY=1;BYHOUR=1", "does not go with FREQ=WEEKLY", 21),
        ("FREQ=MONTHLY;BYDAY=MO;WKST=XX;BYHOUR=1", "day of the week", 22),
        (f"FREQ=MONTHLY;{NEAR}=3;BYDAY=MO;BYHOUR=1", "no other choice of days", 13),
        ("FREQ=DAILY;BYSETPOS=1;BYHOUR=1", "must be named", 11),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1;BYHOUR=1,2", "one time of day", 22),
        (
            "FREQ=DAILY;BYHOUR=0,1,2;BYMINUTE=" + ",".join(map(str, range(60))) + ";BYSECOND=" + ",".join(map(str, range(30))),
            "5400 times",
            11,
        ),
    ],
)
def test_what_is_refused_names_its_part(rule: str, words: str, position: int) -> None:
    with pytest.raises(RuleError) as refused:
        read_rule(rule)
    assert words in str(refused.value)
    assert refused.value.position == position


@settings(max_examples=examples(100), deadline=None)
@given(st.text(alphabet="FREQ=;BYDAOHUWKT-+,0129 \n\x00é", max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    position = 0
    try:
        read_rule(text)
    except RuleError as refused:
        position = refused.position
    assert 0 <= position <= len(text)


def test_a_rule_that_counts_needs_the_day_it_counts_from() -> None:
    problems = CalendarTrigger(rule="FREQ=DAILY;INTERVAL=2;BYHOUR=1").problems(
        datetime(2026, 1, 1, tzinfo=UTC), lookahead=timedelta(days=1)
    )
    assert [error.pointer for error in problems] == ["/schedule/counted_from"]


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "english", "german"),
    [
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9", "Every second Friday, at 09:00", "Jeden zweiten Freitag, um 09:00"),
        (
            "FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9,17",
            "Every Monday and Friday, at 09:00 and 17:00",
            "Jeden Montag und Freitag, um 09:00 und 17:00",
        ),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=9", "Every day, at 09:00", "Jeden Tag, um 09:00"),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9",
            "On the last working day (Monday to Friday) of each month, at 09:00",
            "Am letzten Werktag (Montag bis Freitag) jedes Monats, um 09:00",
        ),
        (
            "FREQ=MONTHLY;BYDAY=1MO,-1FR;BYHOUR=9",
            "On the 1st Monday and last Friday of each month, at 09:00",
            "Am 1. Montag und letzten Freitag jedes Monats, um 09:00",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=9", "On day 13 of each month, if it is Friday, at 09:00", None),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;BYMONTH=3,6;BYHOUR=9", "On the last day of March and June, at 09:00", None),
        ("FREQ=YEARLY;BYYEARDAY=100;BYHOUR=0", "On day 100 of each year, at 00:00", "Am Tag 100 jedes Jahres, um 00:00"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;BYHOUR=0", "By the rule FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;BYHOUR=0", None),
    ],
)
def test_words(rule: str, english: str, german: str | None) -> None:
    trigger = CalendarTrigger(rule=rule, counted_from="2026-01-02")
    assert trigger.words("en").startswith(english)
    if german is not None:
        assert trigger.words("de").startswith(german)


@settings(max_examples=examples(60), deadline=None)
@given(rule=rules(), language=st.sampled_from(["en", "de"]))
def test_every_rule_has_words(rule: str, language: str) -> None:
    words = CalendarTrigger(rule=rule, counted_from="2026-01-02").words(language)
    assert words
    assert "None" not in words
    assert "{" not in words


# -- builder ----------------------------------------------------------------------------------------------------------


@given(SIMPLE)
def test_there_and_back(simple: SimpleCalendar) -> None:
    again = simplified(simple.rule)
    assert again is not None
    assert again.rule == simple.rule


@given(SIMPLE)
def test_posted_fields_mean_what_the_page_showed(simple: SimpleCalendar) -> None:
    fields = {
        "pick": simple.pick,
        "interval": str(simple.interval),
        "day": str(simple.day),
        "nth": str(simple.nth),
        "kind": simple.kind,
        "time": f"{simple.hour:02}:{simple.minute:02}",
    }
    assert from_builder(fields, [str(day) for day in simple.weekdays]).rule == simple.rule


@pytest.mark.parametrize(
    "rule", ["FREQ=YEARLY;BYYEARDAY=1;BYHOUR=1", "FREQ=MONTHLY;BYMONTHDAY=1,2;BYHOUR=1", "FREQ=DAILY;BYHOUR=1,2", "nonsense"]
)
def test_what_the_builder_cannot_show(rule: str) -> None:
    assert simplified(rule) is None


@given(st.dictionaries(st.sampled_from(["pick", "interval", "day", "nth", "kind", "time"]), st.text(max_size=5)))
def test_whatever_is_posted_gives_a_rule(fields: dict[str, str]) -> None:
    read_rule(from_builder(fields, list(fields.values())).rule)

"""Expressions of Quartz: what they become, against a walk over days and minutes that is written apart; and what people read of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from random import Random

import pytest

from app.imports.quartz_fields import QuartzRefused, read_quartz
from app.triggers import CalendarTrigger, CronTrigger, Trigger
from app.triggers.quartz import QuartzError, Translation, is_quartz, translate
from tests.lengths import one_in
from web.schedule_parts.cron import CronPart

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
FIELDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (1, 7))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def trigger_of(found: Translation) -> Trigger:
    begin = datetime(found.years[0], 1, 1, tzinfo=UTC) if found.years else None
    end = datetime(found.years[1] + 1, 1, 1, tzinfo=UTC) if found.years else None
    if found.type == "cron":
        return CronTrigger(expression=found.text, start_at=begin, end_at=end)
    return CalendarTrigger(rule=found.text, start_at=begin, end_at=end)


def made(random: Random) -> str:
    """An expression as people write it, and odd ones."""
    fields = [_field(random, place) for place in range(6)]
    if random.random() < 0.5:
        fields[3] = random.choice(
            ["L", "LW", f"L-{random.randint(1, 30)}", f"L-{random.randint(1, 9)}W", f"{random.randint(1, 28)}W", fields[3]]
        )
        fields[5] = "?"
    else:
        day = random.choice([str(random.randint(1, 7)), random.choice(DAYS)])
        fields[5] = random.choice(
            ["L", f"{day}L", f"{day}#{random.randint(1, 5)}", fields[5], f"{random.choice(DAYS)}-{random.choice(DAYS)}"]
        )
        fields[3] = "?"
    year = random.choice(["", "", "", " *", " 2027", " 2027-2028", " 2026,2027"])
    return " ".join(fields) + year


def _field(random: Random, place: int) -> str:
    low, high = FIELDS[place]
    left, right, step = random.randint(low, high), random.randint(low, high), random.randint(1, max(2, high // 3))
    choices = [
        str(left),
        str(left),
        f"{left},{right}",
        f"{left}-{right}",
        f"{left}/{step}",
        f"*/{step}",
        f"/{step}",
        f"{left}-{right}/{step}",
    ]
    if place >= 2:
        choices += ["*", "*"]
    if place == 4:
        choices.append(f"{MONTHS[left - 1]}-{MONTHS[right - 1]}")
    if place == 0:
        return random.choice(["0", "0", "0", *choices])
    return random.choice(choices)


def test_generated_expressions_fire_when_quartz_fires_them() -> None:
    """2,000 expressions: the next 200 times are the same in UTC, or the expression is one of the few that no schedule can have."""
    random, refused, calendars = Random(21), 0, 0
    cases = one_in(5, [made(random) for _ in range(2000)])
    until = NOW + timedelta(days=3 * 366)
    for text in cases:
        oracle = read_quartz(text)
        try:
            found = translate(text)
        except QuartzError:
            assert len(oracle.seconds) > 1440
            refused += 1
            continue
        trigger = trigger_of(found)
        assert trigger.not_computable() is None, text
        calendars += found.type == "calendar"
        expected = list(islice(oracle.times("UTC", NOW, until), 200))
        ours = [moment for moment in islice(trigger.iter_after(NOW), 200) if moment <= until]
        assert ours == expected, (text, found)
    assert refused < len(cases) / 10
    assert calendars > len(cases) / 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # the examples of the documentation of Quartz
        ("0 0 12 * * ?", "0 12 * * *"),
        ("0 0/5 14,18 * * ?", "*/5 14,18 * * *"),
        ("0 15 10 ? * MON-FRI", "15 10 * * 1-5"),
        ("0 10,44 14 ? 3 WED", "10,44 14 * 3 3"),
        ("0 15 10 L * ?", "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=10;BYMINUTE=15"),
        ("0 15 10 L-2 * ?", "FREQ=MONTHLY;BYMONTHDAY=-3;BYHOUR=10;BYMINUTE=15"),
        ("0 15 10 ? * 6L", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=10;BYMINUTE=15"),
        ("0 15 10 ? * 6#3", "FREQ=MONTHLY;BYDAY=3FR;BYHOUR=10;BYMINUTE=15"),
        ("0 0 12 1/5 * ?", "0 12 */5 * *"),
        ("0 11 11 11 11 ?", "11 11 11 11 *"),
        ("0 0 9 LW * ?", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9;BYMINUTE=0"),
        ("30 0 9,17 LW 3 ?", "FREQ=MONTHLY;BYMONTH=3;X-WEEKDAY-NEAR=-1;BYHOUR=9,17;BYMINUTE=0;BYSECOND=30"),
        ("0 0 9 15W * ?", "FREQ=MONTHLY;X-WEEKDAY-NEAR=15;BYHOUR=9;BYMINUTE=0"),
        ("0 0 9 ? * L", "0 9 * * 6"),
        ("0/10 * * * * ?", "*/10 * * * * *"),
    ],
)
def test_expressions_become_cron_or_a_calendar_rule(text: str, expected: str) -> None:
    assert is_quartz(text)
    found = translate(text)
    assert found.text == expected
    assert translate(text.lower()) == found
    assert (found.type == "calendar") == expected.startswith("FREQ")
    assert trigger_of(found).words("de")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 12 ? * ?", "either as day of month or as day of week"),
        ("0 0 12 * * *", "either as day of month or as day of week"),
        ("0 0 24 * * ?", "24 is not between 0 and 23"),
        ("0 0/60 * * * ?", "step must be a number from 1 to 59"),
        ("0 0 12 1,L * ?", "'L' is not"),
        ("0 0 12 L-31 * ?", "more than 30 days before"),
        ("0 0 12 32W * ?", "32 is not between 1 and 31"),
        ("0 0 12 ? * 6#6", "is not \\*, a number"),
        ("0 0 12 ? * XYZ", "'XYZ' is not a number"),
        ("0 0 12 * * ? 2027,2029", "do not follow each other"),
        ("0 0 12 * * ? 2029-2027", "runs backwards"),
        ("* * * L * ?", "86400 times a day"),
        ("0 0 12 * ?", "It has 5"),
        ("0 0 12 1,, * ?", "is not \\*"),
    ],
)
def test_what_is_refused_is_said(text: str, words: str) -> None:
    with pytest.raises(QuartzError, match=words):
        translate(text)


@pytest.mark.parametrize(
    "text", ["0 0 12 ? * ?", "0 0 24 * * ?", "0 0/60 * * * ?", "0 0 12 32W * ?", "0 0 12 ? * 6#6", "0 0 12 ? * XYZ", "0 0"]
)
def test_the_walk_refuses_the_same(text: str) -> None:
    with pytest.raises(QuartzRefused):
        read_quartz(text)


@pytest.mark.parametrize("text", ["0 2 * * *", "*/5 * * * * *", "0 0 9 * * 1", "0 9 L * *", "0 0 9 * JUL 5", "@daily", ""])
def test_cron_is_not_taken_for_quartz(text: str) -> None:
    assert not is_quartz(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 9 ? * 2", "is an expression of Quartz. Write 0 9 * * 1 instead."),
        ("0 0 9 ? * 2 2027", "Write 0 9 * * 1 instead, with a start in 2027 and an end in 2027."),
        ("0 0 9 ? * 6#3", "the schedule type “Calendar rule”, with the rule FREQ=MONTHLY;BYDAY=3FR;BYHOUR=9;BYMINUTE=0"),
        ("0 0 9 L * ? 2027-2030", "with a start in 2027, an end in 2030 and the rule FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0"),
        ("0 0 9 L * *", "is an expression of Quartz, and it must have ? either"),
    ],
)
def test_an_expression_of_quartz_as_cron_is_refused_with_what_to_write(text: str, words: str) -> None:
    problems = CronTrigger(expression=text).problems(NOW, lookahead=timedelta(days=400))
    assert [problem.pointer for problem in problems] == ["/schedule/expression"]
    assert words in problems[0].message
    assert CronTrigger(expression=text).words() == ""


def test_days_that_count_from_the_end_have_words() -> None:
    def words(rule: str, locale: str) -> str:
        return CalendarTrigger(rule=f"FREQ=MONTHLY;{rule};BYHOUR=9").words(locale)

    assert words("BYMONTHDAY=-4", "en") == "On day 4 from the end of each month, at 09:00"
    assert words("BYMONTHDAY=-4", "de") == "Am 4. Tag vom Ende jedes Monats, um 09:00"
    assert words("X-WEEKDAY-NEAR=-1", "de") == "Am letzten Werktag (Montag bis Freitag) jedes Monats, um 09:00"
    assert words("X-WEEKDAY-NEAR=-2", "en") == "On the weekday nearest to the second to last day of each month, at 09:00"
    assert words("X-WEEKDAY-NEAR=-6", "en") == "On the weekday nearest to day 6 from the end of each month, at 09:00"
    assert words("X-WEEKDAY-NEAR=-6,1", "en").startswith("By the rule ")


def test_the_weekday_nearest_to_a_day_from_the_end() -> None:
    trigger = CalendarTrigger(rule="FREQ=MONTHLY;X-WEEKDAY-NEAR=-1;BYHOUR=9")
    days = [moment.date() for moment in trigger.preview(datetime(2027, 1, 1, tzinfo=UTC), 5)]
    assert days == [date(2027, 1, 29), date(2027, 2, 26), date(2027, 3, 31), date(2027, 4, 30), date(2027, 5, 31)]


def test_the_form_offers_the_cron_expression() -> None:
    part = CronPart(CronTrigger)
    for text, instead in (
        ("0 0 9 ? * 2", "0 9 * * 1"),
        ("0 0 9 L * ?", ""),
        ("0 0 9 L * *", ""),
        ("0 0 9 ? * 2 2027", ""),
        ("0 9 * * 1", ""),
    ):
        assert part.context({"s.expression": text})["builder"]["instead"] == instead

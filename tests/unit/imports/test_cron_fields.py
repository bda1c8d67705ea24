"""Time fields of crontabs, and the times that follow from them, against a simulation of Debian's cron."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random

import pytest

from app.imports.cron_fields import FieldRefused, read_fields
from app.imports.fires import clock_changes, compare, cron_times, trigger_times
from app.triggers import CronTrigger
from tests.builders import cron_oracle
from tests.lengths import LONG

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "America/Santiago")


@pytest.mark.parametrize(
    ("expression", "ours", "words"),
    [
        ("0 2 * * *", "0 2 * * *", ""),
        ("*/60 * * * *", "*/60 * * * *", "cron makes 0 of */60"),
        ("*/90 * * * *", "*/90 * * * *", "cron makes 0 of */90"),
        ("0 */24 * * *", "0 */24 * * *", "cron makes 0 of */24"),
        ("0 0 */32 * *", "0 0 */32 * *", "cron makes 1 of */32"),
        ("*/123456 * * * *", "*/9999 * * * *", "cron makes 0 of */123456"),
        ("0 4 * * FRI-MON", "", "cron accepts the range FRI-MON and never matches it"),
        ("0 4 * * FRI-MON,WED", "0 4 * * WED", "cron accepts the range FRI-MON and never matches it"),
        ("0 22-4 * * *", "", "never matches it"),
        ("5 4 * * 7", "5 4 * * 7", ""),
    ],
)
def test_fields_are_read_as_debian_reads_them(expression: str, ours: str, words: str) -> None:
    fields = read_fields(expression.split())
    assert fields.expression == ours
    assert words in "; ".join(remark for _, remark in fields.remarks)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("60 * * * *", "minute: 60 is not between 0 and 59"),
        ("5/10 * * * *", "a step after a single number"),
        ("*/0 * * * *", "the step of '*/0' must be a number from 1 on"),
        ("0 0 0 * *", "day of month: 0 is not between 1 and 31"),
        ("0 0 * foo *", "'foo' is not a number or a name such as feb"),
        ("0 0 * * 8", "day of week: 8 is not between 0 and 7"),
        ("x 0 * * *", "minute: 'x' is not a number"),
        ("1, * * * *", "minute: '' is not a number"),
    ],
)
def test_wrong_fields_are_refused_with_a_reason(expression: str, reason: str) -> None:
    with pytest.raises(FieldRefused, match=reason.replace("*", r"\*")):
        read_fields(expression.split())
    assert cron_oracle.parse(expression) is None


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "0 22-4 * * *"])
def test_what_never_comes_is_known(expression: str) -> None:
    assert read_fields(expression.split()).never


def test_generated_expressions_fire_as_the_simulation_of_cron_says() -> None:
    """The reading, our own times and those of the job agree with the simulation around two clock changes and for the first start."""
    numbers = Random(20261130)
    random = (numbers.randrange(1_000_000) for _ in count())
    tried = 0
    for number, expression in enumerate(cron_oracle.expressions(random, 2_000 if LONG else 200)):
        line, zone = cron_oracle.parse(expression), ZONES[number % len(ZONES)]
        assert line is not None, expression
        fields = read_fields(expression.split())
        for change in clock_changes(zone, NOW) or (NOW + timedelta(days=30),):
            begin, end = change - timedelta(hours=30), change + timedelta(hours=30)
            expected = cron_oracle.simulate(line, zone, begin, end)
            assert list(cron_times(fields, zone, begin, end - timedelta(minutes=1))) == expected, (expression, zone)
        if not fields.expression or fields.never:
            assert next(cron_times(fields, zone, NOW, NOW + timedelta(days=400)), None) is None
            continue
        assert next(cron_times(fields, zone, NOW, NOW + timedelta(days=400)), None) == cron_oracle.first(line, zone, NOW, 400), expression
        ours = partial(trigger_times, CronTrigger(expression=fields.expression, timezone=zone))
        result = compare(partial(cron_times, fields, zone), ours, zone, NOW)
        lost_star = expression.split()[:2] != fields.expression.split()[:2]  # then the comparison may, and must, find a difference
        assert result.equal or lost_star, (expression, zone, result)
        tried += 1
    assert tried > 100


def test_a_difference_is_found_wherever_it_is() -> None:
    fields = read_fields(["*/60", "2", "*", "*", "*"])
    ours = partial(trigger_times, CronTrigger(expression="0 2 * * *", timezone="Europe/Berlin"))
    result = compare(partial(cron_times, fields, "Europe/Berlin"), ours, "Europe/Berlin", NOW)
    assert (result.equal, result.wrong, result.theirs) == (False, datetime(2027, 3, 28, 1, 0, tzinfo=UTC), False)

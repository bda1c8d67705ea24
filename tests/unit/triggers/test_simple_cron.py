"""The builder and the expression are two views of one value: what one says the other says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.triggers.crontab import check_expression
from app.triggers.simple_cron import HOUR_STEPS, MINUTE_STEPS, Every, SimpleCron, from_builder, simplified

SIMPLE = st.builds(
    SimpleCron,
    every=st.sampled_from(Every),
    step=st.sampled_from(sorted({*MINUTE_STEPS, *HOUR_STEPS})),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    weekdays=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    day=st.integers(1, 31),
).filter(lambda simple: simple.step in (MINUTE_STEPS if simple.every is Every.MINUTES else HOUR_STEPS))


@given(SIMPLE)
def test_there_and_back(simple: SimpleCron) -> None:
    check_expression(simple.expression)
    again = simplified(simple.expression)
    assert again is not None
    assert again.expression == simple.expression


@given(SIMPLE)
def test_posted_fields_mean_what_the_page_showed(simple: SimpleCron) -> None:
    fields = {
        "every": simple.every,
        "step": str(simple.step),
        "time": f"{simple.hour:02}:{simple.minute:02}",
        "minute": str(simple.minute),
        "day": str(simple.day),
    }
    assert from_builder(fields, [str(day) for day in simple.weekdays]).expression == simple.expression


@pytest.mark.parametrize(
    ("expression", "every"),
    [
        ("*/15 * * * *", "minutes"),
        ("* * * * *", "minutes"),
        ("7 * * * *", "hour"),
        ("0 */6 * * *", "hours"),
        ("30 6 * * mon-fri", "week"),
        ("0 8 * * 0,7", "week"),
        ("0 6 1 * *", "month"),
        ("@daily", "day"),
        ("@hourly", "hour"),
        ("0 8 * * sun", "week"),
    ],
)
def test_what_people_write_is_known(expression: str, every: str) -> None:
    found = simplified(expression)
    assert found is not None
    assert found.every == every


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "nonsense",
        "*/7 * * * *",
        "0 2 29 2 *",
        "0 2 1 * 1",
        "0,30 * * * *",
        "0 9-17 * * *",
        "5 0 2 * * *",
        "0 */5 * * *",
        "1-59/2 * * * *",
        "0 2 1,15 * *",
    ],
)
def test_what_says_more_is_left_to_the_expression(expression: str) -> None:
    assert simplified(expression) is None


@given(st.dictionaries(st.sampled_from(["every", "step", "time", "minute", "day"]), st.text(max_size=6)), st.lists(st.text(max_size=2)))
def test_whatever_is_posted_makes_an_expression(fields: dict[str, str], days: list[str]) -> None:
    check_expression(from_builder(fields, days).expression)

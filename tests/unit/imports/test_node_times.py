"""Times of Node's libraries against what the libraries themselves have printed (tests/data/import), and against the times of our schedules.

Each line of the data has an expression, a time zone, its first time after START, and a digest of the first 12 times, and of 5 after each
of NEAR. `X` stands for an expression that is refused.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from app.imports.fires import compare, trigger_of, trigger_times
from app.imports.node_schedules import node_schedule
from app.imports.node_times import Refused, human_seconds, node_cron_times, read_node_cron
from tests.lengths import one_in

DATA = Path(__file__).parents[2] / "data/import"
START = datetime(2026, 11, 30, 12, tzinfo=UTC)
NEAR = [
    datetime(2027, month, day, hour, tzinfo=UTC)
    for month, day, hour in ((3, 14, 0), (3, 27, 12), (4, 3, 6), (10, 2, 6), (10, 30, 12), (11, 6, 18))
]
FAR = timedelta(days=366 * 60)
LINES = [line.split("\t") for line in (DATA / "cron-parser-5.10.6.tsv").read_text().splitlines()]


def test_expressions_are_read_as_the_library_reads_them() -> None:
    """The first time of each of 2,000 expressions."""
    assert len(LINES) == 2000
    for text, zone, first, *_ in LINES:
        try:
            cron = read_node_cron(text)
        except Refused:
            assert first == "X", text
            continue
        found = next(node_cron_times(cron, zone, START, START + FAR))
        assert found.timestamp() == int(first), (text, zone)


def test_times_around_clock_changes_are_those_of_the_library() -> None:
    for text, zone, first, *digest in one_in(12, LINES):
        if first == "X":
            continue
        cron = read_node_cron(text)
        times = [*islice(node_cron_times(cron, zone, START, START + FAR), 12)]
        for near in NEAR:
            times += islice(node_cron_times(cron, zone, near, near + FAR), 5)
        printed = " ".join(str(int(moment.timestamp())) for moment in times)
        assert hashlib.sha256(printed.encode()).hexdigest()[:10] == digest[0], (text, zone)


def test_our_schedules_have_the_same_times_but_where_an_hour_is_missing() -> None:
    """In UTC all are equal. With clock changes, what is due within a missing hour comes at its end instead of an hour later."""
    refused = 0
    for text, _, first, *_ in one_in(5, LINES):
        if first == "X":
            continue
        cron = read_node_cron(text)
        try:
            trigger = trigger_of({**node_schedule(cron), "timezone": "UTC"})
        except Refused:
            refused += 1
            continue
        assert trigger.not_computable() is None, text
        result = compare(partial(node_cron_times, cron, "UTC"), partial(trigger_times, trigger), "UTC", START)
        assert result.equal, (text, trigger.notation, result)
    assert refused < 0.03 * len(LINES)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("*/15 1-4 * * *", "0-59/15 1-4 * * *"),
        ("*/15 * * * *", "*/15 * * * *"),
        ("0 */2 * * *", "0 0-23/2 * * *"),
        ("0 9 */2 * 1", "0 9 1-31/2 * 1"),
        ("10/20 * * * * *", "10-59/20 * * * * *"),
        ("0 9 * * 7", "0 9 * * 0"),
        ("9 * * *", "0-59 9 * * *"),
    ],
)
def test_expressions_begin_with_a_star_only_where_all_hours_are_due(text: str, expression: str) -> None:
    """With a star, a job follows the clock through a change, as cron-parser does for an expression with all hours and no other."""
    assert node_schedule(read_node_cron(text)) == {"type": "cron", "expression": expression}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("30 9 L * *", "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=30"),
        ("0 9 15,L 1-3 *", "FREQ=MONTHLY;BYMONTH=1,2,3;BYMONTHDAY=15,-1;BYHOUR=9;BYMINUTE=0"),
        ("0 9 * * 5L", "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0"),
        ("5 0 9 * * 1#2", "FREQ=MONTHLY;BYDAY=2MO;BYHOUR=9;BYMINUTE=0;BYSECOND=5"),
    ],
)
def test_last_days_and_numbered_days_become_rules(text: str, rule: str) -> None:
    assert node_schedule(read_node_cron(text)) == {"type": "calendar", "rule": rule}


def test_what_no_schedule_says_is_refused() -> None:
    for text, skipped in (("0 9 L * 1", ()), ("0 9 15 * *", (0, 6))):
        with pytest.raises(Refused, match="neither a cron expression nor a rule"):
            node_schedule(read_node_cron(text), skipped)
    for text in (
        "H 9 * * *",
        "* * * * * * *",
        "",
        "0 9 30 2 *",
        "0 0 * * monday",
        "5-2 * * * *",
        "0 0 * * 0,7",
        "*/0 * * * *",
        "0 0 LW * *",
    ):
        with pytest.raises(Refused):
            read_node_cron(text)


def test_intervals_are_read_as_the_library_reads_them() -> None:
    lines = [line.split("\t") for line in (DATA / "human-interval-2.0.1.tsv").read_text().splitlines()]
    assert len(lines) > 200
    for text, seconds in lines:
        found = human_seconds(text)
        assert (found is None) == (seconds == "X"), text
        assert found is None or found == pytest.approx(float(seconds)), text


@pytest.mark.parametrize("text", ["every 3 minutes", "half an hour", "a minute", "each day", "two and a half hours"])
def test_words_that_the_library_takes_for_zero_are_refused(text: str) -> None:
    """human-interval makes 0 of a word that is not a number: such a job would run without a pause."""
    with pytest.raises(Refused, match="is not a number"):
        human_seconds(text)

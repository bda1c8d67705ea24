"""Triggers in words, and what is special about one type."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta

import pytest
from babel.messages.pofile import read_po

from app.triggers import CronTrigger, IntervalTrigger, ManualTrigger, OnceTrigger, Trigger
from app.triggers.clock_changes import clock_change
from app.triggers.words import LANGUAGES, LOCALES, duration_words
from scripts.messages import collect_triggers

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (CronTrigger(expression="0 2 * * 0"), "At 02:00, only on Sunday"),
        (CronTrigger(expression="0 0 13 * 5"), "At 00:00, on day 13 of the month, or on Friday"),
        (CronTrigger(expression="@hourly"), "Every hour"),
        (CronTrigger(expression="1 * * * *"), "At 1 minute past the hour"),
        (CronTrigger(expression="1,11 * * * *"), "At 1 and 11 minutes past the hour"),
        (CronTrigger(expression="11 * * * *"), "At 11 minutes past the hour"),
        (CronTrigger(expression="1 1 * * * *"), "At 1 second past the minute, at 1 minute past the hour"),
        (CronTrigger(expression="0 0 * * 5-6/2"), "At 00:00, only on Friday"),
        (CronTrigger(expression="0 0 * * */2"), "At 00:00, only on Sunday, Tuesday, Thursday, and Saturday"),
        (CronTrigger(expression="0 0 */2 * 1"), "At 00:00, every 2 days, only on Monday"),
        (CronTrigger(expression="0 0 1 * */1"), "At 00:00, on day 1 of the month"),
        (CronTrigger(expression="1-59/15,3 * * * *"), "At 1, 3, 16, 31, and 46 minutes past the hour"),
        (CronTrigger(expression="0-59/10 * * * *"), "Every 10 minutes"),
        (CronTrigger(expression="0 0-23/2 * * *"), "Every 2 hours"),
        (CronTrigger(expression="0-23/5 * * * *"), "Every 5 minutes from minute 0 to 23"),
        (CronTrigger(expression="1-59/15 * * * *"), "Every 15 minutes from minute 1"),
        (CronTrigger(expression="5-50/5 * * * *"), "Every 5 minutes from minute 5 to 50"),
        (CronTrigger(expression="3-59/10 * * * * *"), "Every 10 seconds from second 3"),
        (CronTrigger(expression="10-50 * * * *"), "Every minute from minute 10 to 50"),
        (CronTrigger(expression="0 8-18 * * *"), "Every hour from 08:00 to 18:59"),
        (CronTrigger(expression="30 1-23/2 * * *"), "At 30 minutes past the hour, every 2 hours from 01:00"),
        (CronTrigger(expression="0 8-18/2 * * *"), "Every 2 hours from 08:00 to 18:59"),
        (CronTrigger(expression="0 0 2-31/2 * *"), "At 00:00, every 2 days from day 2 of the month"),
        (CronTrigger(expression="0 0 5-20/3 * *"), "At 00:00, every 3 days from day 5 to day 20 of the month"),
        (CronTrigger(expression="0 0 1-7 * *"), "At 00:00, from day 1 to day 7 of the month"),
        (CronTrigger(expression="0 0 1 2-12/3 *"), "At 00:00, on day 1 of the month, every 3 months from February"),
        (CronTrigger(expression="0 0 1 1-6/2 *"), "At 00:00, on day 1 of the month, every 2 months from January to June"),
        (CronTrigger(expression="nonsense"), ""),
        (IntervalTrigger(interval_seconds=90), "Every 1 minute 30 seconds"),
        (IntervalTrigger(interval_seconds=3600), "Every hour"),
        (IntervalTrigger(interval_seconds=7200), "Every 2 hours"),
        (OnceTrigger(run_at=NOW), "Once, at 2026-03-02 12:00:00 UTC"),
        (ManualTrigger(), "Only by hand"),
    ],
)
def test_triggers_in_words(trigger: Trigger, words: str) -> None:
    assert trigger.words() == words


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (CronTrigger(expression="0 2 * * 0"), "Um 02:00, nur am Sonntag"),
        (CronTrigger(expression="0 0 13 * 5"), "Um 00:00, am 13. Tag des Monats, oder am Freitag"),
        (CronTrigger(expression="0 0 1,15 * *"), "Um 00:00, am 1. und 15. Tag des Monats"),
        (CronTrigger(expression="15 * * * *"), "Jede Stunde bei Minute 15"),
        (CronTrigger(expression="0-59/10 0-23/2 * * *"), "Alle 10 Minuten, alle 2 Stunden"),
        (CronTrigger(expression="1-59/15 * * * *"), "Alle 15 Minuten ab Minute 1"),
        (CronTrigger(expression="5-50/5 * * * *"), "Alle 5 Minuten von Minute 5 bis 50"),
        (CronTrigger(expression="3-59/10 * * * * *"), "Alle 10 Sekunden ab Sekunde 3"),
        (CronTrigger(expression="30 1-23/2 * * *"), "Bei Minute 30, alle 2 Stunden ab 01:00"),
        (CronTrigger(expression="0 8-18/2 * * *"), "Alle 2 Stunden von 08:00 bis 18:59"),
        (CronTrigger(expression="0 0 2-31/2 * *"), "Um 00:00, alle 2 Tage ab dem 2. Tag des Monats"),
        (CronTrigger(expression="0 0 5-20/3 * *"), "Um 00:00, alle 3 Tage vom 5. bis zum 20. Tag des Monats"),
        (CronTrigger(expression="0 0 1-7 * *"), "Um 00:00, vom 1. bis zum 7. Tag des Monats"),
        (CronTrigger(expression="0 0 1 2-12/3 *"), "Um 00:00, am 1. Tag des Monats, alle 3 Monate ab Februar"),
        (CronTrigger(expression="0 0 1 1-6/2 *"), "Um 00:00, am 1. Tag des Monats, alle 2 Monate von Januar bis Juni"),
        (CronTrigger(expression="0 8-18 * * *"), "Jede Stunde von 08:00 bis 18:59"),
        (CronTrigger(expression="10-50 * * * *"), "Jede Minute von Minute 10 bis 50"),
        (CronTrigger(expression="0-59/10 * * * *"), "Alle 10 Minuten"),
        (CronTrigger(expression="30 8 * * 1-5/2"), "Um 08:30, nur am Montag, Mittwoch und Freitag"),
        (IntervalTrigger(interval_seconds=5400), "Alle 1 Stunde 30 Minuten"),
        (IntervalTrigger(interval_seconds=86400), "Jeden Tag"),
        (IntervalTrigger(interval_seconds=900), "Alle 15 Minuten"),
        (OnceTrigger(run_at=NOW), "Einmal, am 2026-03-02 12:00:00 UTC"),
        (ManualTrigger(), "Nur von Hand"),
    ],
)
def test_triggers_in_german_words(trigger: Trigger, words: str) -> None:
    assert trigger.words("de-AT") == words


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_a_catalogue_has_all_sentences_of_triggers_with_the_same_values(language: str) -> None:
    with (LOCALES / f"{language}.po").open("rb") as file:
        texts = {message.id: message.string for message in read_po(file) if message.id}
    assert set(texts) == set(collect_triggers()), "run `make messages`"
    assert all(texts.values())
    for sentence, text in texts.items():
        assert values_in(text) == values_in(sentence)


def values_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_durations_in_words() -> None:
    assert [duration_words(n) for n in (0, 1, 61, 86400, 90061)] == [
        "0 seconds",
        "1 second",
        "1 minute 1 second",
        "1 day",
        "1 day 1 hour 1 minute 1 second",
    ]


def test_start_end_and_anchor_bound_an_interval() -> None:
    trigger = IntervalTrigger(interval_seconds=3600, start_at=NOW, end_at=NOW + timedelta(hours=3))
    assert list(trigger.iter_after(NOW - timedelta(days=1))) == [NOW + timedelta(hours=n) for n in range(3)]
    assert trigger.next_after(NOW + timedelta(minutes=1)) == NOW + timedelta(hours=1)
    assert trigger.count(NOW - timedelta(days=1), NOW + timedelta(days=1)) == 3
    assert trigger.count(NOW + timedelta(days=1), NOW) == 0


@pytest.mark.parametrize(
    ("zone", "moment", "jump"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+00:00", 3600),
        ("Europe/Berlin", "2026-03-28T22:59+00:00", 0),
        ("Europe/Berlin", "2026-10-25T00:30+00:00", -3600),
        ("Australia/Lord_Howe", "2026-10-04T00:00+00:00", 1800),
        ("America/Havana", "2026-03-08T12:00+00:00", 3600),
        ("UTC", "2026-03-29T12:00+00:00", 0),
    ],
)
def test_a_day_on_which_the_clock_jumps_is_known(zone: str, moment: str, jump: int) -> None:
    assert clock_change(datetime.fromisoformat(moment), zone) == timedelta(seconds=jump)

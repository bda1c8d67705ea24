"""What every type of schedule promises: each class of triggers passes these tests, on several examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instants import INSTANT
from app.jobs.model import Schedule, definition_from, schedule_from, to_plain
from app.jobs.schema import ScheduleSchema
from app.jobs.shape import SCHEDULED
from app.shapes import DAMAGED, make_readable
from app.triggers import FIELDS, TRIGGERS, CalendarTrigger, CronTrigger, IntervalTrigger, ManualTrigger, OnceTrigger, Trigger, trigger_from
from app.triggers.walls import END_OF_TIME
from app.triggers.words import LANGUAGES
from tests.lengths import examples
from web.schedule_parts import PARTS

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=366)
# A new type of schedule is added here with an example or two.
EXAMPLES: tuple[Trigger, ...] = (
    CronTrigger(expression="0 2 * * *", timezone="Europe/Berlin"),
    CronTrigger(expression="*/7 9-17 * * 1-5", timezone="Australia/Lord_Howe", start_at=NOW - timedelta(days=3)),
    CronTrigger(expression="*/20 * * * * *", end_at=NOW + timedelta(hours=5)),
    CronTrigger(expression="30 2 29 3 *", timezone="Europe/Berlin"),
    CalendarTrigger(rule="FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=2;BYMINUTE=30", counted_from="2026-01-02", timezone="Europe/Berlin"),
    CalendarTrigger(rule="FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9", timezone="Australia/Lord_Howe"),
    CalendarTrigger(rule="FREQ=DAILY;BYHOUR=0,6,12,18;BYMINUTE=0,15", end_at=NOW + timedelta(days=5)),
    CalendarTrigger(rule="FREQ=MONTHLY;X-WEEKDAY-NEAR=1,15;BYHOUR=23", start_at=NOW - timedelta(days=3)),
    IntervalTrigger(interval_seconds=900, start_at=NOW - timedelta(days=1, seconds=17)),
    IntervalTrigger(interval_seconds=86_399, start_at=NOW + timedelta(days=2), end_at=NOW + timedelta(days=9)),
    OnceTrigger(run_at=NOW + timedelta(days=4), timezone="Asia/Kathmandu"),
    OnceTrigger(run_at=NOW + timedelta(hours=1), end_at=NOW + timedelta(minutes=59)),
    ManualTrigger(),
    ManualTrigger(timezone="America/Havana"),
)
TIMED = [trigger for trigger in EXAMPLES if trigger.is_timed]
# Values that each field refuses, by the field's name, beside those that a common check refuses.
REFUSED: Mapping[str, Any] = {
    "expression": "99 * * * *",
    "rule": "FREQ=HOURLY",
    "counted_from": "2026-02-30",
    "interval_seconds": 0,
    "run_at": NOW - timedelta(seconds=1),
}
instants = st.integers(-14 * 86_400_000, 14 * 86_400_000).map(lambda milliseconds: NOW + timedelta(milliseconds=milliseconds))
every_example = pytest.mark.parametrize("trigger", EXAMPLES, ids=repr)


def listed(trigger: Trigger, after: datetime, until: datetime) -> list[datetime]:
    """The due times of (after, until], found one after the other, each from the one before."""
    due_times: list[datetime] = []
    due = trigger.next_after(after)
    while due is not None and due <= until:
        due_times.append(due)
        due = trigger.next_after(due)
    return due_times


def test_every_type_has_an_example_and_every_field_a_value_that_it_refuses() -> None:
    assert {type(trigger) for trigger in EXAMPLES} == set(TRIGGERS.values())
    assert set(REFUSED) == set(FIELDS)


def test_no_two_types_have_a_field_of_the_same_name() -> None:
    names = [field.name for trigger in TRIGGERS.values() for field in trigger.fields]
    assert len(names) == len(set(names))


# -- due times --------------------------------------------------------------------------------------------------------


@every_example
@settings(max_examples=examples(25), deadline=None)
@given(after=instants)
def test_due_times_are_aware_utc_and_ascending_and_computed_from_the_one_before(trigger: Trigger, after: datetime) -> None:
    due_times = list(islice(trigger.iter_after(after), 8))
    assert all(due.tzinfo is UTC for due in due_times)
    assert due_times == sorted(set(due_times))
    assert all(due > after for due in due_times)
    assert due_times == listed(trigger, after, due_times[-1]) if due_times else trigger.next_after(after) is None


@every_example
@settings(max_examples=examples(25), deadline=None)
@given(after=instants, seconds=st.integers(0, 40_000))
def test_the_count_is_the_length_of_the_list(trigger: Trigger, after: datetime, seconds: int) -> None:
    until = after + timedelta(seconds=seconds)
    due_times = listed(trigger, after, until)
    assert trigger.count(after, until) == len(due_times)
    assert list(trigger.between(after + INSTANT, until + INSTANT)) == due_times
    assert trigger.latest(after, until, 3) == due_times[-3:]
    assert trigger.latest(after, until, 0) == []
    assert trigger.preview(after, 2) == list(islice(trigger.iter_after(after), 2))


@every_example
def test_an_empty_span_has_no_due_time(trigger: Trigger) -> None:
    assert trigger.count(NOW + YEAR, NOW) == 0
    assert trigger.count(NOW, NOW) == 0
    assert list(trigger.between(NOW, NOW)) == []


@every_example
@settings(max_examples=examples(25), deadline=None)
@given(begin=instants, seconds=st.integers(1, 400_000))
def test_start_is_included_and_end_is_not(trigger: Trigger, begin: datetime, seconds: int) -> None:
    end = begin + timedelta(seconds=seconds)
    bounded = replace(trigger.anchored(NOW), start_at=begin, end_at=end)
    due_times = list(islice(bounded.iter_after(begin - YEAR), 40))
    assert all(begin <= due < end or bounded.last_field != "end_at" for due in due_times)
    assert bounded.count(begin - YEAR, begin - INSTANT) == 0
    assert bounded.count(end - INSTANT, end + YEAR) == 0
    last = bounded.last_instant
    assert last is not None or not bounded.is_timed
    assert last is None or bounded.next_after(last) is None


@every_example
def test_a_trigger_that_never_ends_goes_on_to_the_end_of_the_calendar(trigger: Trigger) -> None:
    assert trigger.next_after(END_OF_TIME) is None
    unbounded = replace(trigger.anchored(NOW), start_at=None, end_at=None).anchored(NOW)
    if unbounded.repeats:
        assert unbounded.next_after(NOW + 1000 * YEAR) is not None
        assert unbounded.last_instant is None
    else:
        assert unbounded.count(NOW, END_OF_TIME) <= 1


@every_example
def test_an_anchored_trigger_is_due_at_its_first_due_time(trigger: Trigger) -> None:
    fresh = replace(trigger, start_at=None)
    assert fresh.is_anchored is not fresh.counts_from_first_due
    first = fresh.next_after(NOW)
    if first is None:
        return
    anchored = fresh.anchored(first)
    assert anchored.is_anchored
    assert anchored.anchored(first + INSTANT) == anchored, "it is anchored once"
    assert anchored.next_after(first - INSTANT) == first
    assert list(islice(anchored.iter_after(first - INSTANT), 5)) == list(islice(fresh.iter_after(NOW), 5))


@every_example
def test_a_day_pattern_says_what_the_trigger_says(trigger: Trigger) -> None:
    unbounded = replace(trigger.anchored(NOW), start_at=None, end_at=None, timezone="Asia/Kathmandu")
    pattern = unbounded.day_pattern()
    if pattern is None:
        return
    midnight = datetime(2026, 6, 9, 18, 15, tzinfo=UTC)  # the 10th begins in Kathmandu
    for days in range(8):
        begin = midnight + timedelta(days=days)
        day = (begin + timedelta(hours=12)).date()
        expected = [begin + timedelta(seconds=second) for second in pattern.times] if pattern.matches_day(day) else []
        assert list(unbounded.between(begin, begin + timedelta(days=1))) == expected
        assert pattern.matches_day(day) or not pattern.every_day


@every_example
def test_only_what_has_past_due_times_can_be_backfilled(trigger: Trigger) -> None:
    assert (trigger.backfill_refusal() is None) is (trigger.repeats and trigger.is_anchored)


# -- validation -------------------------------------------------------------------------------------------------------


def problems(trigger: Trigger) -> dict[str, str]:
    return {error.pointer: error.message for error in trigger.problems(NOW, lookahead=YEAR)}


@every_example
def test_an_example_is_sound(trigger: Trigger) -> None:
    assert problems(trigger) == {}
    assert trigger.not_computable() is None


@every_example
def test_a_wrong_field_is_named(trigger: Trigger) -> None:
    assert set(problems(replace(trigger, timezone="Mars/Base"))) == {"/schedule/timezone"}
    unknown = replace(trigger, timezone="Mars/Base").not_computable()
    assert unknown is not None
    assert unknown.pointer == "/schedule/timezone"
    assert set(problems(replace(trigger, start_at=NOW, end_at=NOW))) == {"/schedule/end_at"}


@pytest.mark.parametrize("chosen", TRIGGERS.values())
def test_a_missing_field_is_named(chosen: type[Trigger]) -> None:
    required = {f"/schedule/{field.name}" for field in chosen.fields if field.required}
    assert set(problems(chosen())) == required
    assert all(chosen.type in message for message in problems(chosen()).values())


@every_example
def test_a_wrong_own_field_is_refused_where_it_is_read_or_by_the_trigger(trigger: Trigger) -> None:
    for field in trigger.fields:
        value = REFUSED[field.name]
        plain = value.isoformat() if isinstance(value, datetime) else value
        refused = ScheduleSchema().validate({"type": trigger.type, field.name: plain})
        if refused:
            assert set(refused) == {field.name}
        else:
            assert set(problems(replace(trigger, **{field.name: value}))) == {f"/schedule/{field.name}"}


@every_example
def test_a_trigger_that_is_over_says_which_field_to_change(trigger: Trigger) -> None:
    over = trigger.never_due(NOW + 20 * YEAR)
    if not trigger.is_timed or trigger.next_after(NOW + 20 * YEAR) is not None:
        assert over is None
    else:
        assert over is not None
        assert over.pointer in {f"/schedule/{name}" for name in (trigger.last_field, "end_at")}


# -- words and form ---------------------------------------------------------------------------------------------------


@every_example
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_can_be_told_in_every_language(trigger: Trigger, language: str) -> None:
    words = trigger.words(language)
    assert words
    assert "{" not in words
    if language != "en":
        assert words != trigger.words("en")
    if trigger.repeats:
        bounded = replace(trigger, start_at=NOW, end_at=NOW + YEAR).words(language)
        assert "2026-03-02 12:00:00" in bounded
        assert "2027-03-03 12:00:00" in bounded


@pytest.mark.parametrize("chosen", TRIGGERS.values())
def test_a_wrong_own_field_does_not_stop_the_words(chosen: type[Trigger]) -> None:
    assert isinstance(chosen().words(), str)


@pytest.mark.parametrize("trigger", [each for each in EXAMPLES if each.next_after(NOW) is not None or not each.is_timed], ids=repr)
def test_what_the_form_posts_for_a_trigger_gives_the_same_trigger(trigger: Trigger) -> None:
    part = PARTS[trigger.type]
    posted = part.merged(part.posted(trigger.own_values(), UTC))
    values, errors = part.read(posted, "UTC")
    assert errors == []
    loaded = ScheduleSchema().load({"type": trigger.type, **values})
    assert trigger_from(loaded).own_values() == trigger.own_values()
    assert len({each.id for each in part.inputs(posted)}) == len(trigger.fields)


@pytest.mark.parametrize("chosen", TRIGGERS.values())
def test_a_form_that_is_left_empty_names_the_required_fields(chosen: type[Trigger]) -> None:
    _, errors = PARTS[chosen.type].read({}, "UTC")
    assert {error.pointer for error in errors} == {f"/schedule/{field.name}" for field in chosen.fields if field.required}


# -- stored -----------------------------------------------------------------------------------------------------------


@every_example
def test_a_stored_schedule_is_read_back_as_it_was(trigger: Trigger) -> None:
    schedule = Schedule(trigger=trigger, jitter_seconds=60, calendars=("nights",))
    stored = to_plain(schedule)
    assert stored["type"] == trigger.type
    assert set(stored) >= set(FIELDS), "a document has the fields of all types"
    assert schedule_from(stored) == schedule
    assert DAMAGED not in make_readable({"schedule": stored}, SCHEDULED)
    assert definition_from({"name": "n", "template_type": "t", "schedule": stored}).schedule == schedule


@every_example
def test_values_of_other_types_are_kept(trigger: Trigger) -> None:
    others = {name: value for name, value in REFUSED.items() if name not in trigger.own_values()}
    schedule = schedule_from({**to_plain(Schedule(trigger=trigger)), **others})
    assert schedule.trigger == trigger
    assert {name: to_plain(schedule)[name] for name in others} == others


@pytest.mark.parametrize("chosen", TRIGGERS.values())
def test_a_stored_schedule_without_a_required_field_is_never_due(chosen: type[Trigger]) -> None:
    document = make_readable({"schedule": {"type": chosen.type}}, SCHEDULED)
    missing = [field.name for field in chosen.fields if field.required]
    assert (DAMAGED in document) is bool(missing)
    assert all(f"/schedule/{name}" in document[DAMAGED] for name in missing)
    assert schedule_from(document["schedule"]).trigger.is_timed is (chosen.is_timed and not missing)

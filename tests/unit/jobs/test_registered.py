"""Two layers of a registered job: what the code declares, and what admins put in its place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.jobs import shape
from app.jobs.model import JobDefinition, Schedule, definition_from, job_document, job_from, to_plain
from app.jobs.registered import (
    LOCKED_FIELDS,
    OPEN_FIELDS,
    Override,
    Registered,
    drift,
    effective,
    locked_changes,
    overridden,
    settled,
    value_at,
)
from app.mongo import Document
from app.shapes import DAMAGED, make_readable
from app.triggers import CronTrigger, IntervalTrigger
from tests.builders.jobs import stored_job

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
DECLARED: dict[str, Any] = to_plain(
    JobDefinition(
        name="weekly-digest",
        template_type="service_job",
        enabled=False,
        schedule=Schedule(trigger=CronTrigger(expression="0 9 * * 1", timezone="UTC")),
        parameters={"service": "email-service", "config": {"batchSize": 100}},
        tags=("email",),
    )
)


def override(field: str, value: Any, declared: Any = None) -> Override:
    return Override(field=field, value=value, declared=value_at(DECLARED, field) if declared is None else declared, by="ada", at=NOW)


def changed(**members: Any) -> dict[str, Any]:
    """What an admin sends: the declared definition with other members of its objects, or other fields."""
    wanted = {name: dict(value) if isinstance(value, dict) else value for name, value in DECLARED.items()}
    for name, value in members.items():
        wanted[name] = {**wanted[name], **value} if isinstance(value, dict) else value
    return wanted


def test_every_field_of_a_definition_is_open_or_locked() -> None:
    assert {*OPEN_FIELDS} | {*LOCKED_FIELDS} == set(DECLARED)
    assert not {*OPEN_FIELDS} & {*LOCKED_FIELDS}


def test_without_overrides_the_declared_definition_applies() -> None:
    assert effective(DECLARED, ()) == DECLARED
    assert definition_from(effective(DECLARED, ())).name == "weekly-digest"


def test_an_override_replaces_its_field_and_nothing_else() -> None:
    applied = effective(DECLARED, [override("/schedule/expression", "0 10 * * 1"), override("/enabled", True), override("/tags", [])])
    definition = definition_from(applied)
    assert isinstance(definition.schedule.trigger, CronTrigger)
    assert definition.schedule.trigger.expression == "0 10 * * 1"
    assert (definition.enabled, definition.tags, definition.parameters) == (True, (), DECLARED["parameters"])
    assert DECLARED["schedule"]["expression"] == "0 9 * * 1"


def test_another_type_of_schedule_keeps_the_declared_fields_for_later() -> None:
    every_hour = {"type": "interval", "interval_seconds": 3600}
    overrides = overridden(DECLARED, (), changed(schedule=every_hour), by="ada", at=NOW)
    schedule = definition_from(effective(DECLARED, overrides)).schedule
    assert schedule.trigger == IntervalTrigger(interval_seconds=3600)
    later = {**DECLARED, "schedule": {**DECLARED["schedule"], "expression": "0 8 * * 1"}}
    assert definition_from(effective(later, overrides)).schedule.trigger == IntervalTrigger(interval_seconds=3600)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, {}),
        ({"enabled": True}, {"/enabled": True}),
        (
            {"schedule": {"expression": "0 10 * * 1", "timezone": "Europe/Berlin"}},
            {"/schedule/expression": "0 10 * * 1", "/schedule/timezone": "Europe/Berlin"},
        ),
        ({"retry_policy": {"max_retries": 7}}, {"/retry_policy/max_retries": 7}),
        ({"tags": ["a", "b"], "priority": 9}, {"/tags": ["a", "b"], "/priority": 9}),
        ({"description": "other", "parameters": {"config": {}}}, {}),
    ],
)
def test_what_an_admin_changes_becomes_overrides(wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    overrides = overridden(DECLARED, (), changed(**wanted), by="ada", at=NOW)
    assert {item.field: item.value for item in overrides} == expected
    assert all(item.declared == value_at(DECLARED, item.field) and (item.by, item.at) == ("ada", NOW) for item in overrides)


def test_the_declared_value_again_removes_an_override_and_an_unchanged_one_keeps_who_decided() -> None:
    before = (override("/enabled", True), override("/priority", 9))
    after = overridden(DECLARED, before, changed(enabled=False, priority=9), by="bob", at=LATER)
    assert after == (override("/priority", 9),)


def test_drift_is_what_both_sides_changed_to_different_values() -> None:
    overrides = [
        override("/schedule/expression", "0 10 * * 1"),
        override("/priority", 9),
        override("/enabled", True),
        override("/tags", ["mine"]),
    ]
    now = {**changed(schedule={"expression": "0 8 * * 1"}), "priority": 9, "tags": ["email", "weekly"]}
    found = {item.field: (item.value, item.before, item.declared) for item in drift(now, overrides)}
    assert found == {
        "/schedule/expression": ("0 10 * * 1", "0 9 * * 1", "0 8 * * 1"),
        "/tags": (["mine"], ["email"], ["email", "weekly"]),
    }
    assert drift(DECLARED, overrides) == []


@pytest.mark.parametrize(("keep", "value"), [(True, "0 10 * * 1"), (False, "0 8 * * 1")])
def test_either_side_of_a_drift_can_be_chosen(keep: bool, value: str) -> None:
    now = changed(schedule={"expression": "0 8 * * 1"})
    overrides = (override("/priority", 9), override("/schedule/expression", "0 10 * * 1"))
    after = settled(now, overrides, "/schedule/expression", keep=keep, by="bob", at=LATER)
    assert effective(now, after)["schedule"]["expression"] == value
    assert effective(now, after)["priority"] == 9
    assert drift(now, after) == []


def test_changes_of_locked_fields_are_named() -> None:
    assert locked_changes(DECLARED, changed(enabled=True, tags=[])) == []
    wanted = {**changed(enabled=True), "description": "x", "timeout_seconds": 5, "parameters": {}}
    assert locked_changes(DECLARED, wanted) == ["/description", "/parameters", "/timeout_seconds"]


def test_a_registered_job_comes_out_of_its_document_as_it_went_in() -> None:
    registered = Registered(
        service="email-service",
        display_name="Weekly digest",
        job_type="email",
        declared=DECLARED,
        overrides=(override("/enabled", True),),
        digest="abc",
        retired_at=LATER,
    )
    job = stored_job("weekly-digest")
    document = job_document(job.__class__(**{**{name: getattr(job, name) for name in job.__slots__}, "registered": registered}))
    readable = make_readable(document, shape.JOB)
    assert DAMAGED not in readable
    assert job_from(readable).registered == registered
    assert job_from(job_document(job)).registered is None


def test_a_damaged_declaration_does_not_hide_the_job() -> None:
    document: Document = {
        **job_document(stored_job("odd")),
        "registered": {"service": 7, "declared": {"tags": 3, "other": 1}, "overrides": [{"field": 1}]},
    }
    job = job_from(make_readable(document, shape.JOB))
    assert job.damaged == {"registered"}
    assert job.registered is not None
    assert job.registered.service == "unreadable"

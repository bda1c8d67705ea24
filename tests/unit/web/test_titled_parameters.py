"""Parameters and changes are read with the titles of their form, never as JSON Pointers."""

from __future__ import annotations

from typing import Any

from app.jobs.model import DEFINITION_FIELDS
from app.jobs.reading import json_schema
from app.jobs.schema import JobDefinitionSchema
from app.validation.secret import MASK
from web.filters.job_words import VALUE_WORDS, title_of, titles_on_the_way
from web.filters.parameters import titled_changes, titled_parameters
from web.forms.reading import Titled

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "dryRun": {"type": "boolean", "title": "Dry run"},
        "batch_size": {"type": "integer"},
        "mode": {"title": "Mode", "oneOf": [{"const": "all", "title": "Every document"}, {"const": "old", "title": "Old ones"}]},
        "token": {"type": "string", "title": "Token", "writeOnly": True},
        "to": {"type": "array", "title": "Recipients", "items": {"type": "string"}},
        "steps": {
            "type": "array",
            "title": "Steps",
            "items": {"type": "object", "properties": {"name": {"type": "string", "title": "Step name"}}},
        },
        "limits": {"type": "object", "title": "Limits", "properties": {"most": {"type": "integer", "title": "At most"}}},
    },
}


def _texts(rows: tuple[Titled, ...]) -> dict[str, str]:
    return {row.title: row.text for row in rows if not row.inner}


def test_values_have_titles_and_words() -> None:
    rows = titled_parameters(
        {"dryRun": False, "batch_size": 1500, "mode": "old", "token": dict(MASK), "to": ["a@x.org", "b@x.org"]}, SCHEMA
    )
    assert _texts(rows) == {
        "Dry run": "No",
        "Batch size": "1,500",
        "Mode": "Old ones",
        "Token": "••••••",
        "Recipients": "a@x.org, b@x.org",
    }


def test_groups_and_lists_of_objects_keep_their_places() -> None:
    rows = titled_parameters({"limits": {"most": 3}, "steps": [{"name": "first"}, {"name": "second"}]}, SCHEMA)
    inner = {row.title: row.inner for row in rows}
    assert _texts(inner["Limits"]) == {"At most": "3"}
    assert [(entry.title, _texts(entry.inner)) for entry in inner["Steps"]] == [
        ("Entry 1", {"Step name": "first"}),
        ("Entry 2", {"Step name": "second"}),
    ]


def test_what_the_schema_does_not_know_is_shown_too() -> None:
    assert _texts(titled_parameters({"gone": "still here"}, {"type": "object", "additionalProperties": False})) == {"gone": "still here"}
    assert _texts(titled_parameters({"name": "a"})) == {"name": "a"}


def test_a_value_of_another_type_than_the_schema_says_is_shown() -> None:
    rows = titled_parameters({"batch_size": {"odd": [1]}, "limits": 7, "to": "text"}, SCHEMA)
    assert {row.title: row.text for row in rows} == {"Batch size": '{\n  "odd": [\n    1\n  ]\n}', "Limits": "7", "Recipients": "text"}
    assert [row.title for row in rows if row.code] == ["Batch size"]


def test_changes_have_titles_for_pointers() -> None:
    changes = titled_changes(
        [
            {"field": "/parameters/dryRun", "before": True, "after": False},
            {"field": "/parameters/limits/most", "after": 5},
            {"field": "/retry_policy/retry_delay_seconds", "before": 60, "after": 3600},
            {"field": "/schedule/expression", "before": "0 2 * * *", "after": "0 3 * * *"},
            {"field": "/overlap", "before": "skip", "after": "queue"},
        ],
        SCHEMA,
    )
    assert changes == [
        {"field": "Dry run", "before": "Yes", "after": "No"},
        {"field": "Limits › At most", "after": "5"},
        {"field": "Retries › First delay", "before": "1 minute", "after": "1 hour"},
        {"field": "Schedule › Cron expression", "before": "0 2 * * *", "after": "0 3 * * *"},
        {"field": "If the job is due while it still runs", "before": "Skip the new run", "after": "Start the new run afterwards"},
    ]


def test_every_field_of_a_definition_has_a_title() -> None:
    assert [name for name in DEFINITION_FIELDS if title_of(name) is None] == []


def test_a_field_inside_a_group_is_named_after_it() -> None:
    assert str(titles_on_the_way("/concurrency/group")) == "Concurrency › Concurrency group"
    assert str(titles_on_the_way("/group")) == "Group"
    assert str(titles_on_the_way("/run_limit/seconds")) == "Limit of runs › Within"
    assert str(titles_on_the_way("/parameters/seconds")) == "Parameters › Seconds"
    assert str(titles_on_the_way("/depends_on/0/when")) == "Run after other jobs › 1 › Required outcome"
    assert str(titles_on_the_way("/no_such_field")) == "No such field"
    assert str(titles_on_the_way("")) == "Job"


def codes_of(properties: dict[str, Any]) -> dict[str, set[str]]:
    """The codes that each field takes, by its name."""
    codes: dict[str, set[str]] = {}
    for name, schema in properties.items():
        items = schema.get("items", {})
        codes |= {name: set(values)} if (values := schema.get("enum") or items.get("enum")) else {}
        codes |= codes_of(schema.get("properties", {})) | codes_of(items.get("properties", {}))
    return codes


def test_every_code_of_a_definition_has_words() -> None:
    """What REST takes as a code is read in words."""
    codes = codes_of({name: schema for name, schema in json_schema(JobDefinitionSchema())["properties"].items() if name != "schedule"})
    assert {name: set(words) for name, words in VALUE_WORDS.items()} == codes

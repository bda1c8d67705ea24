"""The validator: what its errors say, where they point, and how many there are."""

from __future__ import annotations

from typing import Any

import pytest

from app.validation import SchemaValidator


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "message"),
    [
        ({"multipleOf": 0.01}, 4.02, None, ""),
        ({"multipleOf": 0.01}, 4.025, "", "must be a multiple of 0.01"),
        ({"type": "string", "pattern": "^a$"}, "a\n", "", "must match the pattern ^a$"),
        ({"type": "string", "format": "email"}, "a@b@c", "", "must be an e-mail address"),
        ({"type": "string", "format": "email"}, "a@b.c", None, ""),
        ({"type": "string", "format": "date"}, "2026-02-30", "", "must be a date such as 2026-03-29"),
        ({"type": "integer"}, "5", "", "must be a whole number"),
        ({"type": ["string", "null"]}, 5, "", "must be text or null"),
        ({"required": ["a"], "properties": {"a": {}}}, {}, "/a", "is required"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "/b", "is required when a is set"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b/c": 1}, "/b~1c", "is not a known field"),
        ({"minLength": 3}, "ab", "", "must have at least 3 characters"),
        ({"maxLength": 1}, "ab", "", "must have at most 1 character, but has 2"),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, 3, "", "must be one of 1, 2"),
        ({"enum": list(range(20))}, 99, "", "must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"),
        ({"const": 1}, 2, "", "must be 1"),
        ({"exclusiveMinimum": 0}, 0, "", "must be greater than 0"),
        ({"exclusiveMaximum": 0}, 0, "", "must be less than 0"),
        ({"uniqueItems": True}, [1, 1], "", "must not contain the same entry twice"),
        ({"minItems": 1}, [], "", "must have at least 1 entry"),
        ({"maxItems": 1}, [1, 2], "", "must have at most 1 entry"),
        ({"minProperties": 1}, {}, "", "must not be empty"),
        ({"minProperties": 2}, {}, "", "must have at least 2 fields"),
        ({"maxProperties": 0}, {"a": 1}, "", "must have at most 0 fields"),
        ({"not": {}}, 1, "", "is not allowed here (not)"),
        ({"items": {"type": "string"}}, ["a", 1], "/1", "must be text"),
        ({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "string"}}, "type": "object"}]}, {"a": 1}, None, None),
    ],
)
def test_errors_say_in_words_what_to_change_and_where(schema: Any, value: Any, pointer: str | None, message: str | None) -> None:
    found = SchemaValidator(schema).errors(value)
    if message is None:
        assert found
    else:
        assert [(error.pointer, error.message) for error in found] == ([] if pointer is None else [(pointer, message)])


def test_a_hopeless_value_gives_a_bounded_list() -> None:
    assert len(SchemaValidator({"items": {"type": "string"}}).errors(list(range(100_000)))) <= 101

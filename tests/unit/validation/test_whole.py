"""Whole numbers that are written with a fraction of zero."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.validation.whole import as_whole

WHOLE = {"type": "integer"}
ITEM = {"type": "object", "properties": {"n": WHOLE, "any": {"type": "object"}}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (WHOLE, 5.0, 5),
        (WHOLE, 5.5, 5.5),
        (WHOLE, "5.0", "5.0"),
        (WHOLE, True, True),
        (WHOLE, float("inf"), float("inf")),
        ({"type": ["integer", "null"]}, 5.0, 5),
        ({"type": ["integer", "null"]}, None, None),
        ({"type": ["integer", "number"]}, 5.0, 5.0),
        ({"type": "number"}, 5.0, 5.0),
        ({}, 5.0, 5.0),
        (True, 5.0, 5.0),
        (ITEM, {"n": 5.0, "any": {"n": 5.0}, "other": 5.0}, {"n": 5, "any": {"n": 5.0}, "other": 5.0}),
        ({"oneOf": [ITEM, {"type": "array", "items": ITEM}]}, [{"n": 5.0}, 5.0], [{"n": 5}, 5.0]),
    ],
)
def test_where_the_schema_wants_a_whole_number(schema: Any, value: Any, expected: Any) -> None:
    assert json.dumps(as_whole(schema, value)) == json.dumps(expected)

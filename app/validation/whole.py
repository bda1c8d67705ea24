"""Whole numbers that are written with a fraction of zero, such as 5.0. JSON Schema takes them for whole numbers; records in the database do
not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ALTERNATIVES = ("oneOf", "anyOf", "allOf")


def as_whole(schema: Any, value: Any) -> Any:
    """Returns a value with each such number as a whole number where the schema wants one: in the members and items that it describes, and
    in those of its alternatives. Everything else stays as it is."""
    if not isinstance(schema, Mapping):
        return value
    for keyword in _ALTERNATIVES:
        for alternative in schema.get(keyword, ()):
            value = as_whole(alternative, value)
    if isinstance(value, float):
        return int(value) if _wants_whole(schema) and value.is_integer() else value
    if isinstance(value, Mapping):
        members = schema.get("properties", {})
        return {name: as_whole(members.get(name), item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_whole(schema.get("items"), item) for item in value]
    return value


def _wants_whole(schema: Mapping[str, Any]) -> bool:
    wanted = schema.get("type")
    return wanted == "integer" or (isinstance(wanted, list) and "integer" in wanted and "number" not in wanted)

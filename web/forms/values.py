"""JSON values of a form: whether two are equal, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.validation.absent import ABSENT as ABSENT  # imported from here by the forms and their callers


def identity(value: Any) -> Any:
    """Returns a hashable key of a JSON value: 1 and 1.0 have the same key, true and 1 have not, at any depth."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, Mapping):
        return "object", frozenset((key, identity(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(identity(inner) for inner in value)
    return value


def same(left: Any, right: Any) -> bool:
    """Returns True if two values are equal by JSON's rules."""
    return bool(identity(left) == identity(right))


def from_name(name: str) -> str:
    """Returns the title for a name: `batch_size` and `batchSize` → "Batch size"."""
    spaced = "".join(f" {ch.lower()}" if ch.isupper() and i and name[i - 1].islower() else ch for i, ch in enumerate(name))
    words = spaced.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def json_type_of(value: Any) -> str:
    """Returns the JSON type of a value; `integer` for a whole number that is written without a fraction."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list) else "null"

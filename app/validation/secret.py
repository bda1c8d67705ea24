"""Secrets among values: which members of a schema are one, and what stands in their place for whoever may not see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK: dict[str, str] = {"$secret": "set"}  # what the API and the form show, and what they send back for "leave it as it is"
NAMED = "named"  # {"$secret": "named", "name": …}: a secret that is kept elsewhere, by its name


def named_secret(name: str) -> dict[str, str]:
    """What stands for the secret of that name."""
    return {"$secret": NAMED, "name": name}


def secret_name(value: Any) -> str | None:
    """The name that a value gives instead of a secret; None for any other value."""
    named = isinstance(value, Mapping) and set(value) == {"$secret", "name"} and value["$secret"] == NAMED
    return value["name"] if named and isinstance(value["name"], str) else None


def is_secret(schema: Any) -> bool:
    """JSON Schema validation 9.4: a `writeOnly` value is never given back; a password is one too, as the form has it."""
    return isinstance(schema, Mapping) and (schema.get("writeOnly") is True or schema.get("format") == "password")

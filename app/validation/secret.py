"""Secrets in values: which members of a schema are secret, and the values that take the place of a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK: dict[str, str] = {"$secret": "set"}  # the API and the form show this; sent back, it means "leave the secret as it is"
NAMED = "named"  # {"$secret": "named", "name": …}: the secret of that name among the connections


def named_secret(name: str) -> dict[str, str]:
    """Returns the value that refers to the secret of that name."""
    return {"$secret": NAMED, "name": name}


def secret_name(value: Any) -> str | None:
    """Returns the name if the value refers to a secret by name; None for any other value."""
    named = isinstance(value, Mapping) and set(value) == {"$secret", "name"} and value["$secret"] == NAMED
    return value["name"] if named and isinstance(value["name"], str) else None


def is_secret(schema: Any) -> bool:
    """Returns whether a schema marks its value as secret: by `writeOnly` (JSON Schema validation, 9.4: it is never given back), or by the
    format `password`."""
    return isinstance(schema, Mapping) and (schema.get("writeOnly") is True or schema.get("format") == "password")

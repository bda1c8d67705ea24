"""A single secret text. Parameters refer to it by name and do not hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from templates_lib.connections.kind import TEMPLATES, ConnectionKind
from templates_lib.own import Own

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {
            "type": "string",
            "title": "Secret",
            "minLength": 1,
            "maxLength": 4000,
            "writeOnly": True,
            "description": "Kept encrypted, never shown again. Jobs that name it get the new one as soon as it is changed here.",
        },
        "templates": TEMPLATES,
    },
    "required": ["value"],
    "additionalProperties": False,
}


def _probe(settings: Mapping[str, Any], own: Own) -> str:  # noqa: ARG001 - the kind's signature
    return "The secret can be opened" if settings["value"] else "The secret is empty"


KIND = ConnectionKind(
    type="secret",
    name="Secret",
    icon="key-round",
    description="A key or password that parameters name instead of holding it",
    settings_schema=SCHEMA,
    probe=_probe,
)

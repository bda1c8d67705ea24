"""A single secret text. Parameters refer to it by name and do not hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.messages import say
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
            "description": "Stored encrypted and never shown again. If you change it here, jobs use the new value from their next run on.",
        },
        "templates": TEMPLATES,
    },
    "required": ["value"],
    "additionalProperties": False,
}


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:  # noqa: ARG001 - the kind's signature
    return say("The secret can be decrypted.") if settings["value"] else say("The secret is empty.")


KIND = ConnectionKind(
    type="secret",
    name="Secret",
    icon="key-round",
    description="A key or password that jobs refer to by name",
    settings_schema=SCHEMA,
    place=lambda settings: "",
    probe=_probe,
)

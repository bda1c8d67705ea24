"""The `x-` keywords that say how a form looks; hints.schema.json is their schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.validation import SchemaRefused, SchemaValidator
from templates_lib.messages import say

_SCHEMA = json.loads((Path(__file__).parent / "hints.schema.json").read_text(encoding="utf-8"))
NAMES = frozenset(_SCHEMA["properties"])
_validator = SchemaValidator(_SCHEMA)


def check_hints(hints: Mapping[str, Any], pointer: str) -> None:
    """Raises SchemaRefused if a hint is wrong. `pointer` is where the hints stand. `x-` keywords of other tools are ignored."""
    errors = _validator.errors({name: value for name, value in hints.items() if name in NAMES}, limit=1)
    if errors:
        raise SchemaRefused(pointer + errors[0].pointer, say("is not a valid hint: {message}", message=errors[0].message))

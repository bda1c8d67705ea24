"""Arguments of calls as plans may have them: with placeholders for secrets, and as one line of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.imports.secrets import Redactor

LONGEST_LINE = 1_000


def redacted(redactor: Redactor, value: Any, name: str = "") -> Any:
    """Returns a value of JSON with a placeholder for each secret. The name of a member says whether its text is secret as a whole."""
    match value:
        case str():
            return redactor.redact_value(name, value)
        case list() | tuple():
            return [redacted(redactor, item, name) for item in value]
        case Mapping():
            return {redactor.redact(str(key)): redacted(redactor, item, str(key)) for key, item in value.items()}
    return value


def call_line(name: str, arguments: Any, keywords: Mapping[str, Any]) -> str:
    """Returns a call as one line: `tasks.send("a", retries=3)`."""
    texts = [as_json(value) for value in arguments] + [f"{key}={as_json(value)}" for key, value in keywords.items()]
    return printable(f"{name}({', '.join(texts)})")[:LONGEST_LINE]


def as_json(value: Any) -> str:
    """Returns a value as JSON, in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def printable(text: str) -> str:
    """Returns a text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)

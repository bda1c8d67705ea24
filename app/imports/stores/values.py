"""Calls and values of stores as one line of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST_LINE = 1_000


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

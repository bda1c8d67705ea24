"""JSON that a person reads and types in a text area."""

from __future__ import annotations

import json
from typing import Any

from app.validation.storable import as_json, decimal_of, is_text

DEEPEST_JSON = 100  # levels; MongoDB's own limit for nested documents
LONGEST_NUMBER = 4000  # digits; Python's own limit for turning text into a number is 4,300
_MOST_QUOTED = 40  # letters of a number that a message repeats
_INFINITE = (float("inf"), float("-inf"))


class JsonRefused(ValueError):
    """JSON that is well formed but has no exact meaning. `key` and `values` make the sentence of the message."""

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(key)
        self.key, self.values = key, values


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Returns JSON for a text area. Non-ASCII text is escaped if HTML would not give it back as it is (see plain_text)."""
    text = as_json(value, ensure_ascii=False, indent=indent)
    return text if plain_text(text) else as_json(value, ensure_ascii=True, indent=indent)


def plain_text(text: str) -> bool:
    """Returns True if an HTML text area gives the text back unchanged: no carriage return, no NUL, no half of a surrogate pair."""
    return is_text(text) and not any(ch in "\r\0" for ch in text)


def parse_json(text: str) -> Any:
    """Returns the value of a JSON text, read more strictly than `json.loads` reads it.

    No key may appear twice, NaN and numbers beyond a double are refused, and values nest at most DEEPEST_JSON levels.
    Raises json.JSONDecodeError, JsonRefused or RecursionError.
    """
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short_int, object_pairs_hook=_unique)
    waiting = [(value, 1)]
    while waiting:
        inner, depth = waiting.pop()
        if depth > DEEPEST_JSON:
            raise JsonRefused("jsonDeep", count=DEEPEST_JSON)
        if isinstance(inner, dict | list):
            waiting += [(each, depth + 1) for each in (inner.values() if isinstance(inner, dict) else inner)]
    return value


def entry_key(text: str, is_json: bool) -> str | None:
    """Returns the key of an entry from its key field; None if the field holds JSON (`is_json`) that is not a text."""
    if not is_json:
        return text
    try:
        key = json.loads(text)
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def _refuse_constant(text: str) -> Any:
    raise JsonRefused("jsonConstant", text=text)


def _finite(text: str) -> float:
    value = decimal_of(text)
    if value in _INFINITE:
        raise JsonRefused("jsonLarge", text=text[:_MOST_QUOTED])
    return value


def _short_int(text: str) -> int | float:
    if len(text) > LONGEST_NUMBER:
        raise JsonRefused("jsonLarge", text=f"{text[:_MOST_QUOTED]}…")
    return -0.0 if text == "-0" else int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise JsonRefused("jsonTwice", name=next(key for key in members if keys.count(key) > 1)[:60])
    return members

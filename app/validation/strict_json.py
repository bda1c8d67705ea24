"""JSON without what RFC 8259 leaves open: a name twice, numbers that are none, halves of surrogate pairs, any depth."""

from __future__ import annotations

import json
from typing import Any

from app.validation.storable import decimal_of, whole_of
from templates_lib.messages import say


class JsonRefused(ValueError):
    """It is JSON, and not one that means one thing to everybody; the message says what is wrong."""


def parse(text: str, *, deepest: int) -> Any:
    """The value of `text`, nested at most `deepest` levels; a number that is not held exactly is an InexactNumber, which
    storable.unstorable names at its place. Raises json.JSONDecodeError for what is no JSON, JsonRefused."""
    try:
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant, parse_float=decimal_of, parse_int=whole_of)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # an escape may name half of a surrogate pair, which is no text
    except UnicodeEncodeError as error:
        raise JsonRefused("it holds half of a surrogate pair, which is no text") from error
    except RecursionError as error:
        raise JsonRefused(say("it is nested more than {most} levels deep", most=deepest)) from error
    level = [value]
    for _ in range(deepest):
        level = [inner for one in level if isinstance(one, dict | list) for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return value
    raise JsonRefused(say("it is nested more than {most} levels deep", most=deepest))


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JsonRefused(say("the name {key!r} occurs twice in one object", key=key))
        found[key] = value
    return found


def _no_constant(text: str) -> Any:
    raise JsonRefused(say("{text} is no JSON number", text=text))

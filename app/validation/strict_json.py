"""Reads JSON strictly. It refuses what RFC 8259 leaves open: repeated names, NaN and Infinity, halves of surrogate pairs, and any depth of
nesting."""

from __future__ import annotations

import json
from typing import Any

from app.validation.storable import decimal_of, whole_of
from templates_lib.messages import say


class JsonRefused(ValueError):
    """The text is JSON, but different readers would read it differently; the message says what is wrong."""


def parse(text: str, *, deepest: int) -> Any:
    """Returns the value of `text`, which may be nested `deepest` levels at most. A number without an exact value in 64 bits becomes an
    InexactNumber, which `storable.unstorable` reports at its place. Raises json.JSONDecodeError if the text is not JSON, and
    JsonRefused."""
    try:
        value = json.loads(
            text, object_pairs_hook=_object_without_repeats, parse_constant=_refuse_constant, parse_float=decimal_of, parse_int=whole_of
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # an escape may name half of a surrogate pair, which is no text
    except UnicodeEncodeError as error:
        raise JsonRefused("it contains half of a surrogate pair, which is not valid text") from error
    except RecursionError as error:
        raise JsonRefused(say("it is nested more than {most} levels deep", most=deepest)) from error
    level = [value]
    for _ in range(deepest):
        level = [
            inner
            for container in level
            if isinstance(container, dict | list)
            for inner in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return value
    raise JsonRefused(say("it is nested more than {most} levels deep", most=deepest))


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise JsonRefused(say("the name {key!r} occurs twice in one object", key=key))
        members[key] = value
    return members


def _refuse_constant(text: str) -> Any:
    raise JsonRefused(say("{text} is not a JSON number", text=text))

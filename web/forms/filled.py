"""A form with something in it: the tree of nodes beside what a person typed or what was stored. It reads both ways."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import FieldError
from web.forms.nodes import (
    ArrayNode,
    BooleanNode,
    ChoiceNode,
    JsonNode,
    LiveChoiceNode,
    Node,
    NumberNode,
    ObjectNode,
    TextNode,
)

# What a secret reads as when it was left as it is; stores keep the old one for it.
KEPT: dict[str, str] = {"$secret": "set"}
MOST_ROWS = 2000
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT = _Absent()


@dataclass(slots=True)
class Filled:
    """One control, or group of controls, with its content.

    `name` is the control's posted name, opaque; `pointer` the JSON Pointer of its value. `state` is `absent`, `value` or, for a
    secret, `kept`. `raw` is the text in the control. `rows` are (row id, row) of an array.
    """

    node: Node
    name: str
    pointer: str
    state: str = "absent"
    raw: str = ""
    members: list[tuple[str, Filled]] = field(default_factory=list)
    rows: list[tuple[int, Filled]] = field(default_factory=list)

    def walk(self) -> Iterator[Filled]:
        """This one and all below it."""
        yield self
        for _, inner in (*self.members, *self.rows):
            yield from inner.walk()


def from_value(node: Node, name: str, pointer: str, value: Any, *, fresh: bool) -> Filled:
    """The control showing `value`; with `fresh`, defaults stand where the value is absent."""
    if value is ABSENT and fresh and "default" in node.schema:
        value = node.schema["default"]
    filled = Filled(node, name, pointer, "absent" if value is ABSENT else "value")
    match node:
        case ObjectNode():
            given = value if isinstance(value, Mapping) else {}
            if value is ABSENT and node.required:
                filled.state = "value"
            filled.members = [
                (
                    key,
                    from_value(inner, f"{name}.{index}", f"{pointer}/{escape(key)}", given.get(key, ABSENT), fresh=fresh),
                )
                for index, (key, inner) in enumerate(node.members)
            ]
        case ArrayNode():
            items = (
                value if isinstance(value, list) else [ABSENT] * min(node.schema.get("minItems", 0), 3) if fresh and node.required else []
            )
            filled.rows = [
                (index, from_value(node.item, f"{name}.r{index}", f"{pointer}/{index}", item, fresh=item is ABSENT))
                for index, item in enumerate(items)
            ]
        case TextNode(secret=True):
            filled.state = "kept" if value == KEPT else filled.state
        case ChoiceNode(options=options):
            filled.raw = next((str(index) for index, (option, _) in enumerate(options) if same(option, value)), "")
        case BooleanNode():
            filled.raw = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else ""
        case JsonNode():
            filled.raw = "" if value is ABSENT else json.dumps(value, ensure_ascii=False, indent=2)
        case _ if value is not ABSENT and value is not None:
            filled.raw = value if isinstance(value, str) else json.dumps(value)
    return filled


def from_posted(node: Node, name: str, pointer: str, posted: Mapping[str, list[str]]) -> Filled:
    """The control as it was posted. What is missing is as if it had been empty: a browser posts every control that it shows."""
    filled = Filled(node, name, pointer, _last(posted, f"{name}.state", "absent"))
    match node:
        case ObjectNode():
            if node.required:
                filled.state = "value"
            filled.members = [
                (key, from_posted(inner, f"{name}.{index}", f"{pointer}/{escape(key)}", posted))
                for index, (key, inner) in enumerate(node.members)
            ]
        case ArrayNode():
            ids = list(dict.fromkeys(number for text in posted.get(f"{name}.rows", ()) if (number := small_number(text)) >= 0))[:MOST_ROWS]
            filled.rows = [(row, from_posted(node.item, f"{name}.r{row}", f"{pointer}/{index}", posted)) for index, row in enumerate(ids)]
        case BooleanNode(three_states=False):
            filled.raw = "true" if "true" in posted.get(name, ()) else "false"
        case _:
            # HTML posts line breaks as CRLF; what was meant is LF.
            filled.raw = _last(posted, name, "").replace("\r\n", "\n")
    return filled


def value_of(filled: Filled, errors: list[FieldError]) -> Any:
    """The JSON value, or ABSENT; text that is no value of its kind is reported in `errors` and stands as it was typed."""
    node, raw = filled.node, filled.raw
    match node:
        case ObjectNode():
            if filled.state == "absent":
                return ABSENT
            values = {key: value_of(inner, errors) for key, inner in filled.members}
            return {key: value for key, value in values.items() if value is not ABSENT}
        case ArrayNode():
            if not filled.rows and filled.state == "absent" and not node.required:
                return ABSENT
            items = [value_of(row, errors) for _, row in filled.rows]
            empty = "" if isinstance(node.item, TextNode | LiveChoiceNode) else None  # a row is there, whatever it holds
            return [empty if item is ABSENT else item for item in items]
        case TextNode(secret=True):
            return raw if raw else dict(KEPT) if filled.state == "kept" else ABSENT
        case TextNode():
            return raw if raw or ((filled.state == "value" or node.required) and _takes_empty(node.schema)) else ABSENT
        case LiveChoiceNode():
            return raw or ABSENT
        case ChoiceNode(options=options):
            index = small_number(raw)
            return options[index][0] if 0 <= index < len(options) else ABSENT
        case BooleanNode():
            return {"true": True, "false": False}.get(raw, ABSENT)
        case NumberNode():
            return _number(filled, errors)
        case _:
            return _json(filled, errors)


def _takes_empty(schema: Mapping[str, Any]) -> bool:
    """True where an empty text may be meant; else an empty field is one that was left out."""
    return (
        not schema.get("minLength") and "format" not in schema and ("pattern" not in schema or re.search(schema["pattern"], "") is not None)
    )


def _number(filled: Filled, errors: list[FieldError]) -> Any:
    text = filled.raw.strip()
    if not text:
        return ABSENT
    node = filled.node
    whole = isinstance(node, NumberNode) and node.whole
    if _COMMA.fullmatch(text):
        errors.append(FieldError(filled.pointer, f"Write the decimal point as a dot: {text.replace(',', '.')}"))
    elif not _NUMBER.fullmatch(text):
        errors.append(FieldError(filled.pointer, "must be a whole number, such as 12" if whole else "must be a number, such as 12.5"))
    else:
        value = json.loads(text)
        if isinstance(value, float) and not math.isfinite(value):
            errors.append(FieldError(filled.pointer, "is larger than a number can be"))
            return text
        return int(value) if whole and isinstance(value, float) and value.is_integer() else value
    return text


def _json(filled: Filled, errors: list[FieldError]) -> Any:
    if not filled.raw.strip():
        return ABSENT
    try:
        return json.loads(filled.raw, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        errors.append(FieldError(filled.pointer, f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"))
    except (ValueError, RecursionError) as error:
        errors.append(FieldError(filled.pointer, f"is no JSON: {error}"))
    return filled.raw


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def small_number(text: str) -> int:
    """The number that a posted index or row id is; -1 for anything else (`isdigit` alone takes the digits of every script)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def same(left: Any, right: Any) -> bool:
    """JSON equality: 1 and 1.0 are equal, true and 1 are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def escape(key: str) -> str:
    """A reference token of a JSON Pointer (RFC 6901, 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _last(posted: Mapping[str, list[str]], name: str, default: str) -> str:
    found = posted.get(name)
    return found[-1] if found else default

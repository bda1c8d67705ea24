"""A schema compiled into a tree of nodes: one class for each kind of control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 30
MOST_NODES = 2000

# String formats that a browser has a control or a keyboard for (HTML Living Standard, 4.10.5). Those whose browser check differs
# from the JSON Schema format stay text: a value must never be lost to a picker that cannot show it.
_INPUT_TYPES = {"email": "email", "uri": "url", "date": "date", "color": "color"}


class SchemaRefused(Exception):
    """A schema that no form is drawn for; `pointer` is where in the schema, `reason` why."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '/'}: {reason}")
        self.pointer, self.reason = pointer, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What all controls share. `title` is never empty; `required` is as the parent says; hints are the schema's `x-` keywords."""

    schema: Mapping[str, Any]
    title: str
    required: bool

    @property
    def description(self) -> str:
        return str(self.schema.get("description", ""))

    @property
    def placeholder(self) -> str:
        return str(self.schema.get("x-placeholder", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode(Node):
    """A string: one line, or several, or a secret."""

    input_type: str
    multiline: bool
    secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberNode(Node):
    """A number; `whole` for an integer."""

    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BooleanNode(Node):
    """Yes or no; with a third state where it may be absent and has no default."""

    three_states: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceNode(Node):
    """One of given values, each with its words; posted as an index, so that values of any type are told apart."""

    options: tuple[tuple[Any, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChoiceNode(Node):
    """A string out of what a provider knows (`x-options`), such as the names of connections."""

    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonNode(Node):
    """Any value, typed as JSON: what no other control can draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectNode(Node):
    """A group of members, in the order of the schema."""

    members: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayNode(Node):
    """Rows of one kind."""

    item: Node


def compile_schema(schema: Any, *, title: str = "") -> Node:
    """The tree of a schema. Raises SchemaRefused for what is no schema, or is too deep or too large."""
    budget = [MOST_NODES]
    return _compile(schema, title=title, required=True, pointer="", depth=0, budget=budget)


def _compile(schema: Any, *, title: str, required: bool, pointer: str, depth: int, budget: list[int]) -> Node:
    if isinstance(schema, bool):
        schema = {} if schema else {"not": {}}
    if not isinstance(schema, Mapping):
        raise SchemaRefused(pointer, "is no schema")
    if depth > MAX_DEPTH:
        raise SchemaRefused(pointer, f"is nested more than {MAX_DEPTH} levels deep")
    budget[0] -= 1
    if budget[0] < 0:
        raise SchemaRefused(pointer, f"has more than {MOST_NODES} controls")
    base: dict[str, Any] = {
        "schema": schema,
        "title": str(schema.get("title") or title or "Value"),
        "required": required,
    }
    if _drawn_as_json(schema):
        return JsonNode(**base)
    if "enum" in schema or "const" in schema or _titled_constants(schema):
        return ChoiceNode(**base, options=_options(schema))
    match schema.get("type"):
        case "string":
            return _text(schema, base)
        case "integer":
            return NumberNode(**base, whole=True)
        case "number":
            return NumberNode(**base, whole=False)
        case "boolean":
            return BooleanNode(**base, three_states=not required and "default" not in schema)
        case "object":
            return _object(schema, base, pointer, depth, budget)
        case "array":
            item = _compile(
                schema["items"],
                title=_singular(base["title"]),
                required=True,
                pointer=f"{pointer}/items",
                depth=depth + 1,
                budget=budget,
            )
            return ArrayNode(**base, item=item)
        case _:
            return JsonNode(**base)


def _drawn_as_json(schema: Mapping[str, Any]) -> bool:
    """True for what has no control of its own: the person types JSON, and the validator judges it all the same."""
    if schema.get("x-widget") == "json" or any(word in schema for word in ("$ref", "anyOf", "allOf", "not", "if", "$dynamicRef")):
        return True
    if "oneOf" in schema and not _titled_constants(schema):
        return True
    if schema.get("type") == "array":
        return not isinstance(schema.get("items"), Mapping) or "prefixItems" in schema
    if schema.get("type") == "object":
        return not schema.get("properties") or schema.get("additionalProperties", True) is not False or "patternProperties" in schema
    return False


def _titled_constants(schema: Mapping[str, Any]) -> bool:
    branches = schema.get("oneOf")
    return isinstance(branches, list) and bool(branches) and all(isinstance(one, Mapping) and "const" in one for one in branches)


def _options(schema: Mapping[str, Any]) -> tuple[tuple[Any, str], ...]:
    if "const" in schema:
        return ((schema["const"], _words(schema["const"])),)
    if "enum" in schema:
        return tuple((value, _words(value)) for value in schema["enum"])
    return tuple((one["const"], str(one.get("title") or _words(one["const"]))) for one in schema["oneOf"])


def _words(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _text(schema: Mapping[str, Any], base: dict[str, Any]) -> Node:
    if isinstance(schema.get("x-options"), Mapping):
        return LiveChoiceNode(**base, source=schema["x-options"])
    secret = schema.get("writeOnly") is True or schema.get("format") == "password"
    input_type = "password" if secret else _INPUT_TYPES.get(str(schema.get("format", "")), "text")
    return TextNode(**base, input_type=input_type, multiline=schema.get("x-widget") == "textarea", secret=secret)


def _object(schema: Mapping[str, Any], base: dict[str, Any], pointer: str, depth: int, budget: list[int]) -> Node:
    wanted = set(schema.get("required", ()))
    members = tuple(
        (
            name,
            _compile(
                member, title=_from_name(name), required=name in wanted, pointer=f"{pointer}/properties/{name}", depth=depth + 1,
                budget=budget,
            ),
        )
        for name, member in schema["properties"].items()
    )  # fmt: skip
    return ObjectNode(**base, members=members)


def _from_name(name: str) -> str:
    """`batch_size` and `batchSize` → "Batch size"."""
    spaced = "".join(f" {ch.lower()}" if ch.isupper() and i and name[i - 1].islower() else ch for i, ch in enumerate(name))
    words = spaced.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def _singular(title: str) -> str:
    return title[:-1] if title.endswith("s") and not title.endswith("ss") else title

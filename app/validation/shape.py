"""Checks the shape of schemas against draft 2020-12: a fast table of its keywords, and the metaschema for the words of an error.

The metaschema takes 0.4 ms for one subschema, the table some microseconds. What the table refuses is judged by the metaschema, so that
the table can refuse too much but must not accept too much; a test compares both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from app.validation.pointer import escape

Check = Callable[[Any], bool]
_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_metaschema: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and _ANCHOR.fullmatch(value) is not None


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    return value in _TYPES if isinstance(value, str) else bool(value) and _are_names(value) and _TYPES.issuperset(value)


def _are_dependencies(value: Any) -> bool:
    return isinstance(value, dict) and all(_are_names(names) for names in value.values())


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(schema, dict | bool) for schema in value)


def _are_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(schema, dict | bool) for schema in value.values())


_ONE = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_CHECKS: dict[str, Check] = {
    **dict.fromkeys(_ONE, _is_schema),
    **dict.fromkeys(_MANY, _are_schemas),
    **dict.fromkeys(_NAMED, _are_named_schemas),
    **dict.fromkeys(("$ref", "$dynamicRef", "$schema", "$comment", "title", "description", "format", "pattern"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"), _is_number),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), _is_count),
    **dict.fromkeys(("maxContains", "minContains"), _is_count),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _is_flag),
    **dict.fromkeys(("enum", "examples"), _is_list),
    **dict.fromkeys(("$anchor", "$dynamicAnchor"), _is_anchor),
    "$id": lambda value: isinstance(value, str) and "#" not in value,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "type": _is_type,
    "required": _are_names,
    "dependentRequired": _are_dependencies,
    # Keywords of the metaschema that are rare, or deprecated: the metaschema judges them.
    **dict.fromkeys(("$vocabulary", "dependencies", "$recursiveAnchor", "$recursiveRef"), lambda value: False),
}


def shape_error(root: Any) -> tuple[str, str] | None:
    """Returns the pointer and the words of the first place that breaks draft 2020-12; None if the whole schema follows it."""
    waiting: list[tuple[Any, str]] = [(root, "")]
    while waiting:
        schema, pointer = waiting.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict) or not all(word not in _CHECKS or _CHECKS[word](value) for word, value in schema.items()):
            error = next(iter(_metaschema.iter_errors(_without_inner(schema))), None)
            if error is not None:
                return pointer + "".join(f"/{escape(part)}" for part in error.absolute_path), str(error.message)
        if isinstance(schema, dict):
            waiting += [(inner, f"{pointer}/{path}") for path, inner in _inner(schema)]
    return None


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields (path, subschema) for what the metaschema reads as a schema directly inside `schema`."""
    for word, value in schema.items():
        if word in _ONE:
            yield word, value
        elif word in _MANY and isinstance(value, list):
            yield from ((f"{word}/{index}", inner) for index, inner in enumerate(value))
        elif word in _NAMED and isinstance(value, dict):
            yield from ((f"{word}/{escape(name)}", inner) for name, inner in value.items())


def _without_inner(schema: Any) -> Any:
    """Returns a schema whose inner schemas are `true`, so that only its own keywords are judged."""
    if not isinstance(schema, dict):
        return schema
    shallow = dict(schema)
    for word, value in schema.items():
        if word in _ONE and isinstance(value, dict):
            shallow[word] = True
        elif word in _MANY and isinstance(value, list):
            shallow[word] = [True if isinstance(inner, dict) else inner for inner in value]
        elif word in _NAMED and isinstance(value, dict):
            shallow[word] = {name: True if isinstance(inner, dict) else inner for name, inner in value.items()}
    return shallow

"""Draft 2020-12 as jsonschema judges it, with the keywords that it judges loosely, in the wrong place or without a bound made right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from app.validation.patterns import PatternTooSlow, matches, search

Errors = Iterator[ValidationError]


def _multiple_of(_v: Any, factor: Any, value: Any, _schema: Any) -> Errors:
    """Exact: 4.02 is a multiple of 0.01, which binary floating point denies."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if isinstance(value, int) and isinstance(factor, int):
        wrong = value % factor != 0
    else:
        wrong = not math.isfinite(value) or not _is_whole_ratio(Decimal(str(value)), Decimal(str(factor)))
    if wrong:
        yield ValidationError("not a multiple")


def _is_whole_ratio(value: Decimal, factor: Decimal) -> bool:
    """True where value / factor is whole: both as whole numbers of the smaller one's last decimal place."""
    places = min(int(value.as_tuple().exponent), int(factor.as_tuple().exponent))
    return _scaled(value, places) % _scaled(factor, places) == 0


def _scaled(number: Decimal, places: int) -> int:
    _, digits, exponent = number.as_tuple()
    scale: int = 10 ** (int(exponent) - places)
    return int("".join(map(str, digits))) * scale


def _pattern(_v: Any, pattern: str, value: Any, _schema: Any) -> Errors:
    if isinstance(value, str):
        try:
            if not search(pattern, value):
                yield ValidationError("does not match")
        except PatternTooSlow:
            yield ValidationError("too slow", validator="patternTooSlow")


def _pattern_properties(validator: Any, named: Mapping[str, Any], value: Any, _schema: Any) -> Errors:
    if validator.is_type(value, "object"):
        for pattern, inner in named.items():
            for key, member in value.items():
                if matches(pattern, key):
                    yield from validator.descend(member, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, value: Any, schema: Any) -> Errors:
    if not validator.is_type(value, "object"):
        return
    extras = [key for key in value if key not in schema.get("properties", {}) and not _named(schema, key)]
    if inner is False:
        for key in extras:
            yield _at(key, "additionalProperties")
    else:
        for key in extras:
            yield from validator.descend(value[key], inner, path=key)


def _named(schema: Mapping[str, Any], key: str) -> bool:
    return any(matches(pattern, key) for pattern in schema.get("patternProperties", ()))


def _property_names(validator: Any, inner: Any, value: Any, _schema: Any) -> Errors:
    """Each name's error stands at the member that bears it."""
    if validator.is_type(value, "object"):
        for key in value:
            if inner is False:
                yield _at(key, "propertyNames")
            else:
                for error in validator.descend(key, inner):
                    found = ValidationError(error.message, context=[error], validator="propertyNames")
                    found.path.append(key)
                    yield found


def _items(validator: Any, inner: Any, value: Any, schema: Any) -> Errors:
    if not validator.is_type(value, "array"):
        return
    first = len(schema.get("prefixItems", ()))
    for index in range(first, len(value)):
        if inner is False:
            yield _at(index, "items")
        else:
            yield from validator.descend(value[index], inner, path=index)


def _unevaluated_properties(validator: Any, inner: Any, value: Any, schema: Any) -> Errors:
    if validator.is_type(value, "object"):
        done = evaluated(validator, value, schema)
        for key in value:
            if key not in done:
                if inner is False:
                    yield _at(key, "unevaluatedProperties")
                else:
                    yield from validator.descend(value[key], inner, path=key)


def _unevaluated_items(validator: Any, inner: Any, value: Any, schema: Any) -> Errors:
    if validator.is_type(value, "array"):
        done = evaluated(validator, value, schema)
        for index, item in enumerate(value):
            if index not in done:
                if inner is False:
                    yield _at(index, "unevaluatedItems")
                else:
                    yield from validator.descend(item, inner, path=index)


def _at(part: str | int, keyword: str) -> ValidationError:
    error = ValidationError("not allowed", validator=keyword)
    error.path.append(part)
    return error


def evaluated(validator: Any, value: Any, schema: Any) -> set[Any]:
    """The keys or indexes of `value` that `schema` judges, by itself or by what it applies in place (core, 11).

    Its own `unevaluated…` is what asks, and so is left aside; one further in counts.
    """
    if not isinstance(schema, Mapping):
        return set()
    found: set[Any] = set()
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in schema:
            # jsonschema has no public way from inside a keyword to what a reference means.
            resolved = validator._resolver.lookup(schema[keyword])
            found |= _all_evaluated(validator.evolve(schema=resolved.contents, _resolver=resolved.resolver), value, resolved.contents)
    if validator.is_type(value, "object"):
        found |= _evaluated_keys(value, schema)
    elif validator.is_type(value, "array"):
        found |= _evaluated_indexes(validator, value, schema)
    for inner in _applied_in_place(validator, value, schema):
        found |= _all_evaluated(validator.evolve(schema=inner), value, inner)
    return found


def _all_evaluated(validator: Any, value: Any, schema: Any) -> set[Any]:
    if isinstance(schema, Mapping):
        if "unevaluatedProperties" in schema and validator.is_type(value, "object"):
            return set(value)
        if "unevaluatedItems" in schema and validator.is_type(value, "array"):
            return set(range(len(value)))
    return evaluated(validator, value, schema)


def _evaluated_keys(value: Mapping[str, Any], schema: Mapping[str, Any]) -> set[Any]:
    if "additionalProperties" in schema:
        return set(value)
    return {key for key in value if key in schema.get("properties", {}) or _named(schema, key)}


def _evaluated_indexes(validator: Any, value: Any, schema: Mapping[str, Any]) -> set[Any]:
    if "items" in schema:
        return set(range(len(value)))
    found = set(range(min(len(value), len(schema.get("prefixItems", ())))))
    if "contains" in schema:
        judge = validator.evolve(schema=schema["contains"])
        found |= {index for index, item in enumerate(value) if judge.is_valid(item)}
    return found


def _applied_in_place(validator: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    for keyword in ("allOf", "anyOf", "oneOf"):
        for inner in schema.get(keyword, ()):
            if validator.evolve(schema=inner).is_valid(value):
                yield inner
    if "if" in schema:
        if validator.evolve(schema=schema["if"]).is_valid(value):
            yield schema["if"]
            yield schema.get("then", True)
        else:
            yield schema.get("else", True)
    for key, inner in schema.get("dependentSchemas", {}).items():
        if validator.is_type(value, "object") and key in value:
            yield inner


Judge: Any = extend(
    Draft202012Validator,
    {
        "multipleOf": _multiple_of, "pattern": _pattern, "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties, "propertyNames": _property_names, "items": _items,
        "unevaluatedProperties": _unevaluated_properties, "unevaluatedItems": _unevaluated_items,
    },
)  # type: ignore[no-untyped-call]  # fmt: skip

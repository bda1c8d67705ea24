"""The validator class for draft 2020-12. It extends the one of the library jsonschema and replaces the keywords which that library checks
too loosely, reports at the wrong place, or runs without a limit of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from app.validation.patterns import PatternTooSlow, matches, search
from app.validation.unions import Branch, meant

Errors = Iterator[ValidationError]
MOST_COUNTED = 50  # errors that are counted to find the nearest branch
MOST_OF_BRANCH = 200  # errors of one branch that are reported


@dataclass
class _Memory:
    """Results of one validation: whether a value fits a schema, by the `id` of both. `only_whether` is true while the caller needs to know
    only whether a value fits, and no errors."""

    results: dict[tuple[int, int], bool] = field(default_factory=dict)
    only_whether: bool = False


_memory: ContextVar[_Memory | None] = ContextVar("validation_memory", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Inside this context, each pair of schema and value is validated once, even if several paths lead to the schema. This way, recursive
    unions take linear time.

    The values must stay alive and unchanged inside. Must not be used for schemas in which a `$dynamicRef` can mean several schemas.
    """
    token = _memory.set(_Memory())
    try:
        yield
    finally:
        _memory.reset(token)


def fits(validator: Any, schema: Any, value: Any) -> bool:
    """Returns whether `value` is valid by `schema`, which is at the place of `validator`."""
    if isinstance(schema, bool):
        return schema
    memory = _memory.get()
    if memory is None:
        return bool(validator.evolve(schema=schema).is_valid(value))
    key = (id(schema), id(value))
    result = memory.results.get(key)
    if result is None:
        before, memory.only_whether = memory.only_whether, True
        try:
            result = bool(validator.evolve(schema=schema).is_valid(value))
        finally:
            memory.only_whether = before
        memory.results[key] = result
    return result


def _reference(validator: Any, reference: str, value: Any, _schema: Any) -> Errors:
    """Validates by the schema that a reference means, and each value once. jsonschema has no public way to resolve a reference inside a
    keyword, so this uses its private resolver."""
    resolved = validator._resolver.lookup(reference)
    memory = _memory.get()
    if memory is None or isinstance(resolved.contents, bool):
        yield from validator.descend(value, resolved.contents, resolver=resolved.resolver)
        return
    key = (id(resolved.contents), id(value))
    result = memory.results.get(key)
    if result is True:
        return
    if result is False and memory.only_whether:
        yield ValidationError("known to be wrong")
        return
    wrong = False
    for error in validator.descend(value, resolved.contents, resolver=resolved.resolver):
        wrong = True
        memory.results[key] = False
        yield error
    memory.results[key] = not wrong


# -- unions and conditions ---------------------------------------------------------------------------------------------


class UnionFailed(ValidationError):
    """A value that fits no branch of a oneOf or anyOf. The errors by one branch are computed when they are asked for."""

    def __init__(self, validator: Any, branches: Sequence[Any], value: Any) -> None:
        super().__init__("fits no branch")
        self.of, self.branches, self.value = validator, branches, value

    def known_branches(self) -> list[Branch]:
        """Returns the branches as records of `app.validation.unions`."""
        return [Branch.of(place, schema, self.of._resolver) for place, schema in enumerate(self.branches)]

    def meant(self) -> int:
        """Returns the index of the branch that the value is meant for."""
        return meant(self.known_branches(), self.value, lambda branch: count_errors(self.of, self.branches[branch.place], self.value))

    def errors_of(self, place: int) -> list[ValidationError]:
        """Returns the errors of the value by one branch, at most MOST_OF_BRANCH."""
        errors = list(islice(self.of.descend(self.value, self.branches[place], schema_path=place), MOST_OF_BRANCH))
        for error in errors:
            error.parent = self
        return errors


def count_errors(validator: Any, schema: Any, value: Any) -> int:
    """Returns the number of errors of a value by a schema, at most MOST_COUNTED."""
    return sum(1 for _ in islice(validator.descend(value, schema), MOST_COUNTED))


def _any_of(validator: Any, branches: Sequence[Any], value: Any, _schema: Any) -> Errors:
    if not any(fits(validator, branch, value) for branch in branches):
        yield UnionFailed(validator, branches, value)


def _one_of(validator: Any, branches: Sequence[Any], value: Any, _schema: Any) -> Errors:
    fitting = list(islice((place for place, branch in enumerate(branches) if fits(validator, branch, value)), 2))
    if not fitting:
        yield UnionFailed(validator, branches, value)
    elif len(fitting) > 1:
        yield ValidationError("fits several branches")


def _not(validator: Any, schema: Any, value: Any, _schema: Any) -> Errors:
    if fits(validator, schema, value):
        yield ValidationError("must not be valid")


def _if(validator: Any, condition: Any, value: Any, schema: Any) -> Errors:
    word = "then" if fits(validator, condition, value) else "else"
    if word in schema:
        yield from validator.descend(value, schema[word], schema_path=word)


# -- keywords ----------------------------------------------------------------------------------------------------------


def _multiple_of(_v: Any, factor: Any, value: Any, _schema: Any) -> Errors:
    """Computes exactly: 4.02 is a multiple of 0.01, although binary floating point denies it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if isinstance(value, int) and isinstance(factor, int):
        wrong = value % factor != 0
    else:
        wrong = not math.isfinite(value) or not _is_whole_ratio(Decimal(str(value)), Decimal(str(factor)))
    if wrong:
        yield ValidationError("not a multiple")


def _is_whole_ratio(value: Decimal, factor: Decimal) -> bool:
    """Returns whether value / factor is whole. Both are scaled to whole numbers by the last decimal place of the more precise one."""
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
    """Reports the error of each name at the member that has the name."""
    if validator.is_type(value, "object"):
        for key in value:
            if inner is False:
                yield _at(key, "propertyNames")
            else:
                for error in validator.descend(key, inner):
                    outer = ValidationError(error.message, context=[error], validator="propertyNames")
                    outer.path.append(key)
                    yield outer


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
    """Returns the keys or indexes of `value` that `schema` evaluates, by itself or by schemas that it applies in place (core, 11).

    The schema's own `unevaluated…` keyword asks this question, so it does not count; one in a schema that is applied in place does. If
    the value is invalid by a schema that it must fit, the keys and indexes of that schema count all the same: the value is refused for
    the error itself, and not also for what follows from it.
    """
    if not isinstance(schema, Mapping):
        return set()
    done: set[Any] = set()
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in schema:
            # jsonschema has no public way to resolve a reference inside a keyword.
            resolved = validator._resolver.lookup(schema[keyword])
            done |= _all_evaluated(validator.evolve(schema=resolved.contents, _resolver=resolved.resolver), value, resolved.contents)
    if validator.is_type(value, "object"):
        done |= _evaluated_keys(value, schema)
    elif validator.is_type(value, "array"):
        done |= _evaluated_indexes(validator, value, schema)
    for inner in _applied_in_place(validator, value, schema):
        done |= _all_evaluated(validator.evolve(schema=inner), value, inner)
    return done


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
    done = set(range(min(len(value), len(schema.get("prefixItems", ())))))
    if "contains" in schema:
        matching = {index for index, item in enumerate(value) if fits(validator, schema["contains"], item)}
        done |= matching or set(range(len(value)))
    return done


def _applied_in_place(validator: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from schema.get("allOf", ())
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            fitting = [inner for inner in schema[keyword] if fits(validator, inner, value)]
            yield from fitting or [schema[keyword][UnionFailed(validator, schema[keyword], value).meant()]]
    if "if" in schema:
        if fits(validator, schema["if"], value):
            yield schema["if"]
            yield schema.get("then", True)
        else:
            yield schema.get("else", True)
    for key, inner in schema.get("dependentSchemas", {}).items():
        if validator.is_type(value, "object") and key in value:
            yield inner


Draft2020Validator: Any = extend(
    Draft202012Validator,
    {
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "propertyNames": _property_names,
        "items": _items,
        "unevaluatedProperties": _unevaluated_properties,
        "unevaluatedItems": _unevaluated_items,
        "$ref": _reference,
        "$dynamicRef": _reference,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "not": _not,
        "if": _if,
    },
)  # type: ignore[no-untyped-call]

"""Draft 2020-12 as jsonschema judges it, with the keywords that it judges loosely, in the wrong place or without a bound made right."""

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
MOST_COUNTED = 50  # errors looked at to tell how far a branch is
MOST_OF_BRANCH = 200  # errors of one branch that are told


@dataclass
class _Judgement:
    """What is known of the schemas and values of one judgement, by their `id`; `asking` while only whether a value fits is asked."""

    verdicts: dict[tuple[int, int], bool] = field(default_factory=dict)
    asking: bool = False


_judgement: ContextVar[_Judgement | None] = ContextVar("judgement", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """A schema that is reached by several ways judges each value once inside: a recursion of unions is judged in linear time.

    The values must stay alive and unchanged meanwhile. Not for schemas whose `$dynamicRef` may mean several things.
    """
    token = _judgement.set(_Judgement())
    try:
        yield
    finally:
        _judgement.reset(token)


def fits(validator: Any, schema: Any, value: Any) -> bool:
    """True where `value` is valid by `schema`, which stands where `validator` does."""
    if isinstance(schema, bool):
        return schema
    known = _judgement.get()
    if known is None:
        return bool(validator.evolve(schema=schema).is_valid(value))
    key = (id(schema), id(value))
    verdict = known.verdicts.get(key)
    if verdict is None:
        before, known.asking = known.asking, True
        try:
            verdict = bool(validator.evolve(schema=schema).is_valid(value))
        finally:
            known.asking = before
        known.verdicts[key] = verdict
    return verdict


def _reference(validator: Any, reference: str, value: Any, _schema: Any) -> Errors:
    """What a reference means, each value judged once. jsonschema has no public way from inside a keyword to it."""
    resolved = validator._resolver.lookup(reference)
    known = _judgement.get()
    if known is None or isinstance(resolved.contents, bool):
        yield from validator.descend(value, resolved.contents, resolver=resolved.resolver)
        return
    key = (id(resolved.contents), id(value))
    verdict = known.verdicts.get(key)
    if verdict is True:
        return
    if verdict is False and known.asking:
        yield ValidationError("known to be wrong")
        return
    wrong = False
    for error in validator.descend(value, resolved.contents, resolver=resolved.resolver):
        wrong = True
        known.verdicts[key] = False
        yield error
    known.verdicts[key] = not wrong


# -- unions and conditions ---------------------------------------------------------------------------------------------


class UnionFailed(ValidationError):
    """A value that fits no branch of a oneOf or anyOf. What is wrong with it by one of them is judged when it is asked for."""

    def __init__(self, judge: Any, branches: Sequence[Any], value: Any) -> None:
        super().__init__("fits no branch")
        self.judge, self.branches, self.value = judge, branches, value

    def known_branches(self) -> list[Branch]:
        """The branches as `unions` looks at them."""
        return [Branch.of(place, schema, self.judge._resolver) for place, schema in enumerate(self.branches)]

    def meant(self) -> int:
        """The branch that the value is meant for."""
        found = self.known_branches()
        return meant(found, self.value, lambda branch: count_errors(self.judge, self.branches[branch.place], self.value))

    def errors_of(self, place: int) -> list[ValidationError]:
        """What is wrong with the value by one branch."""
        found = list(islice(self.judge.descend(self.value, self.branches[place], schema_path=place), MOST_OF_BRANCH))
        for error in found:
            error.parent = self
        return found


def count_errors(judge: Any, schema: Any, value: Any) -> int:
    """How much is wrong with a value by a schema, up to MOST_COUNTED."""
    return sum(1 for _ in islice(judge.descend(value, schema), MOST_COUNTED))


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

    Its own `unevaluated…` is what asks, and so is left aside; one further in counts. Where the value breaks a schema that it has to
    keep, that schema's word on keys and indexes counts all the same: the value is refused for what is wrong, and not besides for
    what follows from it.
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
        matching = {index for index, item in enumerate(value) if fits(validator, schema["contains"], item)}
        found |= matching or set(range(len(value)))
    return found


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


Judge: Any = extend(
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

"""Which branch of a oneOf or anyOf a value is meant for, where it fits none wholly. All functions are pure.

A branch is looked at by what stands at the place of the union: its own keywords, and those that it has by `$ref` and `allOf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from app.validation.patterns import matches

Schema = Mapping[str, Any]
Head = tuple[Any, Any]  # (schema or boolean, referencing's resolver at its place)
DEEPEST = 50  # references and allOf inside each other
_types = Draft202012Validator.TYPE_CHECKER


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a union: its `place` in the list, and the schemas that it puts at the place of the union."""

    place: int
    layers: tuple[Head, ...]

    @classmethod
    def of(cls, place: int, schema: Any, resolver: Any) -> Branch:
        """The branch that `schema` is."""
        return cls(place, tuple(_in_place(schema, resolver, set(), 0)))

    @property
    def kinds(self) -> list[str]:
        """The JSON types that it allows, in its own order; empty where it allows any."""
        found: list[str] | None = None
        for schema, _ in self.layers:
            declared = schema.get("type")
            if declared is not None:
                kinds = [declared] if isinstance(declared, str) else list(declared)
                found = kinds if found is None else [one for one in found if one in kinds or (one == "integer" and "number" in kinds)]
        return found or []

    def admits(self, value: Any) -> bool:
        """True where the type of a value is right."""
        return all("type" not in schema or _is(value, schema["type"]) for schema, _ in self.layers)

    def member(self, name: str) -> list[Head]:
        """What is said of a member by name."""
        return [(schema["properties"][name], resolver) for schema, resolver in self.layers if name in schema.get("properties", {})]

    @property
    def required(self) -> frozenset[str]:
        """The members that must be there."""
        return frozenset(name for schema, _ in self.layers for name in schema.get("required", ()))

    def tags(self) -> dict[str, list[Any]]:
        """The members that may have a few given values only, with these."""
        names = dict.fromkeys(name for schema, _ in self.layers for name in schema.get("properties", {}))
        return {name: given for name in names if (given := _given(self.member(name))) is not None}

    def names(self, key: str) -> bool:
        """True where a member is spoken of."""
        return any(
            key in schema.get("properties", {})
            or key in schema.get("required", ())
            or any(matches(pattern, key) for pattern in schema.get("patternProperties", ()))
            or isinstance(schema.get("additionalProperties"), Mapping)
            for schema, _ in self.layers
        )


def meant(branches: Sequence[Branch], value: Any, count_errors: Callable[[Branch], int]) -> int:
    """The place of the branch that `value` is meant for.

    It is the one that comes first by these, in this order: the type of the value is right; fewer members contradict a constant; more
    agree with one; fewer members are missing or unknown; fewer are missing; fewer are of another type; fewer errors; its place.
    An empty object says nothing of what is meant: the first branch that may be an object.
    """
    ranked: list[tuple[int, ...]]
    if not isinstance(value, Mapping):
        ranked = [(not one.admits(value), _wrong_constant(one, value), index) for index, one in enumerate(branches)]
    elif not value:
        return next((one.place for one in branches if one.admits(value)), branches[0].place)
    else:
        ranked = [(not one.admits(value), *_of_object(one, value), index) for index, one in enumerate(branches)]
    best = min(ranked)
    tied = [branches[rank[-1]] for rank in ranked if rank[:-1] == best[:-1]]
    return tied[0].place if len(tied) == 1 else min(tied, key=count_errors).place


def contradicted_tag(branches: Sequence[Branch], value: Any) -> tuple[str, list[Any]] | None:
    """A member of `value` that none of the branches takes, though each gives the values that it may have: its name and all of these."""
    if not isinstance(value, Mapping):
        return None
    tags = [one.tags() for one in branches if one.admits(value)]
    if len(tags) < 2:
        return None
    for name in tags[0]:
        if name in value and all(name in one for one in tags):
            given = [each for one in tags for each in one[name]]
            if not any(_same(value[name], each) for each in given):
                return name, given
    return None


def wrong_types(branches: Sequence[Branch], value: Any) -> list[str]:
    """The types that the branches want, where the value has none of them; else empty."""
    if any(one.admits(value) for one in branches):
        return []
    return list(dict.fromkeys(kind for one in branches for kind in one.kinds))


def _of_object(branch: Branch, value: Mapping[str, Any]) -> tuple[int, int, int, int, int]:
    tags = {name: given for name, given in branch.tags().items() if name in value}
    right = sum(any(_same(value[name], each) for each in given) for name, given in tags.items())
    missing = sum(name not in value for name in branch.required)
    unknown = sum(not branch.names(key) for key in value)
    wrong = sum(
        isinstance(schema, Mapping) and "type" in schema and not _is(inner, schema["type"])
        for key, inner in value.items()
        for head, resolver in branch.member(key)
        for schema, _ in _in_place(head, resolver, set(), 0)
    )
    return len(tags) - right, -right, missing + unknown, missing, wrong


def _wrong_constant(branch: Branch, value: Any) -> bool:
    given = _given(list(branch.layers))
    return given is not None and not any(_same(value, each) for each in given)


def _given(heads: Sequence[Head]) -> list[Any] | None:
    """The values that a const or an enum among some schemas leaves; None where there is none."""
    for head, resolver in heads:
        for schema, _ in _in_place(head, resolver, set(), 0):
            if "const" in schema:
                return [schema["const"]]
            if "enum" in schema:
                return list(schema["enum"])
    return None


def _in_place(schema: Any, resolver: Any, seen: set[int], depth: int) -> Iterator[Head]:
    if not isinstance(schema, Mapping) or id(schema) in seen or depth > DEEPEST:
        return
    seen.add(id(schema))
    yield schema, resolver
    for word in ("$ref", "$dynamicRef"):
        if word in schema:
            found = resolver.lookup(schema[word])
            yield from _in_place(found.contents, found.resolver, seen, depth + 1)
    for inner in schema.get("allOf", ()):
        yield from _in_place(inner, resolver, seen, depth + 1)


def _is(value: Any, kinds: str | Sequence[str]) -> bool:
    return any(_types.is_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)

"""Finds the branch of a oneOf or anyOf that a value is meant for, if it fits none of them completely. All functions are pure.

A branch is compared by the keywords that apply at the place of the union: its own, and those that come by `$ref` and `allOf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from app.validation.patterns import matches

Schema = Mapping[str, Any]
Head = tuple[Any, Any]  # (schema or boolean, resolver of the library `referencing` at its place)
DEEPEST = 50  # levels of references and allOf inside each other
_types = Draft202012Validator.TYPE_CHECKER


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a union: its index in the list (`place`), and the schemas that it applies at the place of the union."""

    place: int
    layers: tuple[Head, ...]

    @classmethod
    def of(cls, place: int, schema: Any, resolver: Any) -> Branch:
        """Returns the branch with this schema."""
        return cls(place, tuple(_in_place(schema, resolver, set(), 0)))

    @property
    def kinds(self) -> list[str]:
        """The JSON types that it allows, in the order of the schema; empty if it allows all."""
        allowed: list[str] | None = None
        for schema, _ in self.layers:
            declared = schema.get("type")
            if declared is not None:
                kinds = [declared] if isinstance(declared, str) else list(declared)
                both = (
                    kinds if allowed is None else [kind for kind in allowed if kind in kinds or (kind == "integer" and "number" in kinds)]
                )
                allowed = both
        return allowed or []

    def admits(self, value: Any) -> bool:
        """Returns whether a value has a type that the branch allows."""
        return all("type" not in schema or _is(value, schema["type"]) for schema, _ in self.layers)

    def member(self, name: str) -> list[Head]:
        """Returns the schemas of a member."""
        return [(schema["properties"][name], resolver) for schema, resolver in self.layers if name in schema.get("properties", {})]

    @property
    def required(self) -> frozenset[str]:
        """The members that are required."""
        return frozenset(name for schema, _ in self.layers for name in schema.get("required", ()))

    def tags(self) -> dict[str, list[Any]]:
        """Returns the members that allow only certain values (const or enum), with these values."""
        names = dict.fromkeys(name for schema, _ in self.layers for name in schema.get("properties", {}))
        return {name: values for name in names if (values := _allowed_values(self.member(name))) is not None}

    def names(self, key: str) -> bool:
        """Returns whether the branch has a schema or a rule for a member."""
        return any(
            key in schema.get("properties", {})
            or key in schema.get("required", ())
            or any(matches(pattern, key) for pattern in schema.get("patternProperties", ()))
            or isinstance(schema.get("additionalProperties"), Mapping)
            for schema, _ in self.layers
        )


def meant(branches: Sequence[Branch], value: Any, count_errors: Callable[[Branch], int]) -> int:
    """Returns the index (`place`) of the branch that `value` is meant for.

    The branches are ranked by these rules, in this order: the type of the value is right; fewer members contradict a constant; more
    members agree with a constant; fewer members are missing or unknown; fewer are missing; fewer have a wrong type; fewer errors; the
    lower index. An empty object gives no hint: the first branch that allows an object is taken.
    """
    ranked: list[tuple[int, ...]]
    if not isinstance(value, Mapping):
        ranked = [(not branch.admits(value), _wrong_constant(branch, value), index) for index, branch in enumerate(branches)]
    elif not value:
        return next((branch.place for branch in branches if branch.admits(value)), branches[0].place)
    else:
        ranked = [(not branch.admits(value), *_rank_for_object(branch, value), index) for index, branch in enumerate(branches)]
    best = min(ranked)
    tied = [branches[rank[-1]] for rank in ranked if rank[:-1] == best[:-1]]
    return tied[0].place if len(tied) == 1 else min(tied, key=count_errors).place


def contradicted_tag(branches: Sequence[Branch], value: Any) -> tuple[str, list[Any]] | None:
    """Finds a member for which each branch lists its allowed values, and whose value is in none of these lists. Returns its name and all
    allowed values, or None."""
    if not isinstance(value, Mapping):
        return None
    tags = [branch.tags() for branch in branches if branch.admits(value)]
    if len(tags) < 2:
        return None
    for name in tags[0]:
        if name in value and all(name in of_branch for of_branch in tags):
            allowed = [constant for of_branch in tags for constant in of_branch[name]]
            if not any(_same(value[name], constant) for constant in allowed):
                return name, allowed
    return None


def wrong_types(branches: Sequence[Branch], value: Any) -> list[str]:
    """Returns the types that the branches allow if the value has none of them; else an empty list."""
    if any(branch.admits(value) for branch in branches):
        return []
    return list(dict.fromkeys(kind for branch in branches for kind in branch.kinds))


def _rank_for_object(branch: Branch, value: Mapping[str, Any]) -> tuple[int, int, int, int, int]:
    tags = {name: allowed for name, allowed in branch.tags().items() if name in value}
    right = sum(any(_same(value[name], constant) for constant in allowed) for name, allowed in tags.items())
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
    allowed = _allowed_values(list(branch.layers))
    return allowed is not None and not any(_same(value, constant) for constant in allowed)


def _allowed_values(heads: Sequence[Head]) -> list[Any] | None:
    """Returns the values that the first const or enum among some schemas allows; None if there is neither."""
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
            resolved = resolver.lookup(schema[word])
            yield from _in_place(resolved.contents, resolved.resolver, seen, depth + 1)
    for inner in schema.get("allOf", ()):
        yield from _in_place(inner, resolver, seen, depth + 1)


def _is(value: Any, kinds: str | Sequence[str]) -> bool:
    return any(_types.is_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)

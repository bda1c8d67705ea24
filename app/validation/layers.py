"""Collects all schemas that apply at one place of a value.

A place has heads: the schemas that its parents give it. Each head adds the schemas that it refers to, those of its `allOf`, the chosen
branch of its unions, and the branches of its conditions that hold for the value. All of them together are the layers of the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from referencing.jsonschema import DRAFT202012

from app.validation.absent import ABSENT
from app.validation.patterns import matches
from app.validation.unions import Head, Schema
from app.validation.validator import SchemaValidator

Heads = tuple[Head, ...]

TYPES = ("string", "integer", "number", "boolean", "object", "array")
UNTYPED = ("string", "number", "boolean", "object", "array")
MOST_KEPT = 5000  # cached views of a schema, and cached children of a view: a map may have any number of names
# Keywords that imply the type of a value if there is no `type` (JSON Schema validation, 6; core, 10.3).
_IMPLYING_KEYWORDS = {
    "object": {
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "required",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
    },
    "array": {"items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"},
    "string": {"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
# A union whose branches have only these keywords changes no control and adds no default; only the validator checks it.
_NOTHING_TO_DRAW = frozenset(
    {
        "required",
        "not",
        "title",
        "description",
        "$comment",
        "minProperties",
        "maxProperties",
        "minItems",
        "maxItems",
    }
)
_WORDING = frozenset({"const", "title", "description", "$comment", "deprecated"})


def lists_constants(branches: Any) -> bool:
    """Returns whether a oneOf has only constants, so that it is a list of values to choose from."""
    return bool(branches) and all(isinstance(branch, Mapping) and "const" in branch and not set(branch) - _WORDING for branch in branches)


class Origin(IntEnum):
    """Why a schema applies at a place."""

    OWN = 0  # the parent gave it to this place: its title and description are those of the place
    PART = 1  # by a reference, by `allOf`, or as the only branch of a union: it always applies here
    CASE = 2  # by a chosen branch or a condition: it applies for this value


def forbidden(heads: Heads) -> bool:
    """Returns whether one of the heads allows no value at all."""
    return any(schema is False or schema == {"not": {}} for schema, _ in heads)


def left_out(schema: Mapping[str, Any]) -> frozenset[str]:
    """Returns the members that a schema forbids by `not`: `{"not": {"required": ["a"]}}`, or several by `{"not": {"anyOf": [...]}}`."""
    inner = schema.get("not")
    if not isinstance(inner, Mapping):
        return frozenset()
    cases = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    lists = [case["required"] for case in cases if isinstance(case, Mapping) and set(case) == {"required"}]
    return frozenset(names[0] for names in lists if len(names) == 1)


@dataclass(frozen=True, slots=True)
class Union:
    """A oneOf or anyOf. `key` names it, `places` are the indexes of its usable branches in the list of the schema, and `chosen` is one of
    these."""

    key: str
    branches: Sequence[Any]
    resolver: Any
    places: tuple[int, ...]
    chosen: int

    @property
    def drawn(self) -> bool:
        """Whether a person can choose: there are at least two branches that are not only null."""
        return len(self.places) > 1


@dataclass
class Layers:
    """All layers of one place. `static` is true if no value of the place can change them."""

    layers: list[Head] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)  # one for each layer
    unions: list[Union] = field(default_factory=list)
    nullable_by_union: bool = False
    impossible: bool = False
    static: bool = True
    _children: dict[str, Heads] = field(default_factory=dict)

    def first(self, keyword: str, default: Any = None) -> Any:
        """Returns the value of an annotation in the nearest layer that has it."""
        return next((layer[keyword] for layer, _ in self.layers if keyword in layer), default)

    def words(self, keyword: str, furthest: Origin) -> str:
        """Returns the title or description of the place: that of the nearest layer whose origin is `furthest` or nearer. Empty if there is
        none."""
        pairs = zip(self.layers, self.origins, strict=True)
        texts = [(origin, layer[keyword]) for (layer, _), origin in pairs if str(layer.get(keyword, "")).strip()]
        return next((str(text) for wanted in Origin if wanted <= furthest for origin, text in texts if origin == wanted), "")

    # -- types ----------------------------------------------------------------------------------------------------

    @cached_property
    def json_types(self) -> set[str] | None:
        """The types that all layers allow; None if no layer has `type`."""
        allowed: set[str] | None = None
        for layer, _ in self.layers:
            declared = layer.get("type")
            if declared is not None:
                kinds = {declared} if isinstance(declared, str) else set(declared)
                kinds |= {"integer"} if "number" in kinds else set()
                allowed = kinds if allowed is None else allowed & kinds
        return allowed

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types that a form can show, in the order of the schema; empty if only null, or no value, is allowed."""
        allowed = self.json_types
        if allowed is None:
            implied = [
                kind for kind, keywords in _IMPLYING_KEYWORDS.items() if any(not keywords.isdisjoint(layer) for layer, _ in self.layers)
            ]
            return tuple(implied) or UNTYPED
        drawn = allowed - {"null"} - ({"integer"} if "number" in allowed else set())
        declared = self.first("type", ())
        order = [declared] if isinstance(declared, str) else list(declared)
        return tuple(sorted(drawn, key=lambda kind: order.index(kind) if kind in order else TYPES.index(kind) + len(order)))

    def allows(self, kind: str) -> bool:
        """Returns whether a value of this type is allowed here."""
        return kind in self.types or (kind == "integer" and "number" in self.types)

    # -- bounds ---------------------------------------------------------------------------------------------------

    @cached_property
    def required(self) -> frozenset[str]:
        """The members that are required."""
        return frozenset(name for layer, _ in self.layers for name in layer.get("required", ()))

    def most(self, keyword: str) -> Any:
        """Returns the strictest value of a lower bound such as `minimum`; None if there is none."""
        return max((layer[keyword] for layer, _ in self.layers if keyword in layer), default=None)

    def least(self, keyword: str) -> Any:
        """Returns the strictest value of an upper bound such as `maximum`; None if there is none."""
        return min((layer[keyword] for layer, _ in self.layers if keyword in layer), default=None)

    # -- objects --------------------------------------------------------------------------------------------------

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The members that the schema names, in the order of the form."""
        names: dict[str, None] = {}
        for layer, _ in self.layers:
            names |= dict.fromkeys(layer.get("properties", ()))
        names |= dict.fromkeys(name for layer, _ in self.layers for name in layer.get("required", ()))
        places = {
            name: next((s["x-order"] for s, _ in self.child(name) if isinstance(s, Mapping) and "x-order" in s), None) for name in names
        }
        if any(place is not None for place in places.values()):
            return tuple(sorted(names, key=lambda name: (places[name] is None, places[name] or 0)))
        return tuple(names)

    def named_by(self, value: Mapping[str, Any]) -> list[str]:
        """Returns members that no layer names, but that become required because of other members (dependentRequired)."""
        return [name for name in self.required_by(value) if name not in self.members]

    @cached_property
    def makes_required(self) -> bool:
        """Whether members can become required because of others."""
        return any("dependentRequired" in layer for layer, _ in self.layers)

    def required_by(self, value: Mapping[str, Any]) -> list[str]:
        """Returns all members that become required because of the members of `value` (dependentRequired)."""
        required = [
            name
            for layer, _ in self.layers
            for cause, names in layer.get("dependentRequired", {}).items()
            if cause in value
            for name in names
        ]
        return list(dict.fromkeys(required))

    def child(self, key: str) -> Heads:
        """Returns the heads of one member."""
        heads = self._children.get(key)
        if heads is None:
            heads = self._child(key)
            if len(self._children) < MOST_KEPT:
                self._children[key] = heads
        return heads

    def never(self, key: str) -> bool:
        """Returns whether a schema here forbids a member."""
        return forbidden(self.child(key))

    def _child(self, key: str) -> Heads:
        heads: list[Head] = []
        evaluated = False
        for layer, resolver in self.layers:
            own = [layer["properties"][key]] if key in layer.get("properties", ()) else []
            own += [inner for pattern, inner in layer.get("patternProperties", {}).items() if matches(pattern, key)]
            if not own and "additionalProperties" in layer:
                own = [layer["additionalProperties"]]
            evaluated = evaluated or bool(own)
            heads += [(inner, resolver) for inner in own]
            if key in left_out(layer):
                heads.append((False, resolver))
        if not evaluated:
            heads += [(layer["unevaluatedProperties"], resolver) for layer, resolver in self.layers if "unevaluatedProperties" in layer]
        return tuple(heads)

    # -- arrays ---------------------------------------------------------------------------------------------------

    def item(self, index: int) -> Heads:
        """Returns the heads of the entry at `index`."""
        heads: list[Head] = []
        evaluated = False
        for layer, resolver in self.layers:
            prefix = layer.get("prefixItems", ())
            if index < len(prefix):
                heads.append((prefix[index], resolver))
                evaluated = True
            elif "items" in layer:
                heads.append((layer["items"], resolver))
                evaluated = True
        if not evaluated:
            heads += [(layer["unevaluatedItems"], resolver) for layer, resolver in self.layers if "unevaluatedItems" in layer]
        return tuple(heads)

    @cached_property
    def prefix(self) -> int:
        """The number of first entries that have a schema of their own."""
        return max((len(layer.get("prefixItems", ())) for layer, _ in self.layers), default=0)


View = TypeVar("View", bound=Layers)


class Collector(Generic[View]):
    """Collects the layers of the places of one schema. `make` returns an empty record for one place. Records that depend on no value are
    cached."""

    def __init__(self, validator: SchemaValidator, make: Callable[[], View]) -> None:
        self._validator, self._make = validator, make
        self._views: dict[tuple[Any, ...], View] = {}
        self._union_keys: dict[int, str] = {}
        self.root: Heads = ((validator.prepared.schema, validator.prepared.resolver),)
        for number, schema in enumerate(validator.prepared.subschemas):
            for word, sign in (("oneOf", "o"), ("anyOf", "a")):
                if word in schema:
                    self._union_keys[id(schema[word])] = f"{number}{sign}"

    def union_key(self, branches: Any) -> str | None:
        """Returns the name of the union that has this list of branches."""
        return self._union_keys.get(id(branches))

    def view(self, heads: Heads, value: Any, picked: Mapping[str, int], *, plain: bool = False) -> View:
        """Returns the layers of a place, for its value (which may be ABSENT) and the branches that a person picked.

        `plain` leaves out everything that depends on the value: conditions, and unions with a choice.
        """
        key = (tuple(id(schema) for schema, _ in heads), tuple(sorted(picked.items())), plain)
        cached = self._views.get(key)
        if cached is not None:
            return cached
        view = self._make()
        _Collection(self, view, value, picked, plain=plain).add_all(heads)
        self.complete(view)
        if (view.static or plain) and len(self._views) < MOST_KEPT:
            self._views[key] = view
        return view

    def complete(self, view: View) -> None:
        """Does nothing; a subclass adds what its records need besides the layers."""

    def fits(self, schema: Any, resolver: Any, value: Any) -> bool:
        """Returns whether `value` is valid by a subschema."""
        return self._validator.fits(schema, resolver, value)

    def chosen(self, branches: Sequence[Any], places: Sequence[int], resolver: Any, value: Any) -> int:
        """Returns the branch that a value is meant for: the first that it fits, else the nearest one. Without a value, returns the
        first."""
        if value is ABSENT or value is None:
            return places[0]
        return self._validator.meant(branches, places, resolver, value)

    def only_null(self, branch: Any, resolver: Any) -> bool:
        """Returns whether a branch of a union allows only null."""
        schema = self.resolved(branch, resolver)
        return isinstance(schema, Mapping) and (
            schema.get("type") in ("null", ["null"]) or ("const" in schema and schema["const"] is None) or schema.get("enum") == [None]
        )

    def resolved(self, schema: Any, resolver: Any) -> Any:
        """Returns the schema that a schema refers to if it is only a reference; else the schema itself."""
        for _ in range(20):
            if not (isinstance(schema, Mapping) and set(schema) <= {"$ref", "title", "description", "$comment"} and "$ref" in schema):
                break
            target = resolver.lookup(schema["$ref"])
            schema, resolver = target.contents, target.resolver
        return schema


class _Collection:
    """One walk over the schemas that apply at one place."""

    def __init__(self, of: Collector[Any], view: Layers, value: Any, picked: Mapping[str, int], *, plain: bool) -> None:
        self._of, self._view, self._value, self._picked, self._plain = of, view, value, picked, plain
        self._seen: set[int] = set()

    def add_all(self, heads: Heads) -> None:
        for schema, resolver in heads:
            self._add(schema, resolver, Origin.OWN)

    def _add(self, schema: Any, resolver: Any, origin: Origin) -> None:
        """Adds a schema, and all schemas that apply because of it, to the record."""
        if isinstance(schema, bool):
            self._view.impossible |= not schema
            return
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        if "$id" in schema:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        self._view.layers.append((schema, resolver))
        self._view.origins.append(origin)
        part = max(origin, Origin.PART)
        for word in ("$ref", "$dynamicRef"):
            if word in schema:
                resolved = resolver.lookup(schema[word])
                self._add(resolved.contents, resolved.resolver, part)
        for inner in schema.get("allOf", ()):
            self._add(inner, resolver, part)
        for word in ("oneOf", "anyOf"):
            if word in schema and not (word == "oneOf" and lists_constants(schema[word])):
                self._add_union(schema[word], resolver, part)
        self._add_conditions(schema, resolver)

    def _add_conditions(self, schema: Schema, resolver: Any) -> None:
        value = self._value
        if "if" in schema:
            self._view.static = False
            if value is not ABSENT and not self._plain:
                case = schema.get("then" if self._of.fits(schema["if"], resolver, value) else "else", True)
                self._add(case, resolver, Origin.CASE)
        for key, inner in schema.get("dependentSchemas", {}).items():
            self._view.static = False
            if isinstance(value, Mapping) and key in value and not self._plain:
                self._add(inner, resolver, Origin.CASE)

    def _add_union(self, branches: Sequence[Any], resolver: Any, origin: Origin) -> None:
        of, view = self._of, self._view
        nulls = [place for place, branch in enumerate(branches) if of.only_null(branch, resolver)]
        places = tuple(place for place in range(len(branches)) if place not in nulls and branches[place] is not False)
        view.nullable_by_union |= bool(nulls)
        if not places or all(isinstance(branches[place], bool) or _NOTHING_TO_DRAW.issuperset(branches[place]) for place in places):
            return
        key = of.union_key(branches) or ""
        if len(places) == 1:
            chosen = places[0]
        elif self._picked.get(key) in places:
            chosen = self._picked[key]
        elif self._plain:
            view.static = False
            return
        else:
            view.static = False
            chosen = of.chosen(branches, places, resolver, self._value)
        view.unions.append(Union(key, branches, resolver, places, chosen))
        self._add(branches[chosen], resolver, origin if len(places) == 1 else Origin.CASE)

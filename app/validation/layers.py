"""What applies at one place of a value: all schemas that hold there, with what each of them brings along.

A place has heads: the schemas that its parents give it. Each brings along what it refers to, `allOf`, the chosen branch of its
unions, and what its conditions say of the value at hand. Together they are the layers of the place.
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
MOST_KEPT = 5000  # views of a schema, children of a view: a map may have any number of names
# Keywords that tell the type of a value where `type` is silent (JSON Schema validation, 6; core, 10.3).
_TELLING = {
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
# A union whose branches hold nothing but these changes no control and brings no default; the validator judges it.
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
    """True for a oneOf of nothing but constants: it lists values to choose from."""
    return bool(branches) and all(isinstance(one, Mapping) and "const" in one and not set(one) - _WORDING for one in branches)


class Origin(IntEnum):
    """How a schema came to apply at a place."""

    OWN = 0  # the parent gave it to this place: its words are the place's own
    PART = 1  # by a reference, by `allOf`, or as the one branch that there is: it always holds here
    CASE = 2  # by a chosen branch or a condition: it holds for this value


def forbidden(heads: Heads) -> bool:
    """True where one of the heads allows no value at all."""
    return any(schema is False or schema == {"not": {}} for schema, _ in heads)


def left_out(schema: Mapping[str, Any]) -> frozenset[str]:
    """The members that a schema forbids by `not`: `{"not": {"required": ["a"]}}`, or several by `{"not": {"anyOf": [...]}}`."""
    inner = schema.get("not")
    if not isinstance(inner, Mapping):
        return frozenset()
    cases = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    lists = [one["required"] for one in cases if isinstance(one, Mapping) and set(one) == {"required"}]
    return frozenset(names[0] for names in lists if len(names) == 1)


@dataclass(frozen=True, slots=True)
class Union:
    """A oneOf or anyOf with something to choose. `key` names it, `places` are its usable branches in the schema's own list."""

    key: str
    branches: Sequence[Any]
    resolver: Any
    places: tuple[int, ...]
    chosen: int

    @property
    def drawn(self) -> bool:
        """False where null apart only one branch is left: nothing to choose."""
        return len(self.places) > 1


@dataclass
class Layers:
    """All layers of one place. `static` where no value of the place could change them."""

    layers: list[Head] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)  # of each layer
    unions: list[Union] = field(default_factory=list)
    nullable_by_union: bool = False
    impossible: bool = False
    static: bool = True
    _children: dict[str, Heads] = field(default_factory=dict)

    def first(self, keyword: str, default: Any = None) -> Any:
        """The value of an annotation: the nearest layer's."""
        return next((layer[keyword] for layer, _ in self.layers if keyword in layer), default)

    def words(self, keyword: str, furthest: Origin) -> str:
        """A title or description of the place: of the nearest layer whose origin is at most `furthest`; empty where there is none."""
        pairs = zip(self.layers, self.origins, strict=True)
        found = [(origin, layer[keyword]) for (layer, _), origin in pairs if str(layer.get(keyword, "")).strip()]
        return next((str(text) for wanted in Origin if wanted <= furthest for origin, text in found if origin == wanted), "")

    # -- types ----------------------------------------------------------------------------------------------------

    @cached_property
    def json_types(self) -> set[str] | None:
        """The types that all layers allow; None where no layer says."""
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
        """The types to draw, the first one first; empty where only null, or nothing, is allowed."""
        allowed = self.json_types
        if allowed is None:
            told = [kind for kind, keywords in _TELLING.items() if any(not keywords.isdisjoint(layer) for layer, _ in self.layers)]
            return tuple(told) or UNTYPED
        drawn = allowed - {"null"} - ({"integer"} if "number" in allowed else set())
        declared = self.first("type", ())
        order = [declared] if isinstance(declared, str) else list(declared)
        return tuple(sorted(drawn, key=lambda kind: order.index(kind) if kind in order else TYPES.index(kind) + len(order)))

    def allows(self, kind: str) -> bool:
        """True where a value of this type may stand here."""
        return kind in self.types or (kind == "integer" and "number" in self.types)

    # -- bounds ---------------------------------------------------------------------------------------------------

    @cached_property
    def required(self) -> frozenset[str]:
        """The members that must be there."""
        return frozenset(name for layer, _ in self.layers for name in layer.get("required", ()))

    def most(self, keyword: str) -> Any:
        """The strictest of a lower bound, None where there is none."""
        return max((layer[keyword] for layer, _ in self.layers if keyword in layer), default=None)

    def least(self, keyword: str) -> Any:
        """The strictest of an upper bound, None where there is none."""
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
        """Members that only become required by what is there (dependentRequired)."""
        return [name for name in self.required_by(value) if name not in self.members]

    @cached_property
    def makes_required(self) -> bool:
        """True where members become required by others."""
        return any("dependentRequired" in layer for layer, _ in self.layers)

    def required_by(self, value: Mapping[str, Any]) -> list[str]:
        """All members that are required because of what is there (dependentRequired)."""
        found = [
            name
            for layer, _ in self.layers
            for cause, names in layer.get("dependentRequired", {}).items()
            if cause in value
            for name in names
        ]
        return list(dict.fromkeys(found))

    def child(self, key: str) -> Heads:
        """What applies to one member."""
        kept = self._children.get(key)
        if kept is None:
            kept = self._child(key)
            if len(self._children) < MOST_KEPT:
                self._children[key] = kept
        return kept

    def never(self, key: str) -> bool:
        """True for a member that a schema here forbids."""
        return forbidden(self.child(key))

    def _child(self, key: str) -> Heads:
        found: list[Head] = []
        evaluated = False
        for layer, resolver in self.layers:
            own = [layer["properties"][key]] if key in layer.get("properties", ()) else []
            own += [inner for pattern, inner in layer.get("patternProperties", {}).items() if matches(pattern, key)]
            if not own and "additionalProperties" in layer:
                own = [layer["additionalProperties"]]
            evaluated = evaluated or bool(own)
            found += [(inner, resolver) for inner in own]
            if key in left_out(layer):
                found.append((False, resolver))
        if not evaluated:
            found += [(layer["unevaluatedProperties"], resolver) for layer, resolver in self.layers if "unevaluatedProperties" in layer]
        return tuple(found)

    # -- arrays ---------------------------------------------------------------------------------------------------

    def item(self, index: int) -> Heads:
        """What applies to the entry at `index`."""
        found: list[Head] = []
        evaluated = False
        for layer, resolver in self.layers:
            prefix = layer.get("prefixItems", ())
            if index < len(prefix):
                found.append((prefix[index], resolver))
                evaluated = True
            elif "items" in layer:
                found.append((layer["items"], resolver))
                evaluated = True
        if not evaluated:
            found += [(layer["unevaluatedItems"], resolver) for layer, resolver in self.layers if "unevaluatedItems" in layer]
        return tuple(found)

    @cached_property
    def prefix(self) -> int:
        """How many entries have a schema of their own."""
        return max((len(layer.get("prefixItems", ())) for layer, _ in self.layers), default=0)


Found = TypeVar("Found", bound=Layers)


class Collector(Generic[Found]):
    """Collects the layers of the places of one schema; `make` gives an empty record for one place. Records that depend on no value
    are kept."""

    def __init__(self, validator: SchemaValidator, make: Callable[[], Found]) -> None:
        self._validator, self._make = validator, make
        self._kept: dict[tuple[Any, ...], Found] = {}
        self._union_keys: dict[int, str] = {}
        self.root: Heads = ((validator.prepared.schema, validator.prepared.resolver),)
        for number, schema in enumerate(validator.prepared.subschemas):
            for word, sign in (("oneOf", "o"), ("anyOf", "a")):
                if word in schema:
                    self._union_keys[id(schema[word])] = f"{number}{sign}"

    def union_key(self, branches: Any) -> str | None:
        """The name of the union whose list of branches this is."""
        return self._union_keys.get(id(branches))

    def view(self, heads: Heads, value: Any, picked: Mapping[str, int], *, plain: bool = False) -> Found:
        """What holds at a place, given its value (ABSENT too) and the branches that a person picked.

        `plain` leaves out whatever depends on the value: conditions, and unions with something to choose.
        """
        key = (tuple(id(schema) for schema, _ in heads), tuple(sorted(picked.items())), plain)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        found = self._make()
        _Collection(self, found, value, picked, plain=plain).add_all(heads)
        self.complete(found)
        if (found.static or plain) and len(self._kept) < MOST_KEPT:
            self._kept[key] = found
        return found

    def complete(self, found: Found) -> None:
        """A hook for what a record needs besides its layers."""

    def fits(self, schema: Any, resolver: Any, value: Any) -> bool:
        """True where `value` is valid by a subschema."""
        return self._validator.fits(schema, resolver, value)

    def chosen(self, branches: Sequence[Any], places: Sequence[int], resolver: Any, value: Any) -> int:
        """The branch that a value is meant for: the first that it fits, else the nearest; the first one for no value."""
        if value is ABSENT or value is None:
            return places[0]
        return self._validator.meant(branches, places, resolver, value)

    def only_null(self, branch: Any, resolver: Any) -> bool:
        """True for a branch of a union that means nothing but null."""
        schema = self.resolved(branch, resolver)
        return isinstance(schema, Mapping) and (
            schema.get("type") in ("null", ["null"]) or ("const" in schema and schema["const"] is None) or schema.get("enum") == [None]
        )

    def resolved(self, schema: Any, resolver: Any) -> Any:
        """A schema, or the one that it only refers to."""
        for _ in range(20):
            if not (isinstance(schema, Mapping) and set(schema) <= {"$ref", "title", "description", "$comment"} and "$ref" in schema):
                break
            found = resolver.lookup(schema["$ref"])
            schema, resolver = found.contents, found.resolver
        return schema


class _Collection:
    """One walk over the schemas that apply at one place."""

    def __init__(self, of: Collector[Any], found: Layers, value: Any, picked: Mapping[str, int], *, plain: bool) -> None:
        self._of, self._found, self._value, self._picked, self._plain = of, found, value, picked, plain
        self._seen: set[int] = set()

    def add_all(self, heads: Heads) -> None:
        for schema, resolver in heads:
            self._add(schema, resolver, Origin.OWN)

    def _add(self, schema: Any, resolver: Any, origin: Origin) -> None:
        """Put a schema and all that it brings along into the record."""
        if isinstance(schema, bool):
            self._found.impossible |= not schema
            return
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        if "$id" in schema:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        self._found.layers.append((schema, resolver))
        self._found.origins.append(origin)
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
            self._found.static = False
            if value is not ABSENT and not self._plain:
                case = schema.get("then" if self._of.fits(schema["if"], resolver, value) else "else", True)
                self._add(case, resolver, Origin.CASE)
        for key, inner in schema.get("dependentSchemas", {}).items():
            self._found.static = False
            if isinstance(value, Mapping) and key in value and not self._plain:
                self._add(inner, resolver, Origin.CASE)

    def _add_union(self, branches: Sequence[Any], resolver: Any, origin: Origin) -> None:
        of, found = self._of, self._found
        nulls = [place for place, branch in enumerate(branches) if of.only_null(branch, resolver)]
        places = tuple(place for place in range(len(branches)) if place not in nulls and branches[place] is not False)
        found.nullable_by_union |= bool(nulls)
        if not places or all(isinstance(branches[place], bool) or _NOTHING_TO_DRAW.issuperset(branches[place]) for place in places):
            return
        key = of.union_key(branches) or ""
        if len(places) == 1:
            chosen = places[0]
        elif self._picked.get(key) in places:
            chosen = self._picked[key]
        elif self._plain:
            found.static = False
            return
        else:
            found.static = False
            chosen = of.chosen(branches, places, resolver, self._value)
        found.unions.append(Union(key, branches, resolver, places, chosen))
        self._add(branches[chosen], resolver, origin if len(places) == 1 else Origin.CASE)

"""What holds at one place of a value: all schemas that apply there, seen as one.

A place has heads: the schemas that its parents give it. Each brings along what it refers to, `allOf`, the chosen branch of its
unions, and what its conditions say of the value at hand. Together they are the layers of a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from referencing.jsonschema import DRAFT202012

from app.validation.patterns import matches
from app.validation.readable import as_words
from app.validation.secret import is_secret
from app.validation.validator import SchemaValidator
from web.forms.choices import Choices, common, listed
from web.forms.hints import NAMES, check_hints
from web.forms.values import ABSENT, from_name

Schema = Mapping[str, Any]
Head = tuple[Any, Any]  # (schema or boolean, referencing's resolver at its place)
Heads = tuple[Head, ...]

TYPES = ("string", "integer", "number", "boolean", "object", "array")
UNTYPED = ("string", "number", "boolean", "object", "array")
MOST_CHECKBOXES = 24
MOST_RADIOS = 6
# Keywords that tell the type of a value where `type` is silent (JSON Schema validation, 6; core, 10.3).
_TELLING = {
    "object": {
        "properties", "patternProperties", "additionalProperties", "propertyNames", "required", "minProperties", "maxProperties",
        "dependentRequired", "dependentSchemas", "unevaluatedProperties",
    },
    "array": {"items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"},
    "string": {"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}  # fmt: skip
# A union whose branches hold nothing but these changes no control; the validator judges it.
_NOTHING_TO_DRAW = frozenset({
    "required", "not", "title", "description", "$comment", "minProperties", "maxProperties", "minItems", "maxItems",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Union:
    """A oneOf or anyOf that a person chooses a branch of. `key` names it, `places` are its drawn branches in the schema's own list."""

    key: str
    titles: tuple[str, ...]
    places: tuple[int, ...]
    chosen: int

    @property
    def drawn(self) -> bool:
        """False where null apart only one branch is left: nothing to choose."""
        return len(self.places) > 1


@dataclass
class View:
    """All layers of one place. `static` where no value of the place could change them."""

    layers: list[tuple[Schema, Any]] = field(default_factory=list)
    unions: list[Union] = field(default_factory=list)
    choices: Choices | None = None
    nullable_by_union: bool = False
    impossible: bool = False
    static: bool = True
    _children: dict[str, Heads] = field(default_factory=dict)

    def first(self, keyword: str, default: Any = None) -> Any:
        """The value of an annotation: the nearest layer's."""
        return next((layer[keyword] for layer, _ in self.layers if keyword in layer), default)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The `x-` keywords of all layers, the nearest first."""
        return {name: value for layer, _ in reversed(self.layers) for name, value in layer.items() if name in NAMES}

    @cached_property
    def title(self) -> str:
        return str(self.first("title", "") or "")

    @cached_property
    def description(self) -> str:
        return str(self.first("description", "") or "")

    @cached_property
    def read_only(self) -> bool:
        return any(layer.get("readOnly") is True for layer, _ in self.layers)

    @cached_property
    def secret(self) -> bool:
        return any(is_secret(layer) for layer, _ in self.layers)

    @cached_property
    def dynamic(self) -> bool:
        """True where a text may hold an expression."""
        return any(layer.get("x-dynamic") is True for layer, _ in self.layers)

    @cached_property
    def deprecated(self) -> bool:
        return any(layer.get("deprecated") is True for layer, _ in self.layers)

    @cached_property
    def format(self) -> str:
        return str(self.first("format", ""))

    @cached_property
    def _json_types(self) -> set[str] | None:
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
        allowed = self._json_types
        if allowed is None:
            told = [kind for kind, keywords in _TELLING.items() if any(not keywords.isdisjoint(layer) for layer, _ in self.layers)]
            return tuple(told) or UNTYPED
        drawn = allowed - {"null"} - ({"integer"} if "number" in allowed else set())
        declared = self.first("type", ())
        order = [declared] if isinstance(declared, str) else list(declared)
        return tuple(sorted(drawn, key=lambda kind: order.index(kind) if kind in order else TYPES.index(kind) + len(order)))

    @cached_property
    def nullable(self) -> bool:
        """True where null may be chosen."""
        if self.nullable_by_union:
            return True
        allowed = self._json_types
        return "null" in allowed if allowed is not None else self.types == UNTYPED and self.choices is None

    def allows(self, kind: str) -> bool:
        return kind in self.types or (kind == "integer" and "number" in self.types)

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(name for layer, _ in self.layers for name in layer.get("required", ()))

    @cached_property
    def takes_empty(self) -> bool:
        """True where an empty text may be meant."""
        return not any(
            layer.get("minLength") or "format" in layer or ("pattern" in layer and not matches(layer["pattern"], ""))
            for layer, _ in self.layers
        )

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
        found = [
            name
            for layer, _ in self.layers
            for cause, names in layer.get("dependentRequired", {}).items()
            if cause in value
            for name in names
        ]
        return [name for name in dict.fromkeys(found) if name not in self.members]

    def child(self, key: str) -> Heads:
        """What applies to one member."""
        kept = self._children.get(key)
        if kept is None:
            kept = self._child(key)
            if len(self._children) < 5000:
                self._children[key] = kept
        return kept

    def never(self, key: str) -> bool:
        """True for a member that the schema names only to forbid it."""
        heads = self.child(key)
        return bool(heads) and all(schema is False or schema == {"not": {}} for schema, _ in heads)

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
        if not evaluated:
            found += [(layer["unevaluatedProperties"], resolver) for layer, resolver in self.layers if "unevaluatedProperties" in layer]
        return tuple(found)

    @cached_property
    def offers_entries(self) -> bool:
        """True where a person may add members of other names: the schema speaks of them, or names none at all."""
        said = [layer.get(word) for layer, _ in self.layers for word in ("additionalProperties", "unevaluatedProperties") if word in layer]
        if any(layer.get("patternProperties") for layer, _ in self.layers):
            return True
        if any(one is False for one in said):
            return False
        return bool(said) or not self.members

    @cached_property
    def entry_names(self) -> tuple[str, ...]:
        """The names that entries may bear, where the schema lists them."""
        for layer, _ in self.layers:
            names = layer.get("propertyNames")
            if isinstance(names, Mapping) and isinstance(names.get("enum"), list):
                return tuple(name for name in names["enum"] if isinstance(name, str))
        return ()

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

    def may_add(self, count: int) -> bool:
        """True where one more entry than `count` could be right."""
        most = self.least("maxItems")
        return (most is None or count < most) and all(schema is not False for schema, _ in self.item(count))


class Views:
    """The views of one schema. Those that depend on no value are kept."""

    def __init__(self, validator: SchemaValidator) -> None:
        self._validator = validator
        self._numbers = validator.prepared.numbers
        self._subschemas = validator.prepared.subschemas
        self._kept: dict[tuple[Any, ...], View] = {}
        self._union_keys: dict[int, str] = {}
        self.root: Heads = ((validator.prepared.schema, validator.prepared.resolver),)
        for number, schema in enumerate(self._subschemas):
            for word, sign in (("oneOf", "o"), ("anyOf", "a")):
                if word in schema:
                    self._union_keys[id(schema[word])] = f"{number}{sign}"
            if any(name.startswith("x-") for name in schema):
                check_hints(schema, "")

    def union_key(self, branches: Any) -> str | None:
        """The name of the union whose list of branches this is."""
        return self._union_keys.get(id(branches))

    def choices_of(self, sources: str) -> Choices | None:
        """The choices that a post names; None for what is no name of choices of this schema."""
        numbers = sources.split(".")
        if len(set(numbers)) < len(numbers):
            return None  # no form names a source twice; a forged post could name one a million times
        if not all(one.isascii() and one.isdigit() and len(one) < 7 and int(one) < len(self._subschemas) for one in numbers):
            return None
        listings = [listing for one in numbers if (listing := listed(self._subschemas[int(one)])) is not None]
        return common(listings, sources) if listings else None

    def view(self, heads: Heads, value: Any, picked: Mapping[str, int]) -> View:
        """What holds at a place, given its value (ABSENT too) and the branches that a person picked."""
        key = (tuple(id(schema) for schema, _ in heads), tuple(sorted(picked.items())))
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        view = View()
        listings: list[tuple[str, list[tuple[Any, str]]]] = []
        seen: set[int] = set()
        for schema, resolver in heads:
            self._add(view, schema, resolver, value, picked, listings, seen)
        if listings:
            view.choices = common([listing for _, listing in listings], ".".join(number for number, _ in listings))
        if view.static and len(self._kept) < 5000:
            self._kept[key] = view
        return view

    def _add(
        self, view: View, schema: Any, resolver: Any, value: Any, picked: Mapping[str, int],
        listings: list[tuple[str, list[tuple[Any, str]]]],
        seen: set[int],
    ) -> None:  # fmt: skip
        """Put a schema and all that it brings along into the view."""
        if isinstance(schema, bool):
            view.impossible |= not schema
            return
        if id(schema) in seen:
            return
        seen.add(id(schema))
        add: Callable[[Any, Any], None] = lambda inner, where: self._add(view, inner, where, value, picked, listings, seen)  # noqa: E731
        if "$id" in schema:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        view.layers.append((schema, resolver))
        found = listed(schema)
        if found is not None:
            listings.append((str(self._numbers[id(schema)]), found))
        for word in ("$ref", "$dynamicRef"):
            if word in schema:
                resolved = resolver.lookup(schema[word])
                add(resolved.contents, resolved.resolver)
        for inner in schema.get("allOf", ()):
            add(inner, resolver)
        for word in ("oneOf", "anyOf"):
            if word in schema and not (word == "oneOf" and found is not None):
                self._add_union(view, schema[word], resolver, value, picked, add)
        if "if" in schema:
            view.static = False
            fits = value is not ABSENT and self._validator.fits(schema["if"], resolver, value)
            if value is not ABSENT:
                add(schema.get("then" if fits else "else", True), resolver)
        for key, inner in schema.get("dependentSchemas", {}).items():
            view.static = False
            if isinstance(value, Mapping) and key in value:
                add(inner, resolver)

    def _add_union(
        self, view: View, branches: Sequence[Any], resolver: Any, value: Any, picked: Mapping[str, int], add: Callable[[Any, Any], None]
    ) -> None:
        nulls = [place for place, branch in enumerate(branches) if self._only_null(branch, resolver)]
        places = tuple(place for place in range(len(branches)) if place not in nulls and branches[place] is not False)
        view.nullable_by_union |= bool(nulls)
        if not places or all(isinstance(branches[place], bool) or _NOTHING_TO_DRAW.issuperset(branches[place]) for place in places):
            return
        key = self._union_keys[id(branches)]
        if len(places) == 1:
            chosen = places[0]
        elif picked.get(key) in places:
            chosen = picked[key]
        else:
            view.static = False
            chosen = self._best(branches, places, resolver, value)
        view.unions.append(Union(key, tuple(self._branch_title(branches[place], resolver, place) for place in places), places, chosen))
        add(branches[chosen], resolver)

    def _best(self, branches: Sequence[Any], places: Sequence[int], resolver: Any, value: Any) -> int:
        """The branch that a value is meant for: the first that it fits, else the nearest; the first one for no value."""
        if value is ABSENT or value is None:
            return places[0]
        return min(places, key=lambda place: self._validator.distance(branches[place], resolver, value))

    def _resolved(self, schema: Any, resolver: Any) -> Any:
        for _ in range(20):
            if not (isinstance(schema, Mapping) and set(schema) <= {"$ref", "title", "description", "$comment"} and "$ref" in schema):
                break
            found = resolver.lookup(schema["$ref"])
            schema, resolver = found.contents, found.resolver
        return schema

    def _only_null(self, branch: Any, resolver: Any) -> bool:
        schema = self._resolved(branch, resolver)
        return isinstance(schema, Mapping) and (
            schema.get("type") in ("null", ["null"]) or ("const" in schema and schema["const"] is None) or schema.get("enum") == [None]
        )

    def _branch_title(self, branch: Any, resolver: Any, place: int) -> str:
        """A branch in words: its title, its constant member, the name that it is referred to by, its type."""
        schema = self._resolved(branch, resolver)
        for one in (branch, schema):
            if isinstance(one, Mapping) and one.get("title"):
                return str(one["title"])
        if not isinstance(schema, Mapping):
            return f"{place + 1}"
        for inner in schema.get("properties", {}).values():
            if isinstance(inner, Mapping) and "const" in inner:
                return as_words(inner["const"])
        if isinstance(branch, Mapping) and isinstance(branch.get("$ref"), str) and "/" in branch["$ref"]:
            return from_name(branch["$ref"].rpartition("/")[2])
        if "const" in schema:
            return as_words(schema["const"])
        if isinstance(schema.get("enum"), list) and len(schema["enum"]) <= 3:
            return " / ".join(as_words(one) for one in schema["enum"])
        kind = schema.get("type")
        suffix = f" ({schema['format']})" if isinstance(schema.get("format"), str) else ""
        return f"{kind}{suffix}" if isinstance(kind, str) else f"{place + 1}"

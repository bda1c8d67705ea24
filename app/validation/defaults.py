"""Fills in the defaults of a schema. The same rules serve bodies of REST requests and empty forms.

1. A member that is left out gets its default. A required object that is left out is added if its members have defaults.
2. This also happens inside objects and lists, both in given ones and in those that came by a default.
3. Defaults can have consequences: a default may fulfil a condition, fit a branch, or make another member required. First the defaults
   that depend on no value are filled in, then those of conditions, until no more come. A default that came by a condition which does not
   hold in the end is removed again.
4. A default object or list that would contain itself without end is left out. If there are more than MOST_FILLED values, only the levels
   near the top are filled in, as many as stay within that limit.

Filling in twice gives the same result as filling in once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.validation.absent import ABSENT
from app.validation.cache import Cache
from app.validation.layers import Collector, Heads, Layers
from app.validation.pointer import escape
from app.validation.schema import CACHED, prepare
from app.validation.validator import SchemaValidator

MOST_FILLED = 2000  # values, including those inside defaults; a text counts as one more value for each LETTERS characters
LETTERS = 200
LEVELS = (40, 6, 4, 3, 2, 1)  # how deep defaults are filled in: the first of these numbers that stays within MOST_FILLED
DEEPEST_OPENED = 6  # levels of required objects inside required objects that are added without a default of their own
MOST_ROUNDS = 100  # conditions that depend on each other in a chain
_NOTHING_PICKED: Mapping[str, int] = {}


class _TooMany(Exception):
    """There are more than MOST_FILLED values to fill in."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a value: its pointer, the same pointer with `*` for entries (`place`), and the ids of the schemas that describe the
    members on the path to it."""

    pointer: str = ""
    place: str = ""
    depth: int = 0
    path: frozenset[int] = frozenset()

    def member(self, layers: Layers, key: str) -> Spot:
        """Returns the spot of a member."""
        part = f"/{escape(key)}"
        place = self.place + (part if key in layers.members else "/*")
        return Spot(self.pointer + part, place, self.depth + 1, self.path | _naming(layers, key))

    def entry(self, layers: Layers, index: int) -> Spot:
        """Returns the spot of an entry of a list."""
        return Spot(f"{self.pointer}/{index}", f"{self.place}/*", self.depth + 1, self.path | _naming_items(layers))


# (layers of a place, whether it is required, its pointer with `*` for entries) → its first value; ABSENT for none
Start = Callable[[Any, bool, str], Any]
# (layers of a required object, its pointer) → True if the object is added even if nothing was filled in
KeepsEmpty = Callable[[Any, str], bool]


class Filler:
    """Fills in the defaults of one schema, whose layers `of` collects. `start` returns the first value of a place without a default."""

    def __init__(self, of: Collector[Any], start: Start | None = None, keeps_empty: KeepsEmpty | None = None) -> None:
        self._of = of
        self.start: Start = start or (lambda _layers, _required, _place: ABSENT)
        self.keeps_empty: KeepsEmpty = keeps_empty or (lambda _layers, _place: False)

    def filled(
        self, heads: Heads, value: Any, spot: Spot = Spot(), *, required: bool = True, picked: Mapping[str, int] = _NOTHING_PICKED
    ) -> Any:
        """Returns `value` (which may be ABSENT) with its defaults. `spot` is its place, `picked` are the branches that a person chose."""
        for levels in LEVELS:
            run = _Run(self._of, self, spot.depth + levels, MOST_FILLED if levels > LEVELS[-1] else None)
            try:
                return run.created(heads, spot, required, picked) if value is ABSENT else run.inside(heads, value, spot, picked)
            except _TooMany:
                continue
        return value


class _Run:
    """One try to fill in, down to the level `deepest` and with at most `most` values; None means any number."""

    def __init__(self, of: Collector[Any], filler: Filler, deepest: int, most: int | None) -> None:
        self._of, self._filler, self._deepest, self._left = of, filler, deepest, most
        self._counted: set[str] = set()

    def created(self, heads: Heads, spot: Spot, required: bool, picked: Mapping[str, int] = _NOTHING_PICKED) -> Any:
        """Returns the value of a spot for which no value was given; ABSENT if there is none."""
        if spot.depth > self._deepest:
            return ABSENT
        blank = self._of.view(heads, ABSENT, picked)
        default = blank.first("default", ABSENT)
        value = copy.deepcopy(default) if default is not ABSENT else self._first_value(blank, spot, required)
        opened = value is ABSENT and required and spot.depth < DEEPEST_OPENED and _is_object(blank)
        value = {} if opened else value
        if value is ABSENT or (isinstance(value, dict | list) and self._contains_itself(heads, value, spot, picked)):
            return ABSENT
        self._count(spot, default)
        filled = self.inside(heads, value, spot, picked)
        return ABSENT if opened and not filled and not self._filler.keeps_empty(blank, spot.place) else filled

    def _first_value(self, blank: Layers, spot: Spot, required: bool) -> Any:
        value = self._filler.start(blank, required, spot.place)
        return ABSENT if isinstance(value, dict | list) and spot.depth >= DEEPEST_OPENED else value

    def inside(self, heads: Heads, value: Any, spot: Spot, picked: Mapping[str, int] = _NOTHING_PICKED) -> Any:
        """Returns a value with the defaults inside it; the value itself if there are none."""
        if isinstance(value, Mapping):
            return self._object(heads, value, spot, picked)
        if isinstance(value, list) and value:
            layers = self._of.view(heads, value, picked)
            items = [self.inside(layers.item(index), item, spot.entry(layers, index)) for index, item in enumerate(value)]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        return value

    def _object(self, heads: Heads, given: Mapping[str, Any], spot: Spot, picked: Mapping[str, int]) -> Mapping[str, Any]:
        filled = given
        for plain in (True, False):
            for _ in range(MOST_ROUNDS):
                layers = self._of.view(heads, filled, picked, plain=plain)
                new = dict(self._changes(layers, filled, spot))
                filled = {**filled, **new} if new else filled
                if not new or (layers.static and not layers.makes_required):
                    break
            if layers.static:
                return filled
        return _without_temporary(layers, filled, given)

    def _changes(self, layers: Layers, value: Mapping[str, Any], spot: Spot) -> Iterator[tuple[str, Any]]:
        """Yields the members of an object that filling in adds or changes."""
        for key, inner in value.items():
            at = spot.member(layers, key)
            self._count_given(layers.child(key), at)
            new = self.inside(layers.child(key), inner, at)
            if new is not inner:
                yield key, new
        required = layers.required.union(layers.required_by(value))
        for key in (*layers.members, *layers.named_by(value)):
            if key not in value and not layers.never(key):
                new = self.created(layers.child(key), spot.member(layers, key), key in required)
                if new is not ABSENT:
                    yield key, new

    def _contains_itself(self, heads: Heads, value: Any, spot: Spot, picked: Mapping[str, int]) -> bool:
        """Returns whether a schema on the path to this spot applies here again."""
        return any(id(layer) in spot.path for layer, _ in self._of.view(heads, value, picked).layers)

    def _count_given(self, heads: Heads, spot: Spot) -> None:
        """Counts a given value as if it had been filled in, so that filling in a second time stops at the same place."""
        if spot.pointer not in self._counted:
            self._count(spot, self._of.view(heads, ABSENT, _NOTHING_PICKED).first("default", ABSENT))

    def _count(self, spot: Spot, default: Any) -> None:
        if self._left is not None and spot.pointer not in self._counted:
            self._counted.add(spot.pointer)
            self._left -= _size(default)
            if self._left < 0:
                raise _TooMany


def _without_temporary(layers: Layers, filled: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the object without members that came by a condition which no longer holds."""
    named = {*layers.members, *layers.named_by(filled)}
    temporary = [key for key in filled if key not in given and (key not in named or layers.never(key))]
    return {key: inner for key, inner in filled.items() if key not in temporary} if temporary else filled


def _is_object(layers: Layers) -> bool:
    """Returns whether the first type of the place is an object, and its values are not listed."""
    return layers.types[:1] == ("object",) and not any("const" in layer or "enum" in layer for layer, _ in layers.layers)


def _naming(layers: Layers, key: str) -> frozenset[int]:
    """Returns the ids of the schemas that describe a member."""
    naming = frozenset(id(layer) for layer, _ in layers.layers if key in layer.get("properties", {}))
    words = ("patternProperties", "additionalProperties", "unevaluatedProperties")
    return naming or frozenset(id(layer) for layer, _ in layers.layers if any(isinstance(layer.get(word), Mapping) for word in words))


def _naming_items(layers: Layers) -> frozenset[int]:
    words = ("items", "prefixItems", "unevaluatedItems")
    return frozenset(id(layer) for layer, _ in layers.layers if any(word in layer for word in words))


def _size(value: Any) -> int:
    """Returns the size of a default: the number of its values, and of LETTERS characters in its texts."""
    if value is ABSENT:
        return 1
    if isinstance(value, Mapping):
        return 1 + sum(len(key) // LETTERS + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1 + (len(value) // LETTERS if isinstance(value, str) else 0)


# -- over REST ---------------------------------------------------------------------------------------------------------

_fillers = Cache[tuple[Filler, Heads]](CACHED)
_of_objects = Cache[tuple[Any, tuple[Filler, Heads]]](CACHED)  # by the id of a schema, which the value keeps alive


def fill_defaults(schema: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `value` with the defaults of `schema`. An empty value first becomes the default of the schema itself, if that is an
    object."""
    filler, heads = _filler_of(schema)
    default = schema.get("default") if isinstance(schema, Mapping) else None
    given = copy.deepcopy(default) if not value and isinstance(default, Mapping) else value
    return dict(filler.filled(heads, given))


def _filler_of(schema: Any) -> tuple[Filler, Heads]:
    """Returns the filler of a schema, which is cached for the same object, and by the digest of the schema for an equal one. Nobody changes
    a schema in place."""

    def make() -> tuple[Filler, Heads]:
        of = Collector(SchemaValidator(schema), Layers)
        return Filler(of), of.root

    return _of_objects.get(id(schema), lambda: (schema, _fillers.get(prepare(schema).digest, make)))[1]

"""Fills in the defaults of a schema: one rule for what is sent over REST and for what a fresh form shows.

1. A member that is left out gets its default; a required object that is left out is there where its members have defaults.
2. This holds inside objects and lists too, whether they were given or came by a default.
3. What a default brings along counts: a condition that it fulfils, a branch that it fits, a member that it makes necessary. First
   the defaults that depend on nothing are filled in, then those of conditions, until no more come. What came by a condition that
   does not hold in the end goes again.
4. A default object or list that would contain itself without end is left out. Beyond MOST_FILLED values only the levels near the
   top are filled in, as many as stay within.

Filling in twice gives the same as once.
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

MOST_FILLED = 2000  # values, those inside defaults included; LETTERS of text count as one
LETTERS = 200
LEVELS = (40, 6, 4, 3, 2, 1)  # how deep defaults are filled in: the first of these that stays within MOST_FILLED
DEEPEST_OPENED = 6  # required objects inside required objects that are there without a default of their own
MOST_ROUNDS = 100  # conditions in a chain
_NOTHING_PICKED: Mapping[str, int] = {}


class _TooMany(Exception):
    """There is more to fill in than MOST_FILLED."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands: its pointer, the same with `*` for entries, and the schemas that name the members on the way to it."""

    pointer: str = ""
    place: str = ""
    depth: int = 0
    path: frozenset[int] = frozenset()

    def member(self, layers: Layers, key: str) -> Spot:
        """The spot of a member."""
        part = f"/{escape(key)}"
        place = self.place + (part if key in layers.members else "/*")
        return Spot(self.pointer + part, place, self.depth + 1, self.path | _naming(layers, key))

    def entry(self, layers: Layers, index: int) -> Spot:
        """The spot of an entry of a list."""
        return Spot(f"{self.pointer}/{index}", f"{self.place}/*", self.depth + 1, self.path | _naming_items(layers))


# (layers of a place, whether it is required, its pointer with `*` for entries) → what it starts with; ABSENT for nothing
Start = Callable[[Any, bool, str], Any]
# (layers of a required object, its pointer) → True where it is there even if nothing was filled in
KeepsEmpty = Callable[[Any, str], bool]


class Filler:
    """Fills in the defaults of one schema, whose places `of` knows. `start` is what a place without a default starts with."""

    def __init__(self, of: Collector[Any], start: Start | None = None, keeps_empty: KeepsEmpty | None = None) -> None:
        self._of = of
        self.start: Start = start or (lambda _layers, _required, _place: ABSENT)
        self.keeps_empty: KeepsEmpty = keeps_empty or (lambda _layers, _place: False)

    def filled(
        self, heads: Heads, value: Any, spot: Spot = Spot(), *, required: bool = True, picked: Mapping[str, int] = _NOTHING_PICKED
    ) -> Any:
        """`value` (ABSENT too), which stands at `spot`, with its defaults. `picked` are the branches that a person chose."""
        for levels in LEVELS:
            run = _Run(self._of, self, spot.depth + levels, MOST_FILLED if levels > LEVELS[-1] else None)
            try:
                return run.created(heads, spot, required, picked) if value is ABSENT else run.inside(heads, value, spot, picked)
            except _TooMany:
                continue
        return value


class _Run:
    """One try, down to the level `deepest`, with `most` values; None for any number."""

    def __init__(self, of: Collector[Any], filler: Filler, deepest: int, most: int | None) -> None:
        self._of, self._filler, self._deepest, self._left = of, filler, deepest, most
        self._counted: set[str] = set()

    def created(self, heads: Heads, spot: Spot, required: bool, picked: Mapping[str, int] = _NOTHING_PICKED) -> Any:
        """What stands at a spot where nothing was given."""
        if spot.depth > self._deepest:
            return ABSENT
        blank = self._of.view(heads, ABSENT, picked)
        default = blank.first("default", ABSENT)
        value = copy.deepcopy(default) if default is not ABSENT else self._started(blank, spot, required)
        opened = value is ABSENT and required and spot.depth < DEEPEST_OPENED and _is_object(blank)
        value = {} if opened else value
        if value is ABSENT or (isinstance(value, dict | list) and self._contains_itself(heads, value, spot, picked)):
            return ABSENT
        self._count(spot, default)
        found = self.inside(heads, value, spot, picked)
        return ABSENT if opened and not found and not self._filler.keeps_empty(blank, spot.place) else found

    def _started(self, blank: Layers, spot: Spot, required: bool) -> Any:
        value = self._filler.start(blank, required, spot.place)
        return ABSENT if isinstance(value, dict | list) and spot.depth >= DEEPEST_OPENED else value

    def inside(self, heads: Heads, value: Any, spot: Spot, picked: Mapping[str, int] = _NOTHING_PICKED) -> Any:
        """A value with the defaults inside it; the value itself where there are none."""
        if isinstance(value, Mapping):
            return self._object(heads, value, spot, picked)
        if isinstance(value, list) and value:
            layers = self._of.view(heads, value, picked)
            items = [self.inside(layers.item(index), item, spot.entry(layers, index)) for index, item in enumerate(value)]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        return value

    def _object(self, heads: Heads, given: Mapping[str, Any], spot: Spot, picked: Mapping[str, int]) -> Mapping[str, Any]:
        found = given
        for plain in (True, False):
            for _ in range(MOST_ROUNDS):
                layers = self._of.view(heads, found, picked, plain=plain)
                new = dict(self._changes(layers, found, spot))
                found = {**found, **new} if new else found
                if not new or (layers.static and not layers.makes_required):
                    break
            if layers.static:
                return found
        return _without_passing(layers, found, given)

    def _changes(self, layers: Layers, found: Mapping[str, Any], spot: Spot) -> Iterator[tuple[str, Any]]:
        """The members of an object that filling in adds or changes."""
        for key, inner in found.items():
            at = spot.member(layers, key)
            self._count_given(layers.child(key), at)
            new = self.inside(layers.child(key), inner, at)
            if new is not inner:
                yield key, new
        needed = layers.required.union(layers.required_by(found))
        for key in (*layers.members, *layers.named_by(found)):
            if key not in found and not layers.never(key):
                new = self.created(layers.child(key), spot.member(layers, key), key in needed)
                if new is not ABSENT:
                    yield key, new

    def _contains_itself(self, heads: Heads, value: Any, spot: Spot, picked: Mapping[str, int]) -> bool:
        """True where a schema that led here applies here again."""
        return any(id(layer) in spot.path for layer, _ in self._of.view(heads, value, picked).layers)

    def _count_given(self, heads: Heads, spot: Spot) -> None:
        """Count what is given as if it had been filled in, where it has a default: then a second time comes to the same end."""
        if spot.pointer not in self._counted:
            self._count(spot, self._of.view(heads, ABSENT, _NOTHING_PICKED).first("default", ABSENT))

    def _count(self, spot: Spot, default: Any) -> None:
        if self._left is not None and spot.pointer not in self._counted:
            self._counted.add(spot.pointer)
            self._left -= _size(default)
            if self._left < 0:
                raise _TooMany


def _without_passing(layers: Layers, found: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without what came by a condition that does not hold any more."""
    named = {*layers.members, *layers.named_by(found)}
    passing = [key for key in found if key not in given and (key not in named or layers.never(key))]
    return {key: inner for key, inner in found.items() if key not in passing} if passing else found


def _is_object(layers: Layers) -> bool:
    """True where the natural value is an object."""
    return layers.types[:1] == ("object",) and not any("const" in layer or "enum" in layer for layer, _ in layers.layers)


def _naming(layers: Layers, key: str) -> frozenset[int]:
    """The schemas that say what a member is."""
    naming = frozenset(id(layer) for layer, _ in layers.layers if key in layer.get("properties", {}))
    words = ("patternProperties", "additionalProperties", "unevaluatedProperties")
    return naming or frozenset(id(layer) for layer, _ in layers.layers if any(isinstance(layer.get(word), Mapping) for word in words))


def _naming_items(layers: Layers) -> frozenset[int]:
    words = ("items", "prefixItems", "unevaluatedItems")
    return frozenset(id(layer) for layer, _ in layers.layers if any(word in layer for word in words))


def _size(value: Any) -> int:
    """How much a default weighs: its values, and its text by LETTERS."""
    if value is ABSENT:
        return 1
    if isinstance(value, Mapping):
        return 1 + sum(len(key) // LETTERS + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1 + (len(value) // LETTERS if isinstance(value, str) else 0)


# -- over REST ---------------------------------------------------------------------------------------------------------

_fillers = Cache[tuple[Filler, Heads]](CACHED)


def fill_defaults(schema: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with the defaults of `schema`. An empty value is the schema's own default, where that is an object."""
    filler, heads = _filler_of(schema)
    default = schema.get("default") if isinstance(schema, Mapping) else None
    given = copy.deepcopy(default) if not value and isinstance(default, Mapping) else value
    return dict(filler.filled(heads, given))


def _filler_of(schema: Any) -> tuple[Filler, Heads]:
    """The filler of a schema, kept by its digest."""

    def make() -> tuple[Filler, Heads]:
        of = Collector(SchemaValidator(schema), Layers)
        return Filler(of), of.root

    return _fillers.get(prepare(schema).digest, make)

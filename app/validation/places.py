"""What a schema says about each place of a value, in any of its branches. This serves to find things that may be anywhere, such as
secrets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

from app.validation.patterns import matches
from app.validation.pointer import keys_of
from app.validation.secret import is_secret

CACHED = 256  # schemas
MOST_KEPT = 1000  # members of a place that are cached: a map may have any number
_SAME_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_NO_OPTIONS: Mapping[str, Any] = {}
_SAME_PLACE_SCHEMAS = ("then", "else", "if")


_cache: OrderedDict[int, tuple[Any, Place]] = OrderedDict()
_lock = Lock()


class Place:
    """All schemas that may apply at one place: its own, those that they refer to, and every branch of their unions and conditions."""

    __slots__ = ("_entries", "_members", "_root", "connection_kind", "layers", "longest_prefix", "options", "secret")

    def __init__(self, schemas: list[Any], root: Any) -> None:
        self._root = root
        self._members: dict[str, Place | None] = {}
        self._entries: dict[int, Place | None] = {}
        self.layers = list(_layers(schemas, root, set()))
        # True if any of them marks the value as secret.
        self.secret = any(map(is_secret, self.layers))
        # The first `x-options`; empty if there are none.
        self.options: Mapping[str, Any] = next(
            (layer["x-options"] for layer in self.layers if isinstance(layer.get("x-options"), Mapping)), _NO_OPTIONS
        )
        # The kind of connections that the value may name; None if it names no connection.
        self.connection_kind = str(self.options.get("kind", "")) if self.options.get("from") == "connections" else None
        # The number of first entries of a list that have a schema of their own (prefixItems).
        self.longest_prefix = max((len(layer.get("prefixItems", ())) for layer in self.layers), default=0)

    @classmethod
    def of(cls, schema: Any) -> Place:
        """Returns the place of a whole value. The places of the schemas that were used last are cached."""
        with _lock:
            cached = _cache.get(id(schema))
            if cached is not None and cached[0] is schema:
                _cache.move_to_end(id(schema))
                return cached[1]
            place = cls([schema], schema)
            _cache[id(schema)] = (schema, place)
            while len(_cache) > CACHED:
                _cache.popitem(last=False)
            return place

    def says(self, keyword: str, value: object) -> bool:
        """Returns whether any of the schemas has the keyword with this value."""
        return any(layer.get(keyword) == value for layer in self.layers)

    def names(self) -> list[str]:
        """Returns the members that any of the schemas names."""
        return list(dict.fromkeys(name for layer in self.layers for name in layer.get("properties", {})))

    def member(self, name: str) -> Place | None:
        """Returns the place of a member; None if no schema describes it."""
        if name in self._members:
            return self._members[name]
        place = self._member(name)
        if len(self._members) < MOST_KEPT:
            self._members[name] = place
        return place

    def _member(self, name: str) -> Place | None:
        schemas = []
        for layer in self.layers:
            if name in layer.get("properties", {}):
                schemas.append(layer["properties"][name])
            schemas += [inner for pattern, inner in layer.get("patternProperties", {}).items() if matches(pattern, name)]
            if name not in layer.get("properties", {}):
                schemas += [
                    layer[word] for word in ("additionalProperties", "unevaluatedProperties") if isinstance(layer.get(word), Mapping)
                ]
        return Place(schemas, self._root) if schemas else None

    def entry(self, index: int = 0) -> Place | None:
        """Returns the place of an entry of a list; None if no schema describes it."""
        index = min(index, self.longest_prefix)  # all entries behind the prefix share one place
        if index not in self._entries:
            self._entries[index] = self._entry(index)
        return self._entries[index]

    def _entry(self, index: int) -> Place | None:
        schemas: list[Any] = []
        for layer in self.layers:
            first = layer.get("prefixItems", ())
            schemas += [first[index]] if index < len(first) else [layer[word] for word in ("items", "unevaluatedItems") if word in layer]
        return Place(schemas, self._root) if schemas else None

    def entries(self) -> list[Place]:
        """Returns the places that entries of a list may have."""
        return [entry for index in range(self.longest_prefix + 1) if (entry := self.entry(index)) is not None]


def _layers(schemas: list[Any], root: Any, seen: set[int]) -> Iterator[Mapping[str, Any]]:
    for schema in schemas:
        if not isinstance(schema, Mapping) or id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        inner = [branch for word in _SAME_PLACE_LISTS for branch in schema.get(word, ())]
        inner += [schema[word] for word in _SAME_PLACE_SCHEMAS if word in schema]
        inner += list(schema.get("dependentSchemas", {}).values())
        if isinstance(schema.get("$ref"), str):
            inner.append(_resolve_local(root, schema["$ref"]))
        if inner:
            yield from _layers(inner, root, seen)


def _resolve_local(root: Any, reference: str) -> Any:
    """Returns the schema that a reference inside the document means. Returns None for a reference by anchor or to another document."""
    at = root
    for part in keys_of(reference.removeprefix("#")):
        if isinstance(at, Mapping):
            at = at.get(part)
        else:
            at = at[int(part)] if isinstance(at, list) and part.isdigit() and int(part) < len(at) else None
    return at if reference.startswith("#") else None

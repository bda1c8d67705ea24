"""What a schema says of the places of a value, whichever branch holds: for what must be found wherever it may stand, such as secrets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any

from app.validation.patterns import matches
from app.validation.pointer import keys_of
from app.validation.secret import is_secret

CACHED = 256  # schemas
MOST_KEPT = 1000  # members of a place: a map may have any
_SAME_PLACE = ("allOf", "anyOf", "oneOf")
_NO_OPTIONS: Mapping[str, Any] = {}
_ONE_MORE = ("then", "else", "if")


_kept: OrderedDict[int, tuple[Any, Place]] = OrderedDict()
_lock = Lock()


class Place:
    """All schemas that may apply at one place: its own, what they refer to, and every branch of their unions and conditions."""

    __slots__ = ("_entries", "_members", "_root", "connection_kind", "layers", "longest_prefix", "options", "secret")

    def __init__(self, schemas: list[Any], root: Any) -> None:
        self._root = root
        self._members: dict[str, Place | None] = {}
        self._entries: dict[int, Place | None] = {}
        self.layers = list(_layers(schemas, root, set()))
        # True if any of them keeps a secret.
        self.secret = any(map(is_secret, self.layers))
        # The first `x-options`; empty if there are none.
        self.options: Mapping[str, Any] = next(
            (layer["x-options"] for layer in self.layers if isinstance(layer.get("x-options"), Mapping)), _NO_OPTIONS
        )
        # The kind of the connections that may be named here; None if none may.
        self.connection_kind = str(self.options.get("kind", "")) if self.options.get("from") == "connections" else None
        # The most entries of a list that any of them describes one by one.
        self.longest_prefix = max((len(layer.get("prefixItems", ())) for layer in self.layers), default=0)

    @classmethod
    def of(cls, schema: Any) -> Place:
        """The place of a whole value. Those of schemas that were asked for lately are kept."""
        with _lock:
            kept = _kept.get(id(schema))
            if kept is not None and kept[0] is schema:
                _kept.move_to_end(id(schema))
                return kept[1]
            made = cls([schema], schema)
            _kept[id(schema)] = (schema, made)
            while len(_kept) > CACHED:
                _kept.popitem(last=False)
            return made

    def says(self, keyword: str, value: object) -> bool:
        """True where any of them has the keyword with this value."""
        return any(layer.get(keyword) == value for layer in self.layers)

    def names(self) -> list[str]:
        """The members that any of them names."""
        return list(dict.fromkeys(name for layer in self.layers for name in layer.get("properties", {})))

    def member(self, name: str) -> Place | None:
        """The place of a member; None where nothing is said of it."""
        if name in self._members:
            return self._members[name]
        made = self._member(name)
        if len(self._members) < MOST_KEPT:
            self._members[name] = made
        return made

    def _member(self, name: str) -> Place | None:
        found = []
        for layer in self.layers:
            if name in layer.get("properties", {}):
                found.append(layer["properties"][name])
            found += [inner for pattern, inner in layer.get("patternProperties", {}).items() if matches(pattern, name)]
            if name not in layer.get("properties", {}):
                found += [layer[word] for word in ("additionalProperties", "unevaluatedProperties") if isinstance(layer.get(word), Mapping)]
        return Place(found, self._root) if found else None

    def entry(self, index: int = 0) -> Place | None:
        """The place of an entry of a list; None where nothing is said of it."""
        index = min(index, self.longest_prefix)  # all entries behind the prefix have one place
        if index not in self._entries:
            self._entries[index] = self._entry(index)
        return self._entries[index]

    def _entry(self, index: int) -> Place | None:
        found: list[Any] = []
        for layer in self.layers:
            first = layer.get("prefixItems", ())
            found += [first[index]] if index < len(first) else [layer[word] for word in ("items", "unevaluatedItems") if word in layer]
        return Place(found, self._root) if found else None

    def entries(self) -> list[Place]:
        """The places that entries of a list may have."""
        return [entry for index in range(self.longest_prefix + 1) if (entry := self.entry(index)) is not None]


def _layers(schemas: list[Any], root: Any, seen: set[int]) -> Iterator[Mapping[str, Any]]:
    for schema in schemas:
        if not isinstance(schema, Mapping) or id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        inner = [one for word in _SAME_PLACE for one in schema.get(word, ())]
        inner += [schema[word] for word in _ONE_MORE if word in schema]
        inner += list(schema.get("dependentSchemas", {}).values())
        if isinstance(schema.get("$ref"), str):
            inner.append(_local(root, schema["$ref"]))
        if inner:
            yield from _layers(inner, root, seen)


def _local(root: Any, reference: str) -> Any:
    """What a reference inside the document means; nothing for any other, nor by anchor."""
    at = root
    for part in keys_of(reference.removeprefix("#")):
        if isinstance(at, Mapping):
            at = at.get(part)
        else:
            at = at[int(part)] if isinstance(at, list) and part.isdigit() and int(part) < len(at) else None
    return at if reference.startswith("#") else None

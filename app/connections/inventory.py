"""What a value holds that must be found wherever its schema puts it: secrets, and the names of connections. One walk finds it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.validation.places import Place
from app.validation.pointer import pointer
from app.validation.secret import secret_name

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A place of a value where the schema, in any of its branches, has a secret or the name of a connection.

    `stored` is what the stored value holds at the same path, None if nothing. `kind` is the kind of connection that may be named here,
    None where none may.
    """

    path: Path
    value: Any
    stored: Any
    secret: bool
    kind: str | None

    @property
    def pointer(self) -> str:
        return pointer(self.path)


ABSENT: Any = object()  # in place of a value that is not there


@dataclass(frozen=True, slots=True)
class Judged:
    """A value that goes to `what` through a connection, which may have a schema for it. It may be ABSENT."""

    pointer: str
    connection: str
    what: str
    value: Any


@dataclass(frozen=True, slots=True)
class Inventory:
    """A value and its sites. `schema` is that of the whole value, `stored` the stored value that it will replace, None if there is none. A
    secret is one whole: what is inside it has no sites."""

    schema: Any
    value: Any
    stored: Any
    sites: tuple[Site, ...]

    @classmethod
    def of(cls, schema: Any, value: Any, stored: Any = None) -> Inventory:
        """Walks the value once."""
        return cls(schema, value, stored, tuple(_sites(Place.of(schema), value, stored, ())))

    def with_secrets(self, change: Callable[[Site], Any]) -> Inventory:
        """Returns the value with `change(site)` in place of each secret. Containers around a change are copied; all others are shared."""
        changed = {site.path: item for site in self.secrets() if (item := change(site)) is not site.value}
        if not changed:
            return self
        sites = tuple(replace(site, value=changed[site.path]) if site.path in changed else site for site in self.sites)
        return replace(self, value=_with(self.value, changed), sites=sites)

    def secrets(self) -> Iterator[Site]:
        """Yields the sites of secrets."""
        return (site for site in self.sites if site.secret)

    def named_secrets(self) -> Iterator[tuple[str, str]]:
        """Yields (JSON Pointer, name) of each secret that is named instead of held."""
        for site in self.secrets():
            name = secret_name(site.value)
            if name is not None:
                yield site.pointer, name

    def connections(self) -> Iterator[tuple[str, str, str]]:
        """Yields (JSON Pointer, connection name, kind) where the schema says `x-options: {from: connections, kind: …}`."""
        for site in self.sites:
            if site.kind is not None and isinstance(site.value, str):
                yield site.pointer, site.value, site.kind

    def reached(self) -> Iterator[tuple[str, str, str]]:
        """Yields (JSON Pointer, connection name, what is reached) at the top level of the value, where the schema says `x-options: {from:
        collections, addresses or subjects, depends: {connection: …}}`."""
        yield from ((pointer((name,)), connection, item) for name, connection, item, _ in self._reached())

    def judged(self) -> Iterator[Judged]:
        """Yields each value at the top level that a connection may have a schema for: where a member that is reached says `x-judges`, with
        the pointer of the value that goes there."""
        for _, connection, what, place in self._reached():
            target = next((layer["x-judges"] for layer in place.layers if isinstance(layer.get("x-judges"), str)), None)
            if target is not None:
                yield Judged(target, connection, what, self.value.get(target.removeprefix("/"), ABSENT))

    def _reached(self) -> Iterator[tuple[str, str, str, Place]]:
        """Yields (member, connection name, what is reached, place of the member)."""
        root, value = Place.of(self.schema), self.value
        for name, item in value.items() if isinstance(value, Mapping) else ():
            place = root.member(name)
            if place is not None and place.options.get("from") in {"collections", "addresses", "subjects"} and isinstance(item, str):
                connection = value.get(str(place.options.get("depends", {}).get("connection", "")).removeprefix("/"))
                if isinstance(connection, str):
                    yield name, connection, item, place


def _sites(place: Place, value: Any, stored: Any, path: Path) -> Iterator[Site]:
    kind = place.connection_kind
    if place.secret or kind is not None:
        yield Site(path, value, stored, place.secret, kind)
    if place.secret:
        return
    if isinstance(value, Mapping):
        members = stored if isinstance(stored, Mapping) else {}
        for key, item in value.items():
            member = place.member(key)
            if member is not None:
                yield from _sites(member, item, members.get(key), (*path, key))
    elif isinstance(value, list):
        entries = stored if isinstance(stored, list) else []
        for index, item in enumerate(value):
            entry = place.entry(index)
            if entry is not None:
                yield from _sites(entry, item, entries[index] if index < len(entries) else None, (*path, index))


def _with(value: Any, changed: Mapping[Path, Any]) -> Any:
    """Returns `value` with the changed items at their paths. No path is inside another."""
    if () in changed:
        return changed[()]
    inner: dict[str | int, dict[Path, Any]] = {}
    for (first, *rest), item in changed.items():
        inner.setdefault(first, {})[tuple(rest)] = item
    copied: Any = list(value) if isinstance(value, list) else dict(value)
    for key, deeper in inner.items():
        copied[key] = _with(copied[key], deeper)
    return copied

"""What parameters name: connections, what lies behind them, and secrets that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.connections.vault import walk
from app.validation import pointer
from app.validation.places import Place
from app.validation.secret import secret_name

DEEPEST_PATH = 10  # levels of members: a schema may refer to itself


def connection_references(schema: Any, value: Any) -> Iterator[tuple[str, str, str]]:
    """Each (JSON Pointer, connection name, kind) in `value`, where `schema` says `x-options: {from: connections, kind: …}`."""
    for path, place, item in _walk(Place.of(schema), value, ()):
        if place.options.get("from") == "connections" and isinstance(item, str):
            yield pointer(path), item, str(place.options["kind"])


def connection_paths(schema: Mapping[str, Any]) -> list[str]:
    """Where values of `schema` name connections, as MongoDB has it: the members' names with dots between, lists left out."""
    return sorted(set(_paths(Place.of(schema), "", 0)))


def _paths(place: Place, path: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST_PATH:
        return
    for name in place.names():
        member = place.member(name)
        here = f"{path}.{name}" if path else name
        for one in [member, *(member.entries() if member else ())]:
            if one is None:
                continue
            if one.options.get("from") == "connections":
                yield here
            if one.secret:
                yield f"{here}.name"  # where it is named instead of held
            yield from _paths(one, here, depth + 1)


def reached_places(schema: Any, value: Any) -> Iterator[tuple[str, str, str]]:
    """Each (JSON Pointer, connection name, what is reached) in the top level of `value`, where `schema` says `x-options: {from:
    collections, addresses or subjects, depends: {connection: …}}`."""
    root = Place.of(schema)
    for name, item in value.items() if isinstance(value, Mapping) else ():
        place = root.member(name)
        if place is not None and place.options.get("from") in {"collections", "addresses", "subjects"} and isinstance(item, str):
            connection = value.get(str(place.options.get("depends", {}).get("connection", "")).removeprefix("/"))
            if isinstance(connection, str):
                yield pointer((name,)), connection, item


def secret_places(schema: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Each (JSON Pointer, value) in `value` where `schema` has a secret, in whichever branch."""
    return ((pointer(path), item) for path, place, item in _walk(Place.of(schema), value, ()) if place.secret)


def _walk(place: Place, value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Place, Any]]:
    """Each place of `value` that the schema describes, with what is there; a secret is one whole."""
    yield path, place, value
    if place.secret:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            member = place.member(key)
            if member is not None:
                yield from _walk(member, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            entry = place.entry(index)
            if entry is not None:
                yield from _walk(entry, item, (*path, index))


def named_secrets(schema: Any, value: Any) -> Iterator[tuple[str, str]]:
    """Each (JSON Pointer, name) in `value` where `schema` has a secret and a name is given instead."""
    for place, found in secret_places(schema, value):
        name = secret_name(found)
        if name is not None:
            yield place, name


def with_secrets(schema: Mapping[str, Any], value: Any, secrets: Mapping[str, str]) -> Any:
    """`value` with the secret itself in each place that names one of `secrets`."""

    def filled(place: Place, item: Any, _stored: Any) -> Any:
        if place.secret:
            return secrets.get(secret_name(item) or "", item)
        return walk(place, item, None, filled)

    return filled(Place.of(schema), value, None)

"""Reads from a schema alone where parameters may name connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.validation.places import Place

DEEPEST_PATH = 10  # levels of members: a schema may refer to itself


def connection_paths(schema: Mapping[str, Any]) -> list[str]:
    """Returns the paths at which values of `schema` name connections, as MongoDB writes paths: names of members joined by dots, without
    the indexes of lists."""
    return sorted(set(_paths(Place.of(schema), "", 0)))


def _paths(place: Place, path: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST_PATH:
        return
    for name in place.names():
        member = place.member(name)
        here = f"{path}.{name}" if path else name
        for inner in [member, *member.entries()] if member is not None else ():
            if inner.connection_kind is not None:
                yield here
            if inner.secret:
                yield f"{here}.name"  # a secret may be named here instead of being held
            yield from _paths(inner, here, depth + 1)

"""Finds the places of parameters that must name a connection and name none. All functions are pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobtemplates.entry import TemplateVersion
from app.validation.places import Place
from app.validation.pointer import keys_of


def missing_connections(entry: TemplateVersion, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Returns, by the JSON Pointer of each place that must name a connection and is left out, the kind of that connection."""
    missing = {}
    for error in entry.validator.errors(parameters):
        kind = _kind_at(entry, parameters, error.pointer)
        if kind:
            missing[error.pointer] = kind
    return missing


def put(parameters: dict[str, Any], pointer: str, value: str) -> None:
    """Sets a member of an object that is there. The objects on the way to it are copied."""
    *path, last = keys_of(pointer)
    at = parameters
    for key in path:
        at[key] = dict(at[key])
        at = at[key]
    at[last] = value


def _kind_at(entry: TemplateVersion, parameters: Mapping[str, Any], pointer: str) -> str | None:
    """Returns the kind of the connection that a member is to name; None if the member is there, or is not a member of an object."""
    place: Place | None = Place.of(entry.parameters_schema)
    at: Any = parameters
    *path, last = keys_of(pointer) or [""]
    for key in path:
        if not isinstance(at, Mapping) or key not in at or place is None:
            return None
        place, at = place.member(key), at[key]
    if not isinstance(at, Mapping) or last in at or place is None:
        return None
    member = place.member(last)
    return member.connection_kind if member is not None else None

"""The declaration of a kind of connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from templates_lib.base import Problem
from templates_lib.own import Own

# Every kind has this member in its settings.
TEMPLATES: dict[str, Any] = {
    "type": "array",
    "title": "Allowed templates",
    "x-destination": False,
    "description": "Only jobs of these templates can use the connection. Leave empty to allow every template.",
    "uniqueItems": True,
    "maxItems": 100,
    "items": {"type": "string", "title": "Template", "minLength": 1, "maxLength": 100, "x-options": {"from": "templates"}},
}


PROBE_SECONDS = 10.0  # the time limit of a probe where nobody waits for it


class Probe(Protocol):
    """Opens a connection once. Returns a sentence about the answer, or raises an exception about the failure. `seconds` is the time limit
    of each step."""

    def __call__(self, settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str: ...


@dataclass(frozen=True, slots=True)
class ConnectionKind:
    """A kind of connection.

    `settings_schema` describes the form of the settings and validates them; members with `writeOnly` are secrets.
    `problems(settings, own)` returns problems that the schema cannot find, in settings that satisfy it, at pointers into them. It opens
    nothing.
    `place(settings)` names the server or folder for messages, without any secret.
    `probe(settings, own, seconds)` opens the connection once; see Probe. Like a run, it refuses what belongs to Jobwright itself (`own`).
    `reaches(settings, what)` returns whether jobs may use a collection behind the connection, or call an address.
    `explore(settings, what, inside, own)` returns the suggestions for a form: the `collections` of a database, the `fields` of a collection,
    or the `addresses` of a service's hosts.
    `schemas(settings)` returns the JSON Schemas in the settings, each with its pointer into them; the service checks them.
    `schema_for(settings, what)` returns the JSON Schema of what jobs send to `what`, None if there is none.
    `folders(settings)` returns the folders of this machine that jobs read and write through the connection.
    """

    type: str
    name: str
    icon: str
    description: str
    settings_schema: Mapping[str, Any]
    place: Callable[[Mapping[str, Any]], str]
    probe: Probe
    explore: Callable[[Mapping[str, Any], str, str, Own], list[str]] | None = None
    problems: Callable[[Mapping[str, Any], Own], Iterable[Problem]] = lambda settings, own: ()
    folders: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda settings: ()
    reaches: Callable[[Mapping[str, Any], str], bool] = lambda settings, what: True
    schemas: Callable[[Mapping[str, Any]], Iterable[tuple[str, Any]]] = lambda settings: ()
    schema_for: Callable[[Mapping[str, Any], str], Any] = lambda settings, what: None

"""The declaration of a kind of connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from templates_lib.base import Problem
from templates_lib.own import Own

# Every kind has this member in its settings.
TEMPLATES: dict[str, Any] = {
    "type": "array",
    "title": "Only for these templates",
    "x-destination": False,
    "description": "Jobs of others cannot use it. None: jobs of any template.",
    "uniqueItems": True,
    "maxItems": 100,
    "items": {"type": "string", "title": "Template", "minLength": 1, "maxLength": 100, "x-options": {"from": "templates"}},
}


@dataclass(frozen=True, slots=True)
class ConnectionKind:
    """A kind of connection.

    `settings_schema` describes the form of the settings and validates them; members with `writeOnly` are secrets.
    `problems(settings, own)` returns problems that the schema cannot find, in settings that satisfy it, at pointers into them. It opens
    nothing.
    `probe(settings, own)` opens the connection once. It returns a sentence about the answer, or raises an exception about the failure.
    Like a run, it refuses what belongs to Jobwright itself (`own`).
    `reaches(settings, what)` returns whether jobs may use a collection behind the connection, or call an address.
    `explore(settings, what, inside, own)` returns the suggestions for a form: the `collections` of a database, the `fields` of a collection,
    or the `addresses` of a service's hosts.
    `folders(settings)` returns the folders of this machine that jobs read and write through the connection.
    """

    type: str
    name: str
    icon: str
    description: str
    settings_schema: Mapping[str, Any]
    probe: Callable[[Mapping[str, Any], Own], str]
    explore: Callable[[Mapping[str, Any], str, str, Own], list[str]] | None = None
    problems: Callable[[Mapping[str, Any], Own], Iterable[Problem]] = lambda settings, own: ()
    folders: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda settings: ()
    reaches: Callable[[Mapping[str, Any], str], bool] = lambda settings, what: True

"""What a kind of connection declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from templates_lib.base import Problem
from templates_lib.own import Own

# A member of the settings of every kind.
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
    """`settings_schema` draws and judges its form; members with `writeOnly` are secrets. `probe` opens it once.

    `problems(settings, own)` are what the schema cannot say about settings that satisfy it, at pointers into them; it opens nothing.
    `probe(settings, own)` returns a sentence about what answered, or raises an exception that says what did not. Like runs, it refuses
    what belongs to Jobwright itself (`own`).
    `reaches(settings, what)` says whether jobs may use a collection behind it, or call an address.
    `explore(settings, what, inside, own)` lists what forms suggest: for a database its `collections`, or the `fields` of one; for a service
    the `addresses` of its hosts. `folders(settings)` are those on this machine that jobs read and write.
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

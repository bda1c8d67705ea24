"""Where a secret goes: one that is only kept must not be sent elsewhere by who does not know it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.connections.inventory import Inventory
from app.connections.vault import is_sealed
from app.errors import FieldError
from app.validation.places import Place
from app.validation.secret import MASK
from templates_lib.messages import say

# A member that says `x-destination: false` does not decide where the secrets beside it go. Every other one does: a kind that says nothing
# is asked too often rather than too seldom.
KEYWORD = "x-destination"
MOST_NAMED = 3


def kept_elsewhere(inventory: Inventory) -> list[FieldError]:
    """Returns an error for each secret that a value only masks and that is stored, if anything has changed that may decide where it is
    sent. A secret that is named and kept elsewhere may be used by whoever may name it."""
    kept = [site.pointer for site in inventory.secrets() if site.value == MASK and is_sealed(site.stored)]
    changed = _changed(inventory.schema, inventory.value, inventory.stored) if kept else []
    if not changed:
        return []
    words = say(
        "must be entered again, because {fields} changed: a stored secret is never sent to another destination", fields=", ".join(changed)
    )
    return [FieldError(pointer, words) for pointer in kept]


def _changed(schema: Mapping[str, Any], value: Any, stored: Any) -> list[str]:
    """The titles of the top-level members that differ, apart from secrets and what is declared harmless."""
    root = Place.of(schema)
    now, before = _bare(root, value), _bare(root, stored)
    if not isinstance(now, Mapping) or not isinstance(before, Mapping):
        return []
    names = [name for name in {**before, **now} if name not in now or name not in before or now[name] != before[name]]
    titles = [_title(root.member(name), name) for name in names]
    return titles[:MOST_NAMED] + (["…"] if len(titles) > MOST_NAMED else [])


def _bare(place: Place | None, value: Any) -> Any:
    """`value` without its secrets, without what is declared harmless, and without what it would be if it were absent."""
    if place is None:
        return value
    if isinstance(value, Mapping):
        return dict(_bare_members(place, value))
    if isinstance(value, list):
        return [_bare(place.entry(index), item) for index, item in enumerate(value)]
    return value


def _bare_members(place: Place, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        member = place.member(name)
        if member is not None and (member.secret or member.says(KEYWORD, False) or _is_default(member, item)):
            continue
        yield name, _bare(member, item)


def _is_default(place: Place, value: Any) -> bool:
    """Whether it is what an absent value stands for: of several defaults, in branches, none is."""
    defaults = [layer["default"] for layer in place.layers if "default" in layer]
    return len(defaults) == 1 and bool(defaults[0] == value)


def _title(place: Place | None, name: str) -> str:
    titles = (layer["title"] for layer in place.layers if isinstance(layer.get("title"), str)) if place is not None else iter(())
    return next(titles, name)

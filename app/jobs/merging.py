"""Merging the changes that two people made to the same job."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.audit.model import field_diff
from app.validation.pointer import keys_of

Body = Mapping[str, Any]
GONE = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that at least one of two people changed, by its pointer. `theirs` and `mine` are rows {field, before?, after?}; None for a
    person who did not change it."""

    pointer: str
    theirs: Mapping[str, Any] | None
    mine: Mapping[str, Any] | None

    @property
    def clashes(self) -> bool:
        """Whether both changed it, to different values."""
        return self.theirs is not None and self.mine is not None and self.theirs.get("after", GONE) != self.mine.get("after", GONE)


def changes(base: Body, theirs: Body, mine: Body) -> list[Change]:
    """Returns what two bodies changed of the body that both began with, by pointer. If one changed an object and the other only a member of
    it, the object is the field that clashes."""
    by_them = {row["field"]: row for row in field_diff(base, theirs)}
    by_me = {row["field"]: row for row in field_diff(base, mine)}
    for pointer in list(by_them):
        for other in list(by_me):
            if other != pointer and (other.startswith(f"{pointer}/") or pointer.startswith(f"{other}/")):
                whole = min(pointer, other, key=len)
                by_them[whole], by_me[whole] = _row(whole, base, theirs), _row(whole, base, mine)
    pointers = sorted(by_them.keys() | by_me.keys())
    outer = [pointer for pointer in pointers if not any(pointer.startswith(f"{other}/") for other in pointers)]
    return [Change(pointer, by_them.get(pointer), by_me.get(pointer)) for pointer in outer]


def merge(base: Body, theirs: Body, mine: Body, take_theirs: Collection[str]) -> dict[str, Any]:
    """Returns my body with what only they changed, and with their value for the clashes at the pointers `take_theirs`."""
    merged: dict[str, Any] = copy.deepcopy(dict(mine))
    for change in changes(base, theirs, mine):
        if change.theirs is not None and (change.mine is None or (change.clashes and change.pointer in take_theirs)):
            _put(merged, change.pointer, change.theirs.get("after", GONE))
    return merged


def _row(pointer: str, base: Body, after: Body) -> dict[str, Any]:
    old, new = _at(base, pointer), _at(after, pointer)
    return {"field": pointer, **({} if old is GONE else {"before": old}), **({} if new is GONE else {"after": new})}


def _at(body: Any, pointer: str) -> Any:
    for key in keys_of(pointer):
        body = body.get(key, GONE) if isinstance(body, Mapping) else GONE
    return body


def _put(body: dict[str, Any], pointer: str, value: Any) -> None:
    *path, last = keys_of(pointer)
    for key in path:
        body = body.setdefault(key, {})
    if value is GONE:
        body.pop(last, None)
    else:
        body[last] = copy.deepcopy(value)

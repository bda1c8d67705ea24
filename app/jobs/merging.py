"""Two people changed the same job: what each changed, and one definition out of both."""

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
    """One field that somebody changed, by its pointer. `mine` or `theirs` is None where only the other did; `clashes` where both did, and
    not alike. Each is a row {field, before?, after?}."""

    pointer: str
    theirs: Mapping[str, Any] | None
    mine: Mapping[str, Any] | None

    @property
    def clashes(self) -> bool:
        return self.theirs is not None and self.mine is not None and self.theirs.get("after", GONE) != self.mine.get("after", GONE)


def changes(base: Body, theirs: Body, mine: Body) -> list[Change]:
    """What two bodies changed of the one that both began with, by pointer. Where one changed a whole whose part the other changed, the
    whole is what clashes."""
    by_them = {row["field"]: row for row in field_diff(base, theirs)}
    by_me = {row["field"]: row for row in field_diff(base, mine)}
    for pointer in list(by_them):
        for other in list(by_me):
            if other != pointer and (other.startswith(f"{pointer}/") or pointer.startswith(f"{other}/")):
                whole = min(pointer, other, key=len)
                by_them[whole], by_me[whole] = _row(whole, base, theirs), _row(whole, base, mine)
    pointers = sorted(by_them.keys() | by_me.keys())
    outer = [one for one in pointers if not any(one.startswith(f"{other}/") for other in pointers)]
    return [Change(one, by_them.get(one), by_me.get(one)) for one in outer]


def merge(base: Body, theirs: Body, mine: Body, take_theirs: Collection[str]) -> dict[str, Any]:
    """My body with what only they changed, and with theirs of what clashes at the pointers `take_theirs`."""
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

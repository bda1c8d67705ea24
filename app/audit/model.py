"""Who did what: the actor of a change, and the event that records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.validation.pointer import escape

Via = Literal["web", "api", "cli", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Someone who may do things. `role` is `super_admin`, `admin` or `user`; `address` is where the request came from.

    `scopes` narrow a token (`None`: all that the role may); `correlation_id` ties log lines, audit and answer together. `approved_by` is
    the super-admin who approved what is being done in this actor's name. `groups` keeps the actor to the jobs of these groups (`None`:
    to none).
    """

    id: str
    email: str
    role: str
    via: Via
    address: str = ""
    correlation_id: str = ""
    scopes: frozenset[str] | None = None
    approved_by: str | None = None
    groups: frozenset[str] | None = None


SYSTEM = Actor(id="system", email="system", role="super_admin", via="system")


def field_diff(before: Mapping[str, Any], after: Mapping[str, Any], *, prefix: str = "") -> list[dict[str, Any]]:
    """What changed, a row a leaf: `{"field": "/schedule/expression", "before": …, "after": …}`; a missing side is left out."""
    rows: list[dict[str, Any]] = []
    for key in sorted(before.keys() | after.keys()):
        pointer = f"{prefix}/{escape(key)}"
        old, new = before.get(key), after.get(key)
        if old == new and (key in before) == (key in after):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            rows += field_diff(old, new, prefix=pointer)
            continue
        row: dict[str, Any] = {"field": pointer}
        if key in before:
            row["before"] = old
        if key in after:
            row["after"] = new
        rows.append(row)
    return rows

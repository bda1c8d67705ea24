"""Who did what: the actor of a change, the difference that a change makes, and the filter of a list of audit events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.validation.pointer import escape

Via = Literal["web", "api", "cli", "webhook", "nats", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person or program that acts.

    `role` is `super_admin`, `admin` or `user`. `address` is the network address of the request. `scopes` are the scopes of a token; None
    means everything that the role may do. `correlation_id` ties log lines, audit events, executions and the answer of one request together;
    `traceparent` is the span of the request in a trace (W3C), or empty.
    `approved_by` is the e-mail address of the super-admin who approved this action. `groups` are the groups to whose jobs the actor is
    restricted; None means that there is no restriction. `is_service` says that the account belongs to a program; only such an actor is
    believed when it names the person for whom it acts. `on_behalf_of` is that name, which gives no rights. `inbound` names the inbound
    address whose request acts with the rights of this account.
    """

    id: str
    email: str
    role: str
    via: Via
    address: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    scopes: frozenset[str] | None = None
    approved_by: str | None = None
    groups: frozenset[str] | None = None
    is_service: bool = False
    on_behalf_of: str = ""
    inbound: str = ""

    @property
    def name(self) -> str:
        """The name that records of changes and runs get: the person for whom a service acts, the address that a webhook came to, else the
        e-mail address of the account."""
        return self.on_behalf_of or self.inbound or self.email


SYSTEM = Actor(id="system", email="system", role="super_admin", via="system")


@dataclass(frozen=True, slots=True)
class Target:
    """What an action changes: its id, its name, and the difference (`field_diff`)."""

    id: str
    name: str
    diff: Sequence[dict[str, Any]] = ()


def field_diff(before: Mapping[str, Any], after: Mapping[str, Any], *, prefix: str = "") -> list[dict[str, Any]]:
    """Returns one row for each changed value: `{"field": "/schedule/expression", "before": …, "after": …}`.

    `field` is a JSON pointer. An added value has no `before`, a removed one no `after`.
    """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """The conditions of a list of audit events. An empty field matches every event.

    `actor` is a part of an e-mail address, in any case. `action` matches itself and all actions below it: `job` matches `job.create`.
    `kind` and `target_id` name the changed object. `begin` is inclusive, `end` is exclusive.
    """

    actor: str = ""
    action: str = ""
    kind: str = ""
    target_id: str = ""
    outcome: str = ""
    correlation_id: str = ""
    begin: datetime | None = None
    end: datetime | None = None

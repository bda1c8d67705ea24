"""People, roles, tokens and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.audit.model import Actor
from app.errors import Forbidden


class Role(StrEnum):
    """What someone may do (design.md, 6)."""

    USER = "user"  # nothing here
    ADMIN = "admin"  # sees all; creates, edits, runs and toggles jobs of templates that destroy nothing
    SUPER_ADMIN = "super_admin"  # everything


class Scope(StrEnum):
    """What a token may do, within its owner's role."""

    READ = "read"  # look at jobs, templates, executions, logs
    WRITE = "write"  # create, change, enable, disable and delete jobs
    RUN = "run"  # run, cancel and retry
    ADMIN = "admin"  # connections and whatever else is a super-admin's


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A local account. `password_hash` is argon2id in PHC form."""

    id: str
    email: str
    name: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False


def require(actor: Actor, scope: Scope, *, role: Role = Role.ADMIN) -> None:
    """Pass where `actor` has at least `role` and, for a token, `scope`. Raises Forbidden, naming what lacks."""
    order = list(Role)
    if order.index(Role(actor.role)) < order.index(role):
        raise Forbidden(f"This needs the role {role.value}; you are {actor.role}")
    if actor.scopes is not None and scope not in actor.scopes:
        raise Forbidden(f"This token lacks the scope {scope.value!r}")

"""Turns an account into the actor of a request."""

from __future__ import annotations

from typing import Any

from app.accounts.model import AccountKind, Role, User
from app.audit.model import Actor, Via


def actor_of(user: User, *, via: Via, address: str = "", **more: Any) -> Actor:
    """Returns the actor for `user`, with the current rights of the account. `more` are further fields of Actor."""
    groups = frozenset(user.groups) if user.groups and user.role is not Role.SUPER_ADMIN else None
    is_service = user.kind is AccountKind.SERVICE
    return Actor(id=user.id, email=user.email, role=user.role.value, via=via, address=address, groups=groups, is_service=is_service, **more)

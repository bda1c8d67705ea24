"""An account as someone who does things."""

from __future__ import annotations

from typing import Any

from app.accounts.model import Role, User
from app.audit.model import Actor, Via


def actor_of(user: User, *, via: Via, address: str = "", **more: Any) -> Actor:
    """`user` at one of the faces, with the rights that the account has now; `more` are further fields of Actor."""
    kept = frozenset(user.groups) if user.groups and user.role is not Role.SUPER_ADMIN else None
    return Actor(id=user.id, email=user.email, role=user.role.value, via=via, address=address, groups=kept, **more)

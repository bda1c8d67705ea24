"""The tokens with which the page of the REST documentation sends its requests."""

from __future__ import annotations

from datetime import timedelta

from app.accounts.model import Role, Scope
from app.accounts.permissions import May, require
from app.accounts.tokens import SHOWN
from app.mongo import Document
from web.current import actor, services

LIFE = timedelta(hours=1)
NAME = "REST documentation"


def create() -> str:
    """Creates a token of the actor, which is valid for LIFE or until the actor signs out, and revokes those before it. Returns its text."""
    require(actor(), May.OWN_ACCOUNT)
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN or actor().role == Role.SUPER_ADMIN]
    text = services().tokens.create(actor(), email=actor().email, name=NAME, scopes=scopes, expires_at=services().clock.now() + LIFE)
    rows = _valid()
    made = next((row["created_at"] for row in rows if row["prefix"] == text[:SHOWN]), None)
    # A newer one belongs to a page that was opened at the same time.
    _revoke([row for row in rows if made is not None and row["created_at"] <= made and row["prefix"] != text[:SHOWN]])
    return text


def revoke_all() -> None:
    """Revokes all such tokens of the actor."""
    _revoke(_valid())


def _valid() -> list[Document]:
    """Returns those that are not revoked. A person may give a token the same name, but then it lives for days."""
    return [
        row
        for row in services().tokens.all(actor(), actor().id)
        if row["name"] == NAME
        and row["revoked_at"] is None
        and row["expires_at"] is not None
        and row["expires_at"] - row["created_at"] <= LIFE + timedelta(minutes=1)
    ]


def _revoke(rows: list[Document]) -> None:
    for row in rows:
        services().tokens.revoke(actor(), row["_id"])

"""/api/docs: the description of the REST interface, where a person who is signed in may also try it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from flask import Blueprint, render_template

from app.accounts.model import Role, Scope
from app.accounts.permissions import May, require
from app.errors import NotSignedIn
from web.current import actor, services
from web.views.signin import require_sign_in

blueprint = Blueprint("api_docs_pages", __name__)

LIFE = timedelta(hours=1)
NAME = "REST documentation"  # of the tokens that the page gets


@blueprint.get("/api/docs")
def show() -> str:
    """Shows the description. It needs no sign-in."""
    with suppress(NotSignedIn):
        require_sign_in()
    return render_template("api_docs.html")


@blueprint.post("/account/docs-token")
def token() -> dict[str, Any]:
    """Creates a token for the page, which lives for LIFE, and revokes the one before it. Returns its text, which only the page keeps."""
    require_sign_in()
    require(actor(), May.OWN_ACCOUNT)
    tokens = services().tokens
    for row in tokens.all(actor(), actor().id):
        if row["name"] == NAME and row["revoked_at"] is None:
            tokens.revoke(actor(), row["_id"])
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN or actor().role == Role.SUPER_ADMIN]
    text = tokens.create(actor(), email=actor().email, name=NAME, scopes=scopes, expires_at=services().clock.now() + LIFE)
    return {"token": text}

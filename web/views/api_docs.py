"""/api/docs: the description of the REST interface, where a person who is signed in may also try it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, render_template

from app.errors import NotSignedIn
from web import docs_tokens
from web.views.signin import require_sign_in

blueprint = Blueprint("api_docs_pages", __name__)


@blueprint.get("/api/docs")
def show() -> str:
    """Shows the description. It needs no sign-in."""
    with suppress(NotSignedIn):
        require_sign_in()
    return render_template("api_docs.html")


@blueprint.post("/account/docs-token")
def token() -> dict[str, Any]:
    """Creates a token for the page, and revokes those before it. Returns its text, which only the page keeps."""
    require_sign_in()
    return {"token": docs_tokens.create()}

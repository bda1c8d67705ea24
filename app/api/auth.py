"""Who sends a request: `Authorization: Bearer <token>` (RFC 6750)."""

from __future__ import annotations

from dataclasses import replace

from flask import Request, g

from app.api.current import services
from app.correlation import current_id
from app.errors import NotSignedIn


def authenticate(request: Request) -> None:
    """Sets the actor of the request from its token. Raises NotSignedIn; LimitReached after too many requests."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    address = request.remote_addr or ""
    try:
        if scheme.lower() != "bearer" or not token.strip():
            raise NotSignedIn("Send a token: Authorization: Bearer jw_… (jobwright token create)")
        actor = services().tokens.by_token(token.strip(), address=address)
    except NotSignedIn:
        services().rates.count_stranger(address)
        raise
    services().rates.count_request(actor.id)
    g.actor = replace(actor, correlation_id=current_id())

"""Who sends a request: `Authorization: Bearer <token>` (RFC 6750), or a command on the machine of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Request, g, request

from app.api.current import services
from app.audit.model import Actor
from app.correlation import current_id
from app.errors import JobwrightError, NotSignedIn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

# Where `acting_as` names the actor in the environment of WSGI. No header of a request can be there: those are HTTP_….
LOCAL_ACTOR = "jobwright.actor"


def acting_as(actor: Actor, application: WSGIApplication) -> WSGIApplication:
    """Returns the application for calls in this process, in which every request comes from `actor`, without a token."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return application({**environ, LOCAL_ACTOR: actor}, start_response)

    return call


def authenticate(request: Request) -> None:
    """Sets the actor of the request from its token. Raises NotSignedIn; LimitReached after too many requests."""
    local = request.environ.get(LOCAL_ACTOR)
    if local is not None:
        g.actor = replace(local, correlation_id=current_id())
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    address = request.remote_addr or ""
    try:
        if scheme.lower() != "bearer" or not token.strip():
            raise NotSignedIn("Send a token in the header `Authorization: Bearer jw_…`. `jobwright token create` makes one.")
        actor = services().tokens.by_token(token.strip(), address=address)
    except NotSignedIn:
        services().rates.count_stranger(address)
        raise
    services().rates.count_request(actor.id)
    g.actor = replace(actor, correlation_id=current_id())


def has_valid_token() -> bool:
    """Returns whether the request at hand has a valid token, where none is needed."""
    if "Authorization" not in request.headers:
        return False
    try:
        authenticate(request)
    except JobwrightError:
        return False
    return True

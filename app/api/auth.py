"""Who sends a request: `Authorization: Bearer <token>` (RFC 6750), or a command on the machine of the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Request, current_app, g, request, session

from app.api.current import services
from app.audit.model import Actor, Via
from app.clock import Clock
from app.correlation import current_id, current_traceparent
from app.errors import JobwrightError, NotSignedIn
from app.services import SESSION_SECRET

CHECK_SECONDS = 5.0

View = Callable[..., Any]

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

# Where `acting_as` names the actor in the environment of WSGI. No header of a request can be there: those are HTTP_….
LOCAL_ACTOR = "jobwright.actor"
CAME_BY = "jobwright.via"  # likewise, by which way the requests of `coming_by` came


def acting_as(actor: Actor, application: WSGIApplication) -> WSGIApplication:
    """Returns the application for calls in this process, in which every request comes from `actor`, without a token."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return application({**environ, LOCAL_ACTOR: actor}, start_response)

    return call


def coming_by(via: Via, application: WSGIApplication) -> WSGIApplication:
    """Returns the application for calls in this process that pass on what came by another way than HTTP; each still needs a token."""

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return application({**environ, CAME_BY: via}, start_response)

    return call


def authenticate(request: Request) -> None:
    """Sets the actor of the request from its token, or from its session where the view lets that be (`by_session`).

    Raises NotSignedIn; LimitReached after too many requests.
    """
    local = request.environ.get(LOCAL_ACTOR)
    if local is not None:
        g.actor = replace(local, correlation_id=current_id(), traceparent=current_traceparent())
        return
    address = request.remote_addr or ""
    try:
        actor = _proof(request)()
    except NotSignedIn:
        services().rates.count_stranger(address)
        raise
    services().rates.count_request(actor.id)
    g.actor = replace(actor, correlation_id=current_id(), traceparent=current_traceparent())


def by_session(view: View) -> View:
    """Decorates a view that changes nothing: a browser may also ask for it with the session of a person who has signed in."""
    view.by_session = True  # type: ignore[attr-defined]  # kept by the decorators above it
    return view


class Caller:
    """Who sent a request that goes on for a while. A call returns the actor as it is now, and raises NotSignedIn once the token is revoked,
    the session has ended or the account is closed. It asks the database at most every CHECK_SECONDS; `known` is what it said last."""

    def __init__(self, proof: Callable[[], Actor], actor: Actor, clock: Clock) -> None:
        self._proof, self.known, self._clock = proof, actor, clock
        self._checked = clock.monotonic()

    def __call__(self) -> Actor:
        if self._clock.monotonic() - self._checked >= CHECK_SECONDS:
            self.known = replace(self._proof(), correlation_id=self.known.correlation_id, traceparent=self.known.traceparent)
            self._checked = self._clock.monotonic()
        return self.known


def caller_of(request: Request) -> Caller:
    """Returns who sent a request that has been authenticated."""
    return Caller(_proof(request), g.actor, services().clock)


def _proof(request: Request) -> Callable[[], Actor]:
    """Returns a function that finds the actor of a request, also after the request. Raises NotSignedIn, as that function does."""
    local: Actor | None = request.environ.get(LOCAL_ACTOR)
    if local is not None:
        return lambda: local
    current, address = services(), request.remote_addr or ""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        via: Via = request.environ.get(CAME_BY, "api")
        return lambda: replace(current.tokens.by_token(token.strip(), address=address), via=via)
    secret = session.get(SESSION_SECRET)
    if not scheme and isinstance(secret, str) and getattr(current_app.view_functions.get(request.endpoint or ""), "by_session", False):
        return lambda: current.signin.by_session(secret, address=address)
    raise NotSignedIn("Send a token in the header `Authorization: Bearer jw_…`. `jobwright token create` makes one.")


def has_valid_token() -> bool:
    """Returns whether the request at hand has a valid token, where none is needed."""
    if "Authorization" not in request.headers:
        return False
    try:
        authenticate(request)
    except JobwrightError:
        return False
    return True

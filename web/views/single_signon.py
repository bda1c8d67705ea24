"""The way to the provider of single sign-on and back (OpenID Connect Core 1.0, 3.1: authorization code, with PKCE, state and nonce)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, request, session, url_for

from app.config import Settings
from app.errors import NotFound, NotSignedIn
from app.events import get_logger
from templates_lib.messages import say
from web.current import services
from web.views.signin import admit, answer_refused, safe_target, visitor

log = get_logger(__name__)
blueprint = Blueprint("single_signon_pages", __name__)

NAME = "provider"
CLIENT = "jobwright.oidc"  # in the application's extensions
STATE = f"_state_{NAME}_"  # what the library keeps in the session of a way that was begun
TARGET = "sso_next"  # where one wanted to go, in the session while one is away
TIMEOUT_SECONDS = 10


def _client(settings: Settings) -> Any:
    """The one of this application: it keeps what it has learnt of the provider."""
    kept = current_app.extensions.get(CLIENT)
    if kept is not None:
        return kept
    # Only where single sign-on is set does anybody wait for these imports.
    from authlib.integrations.flask_client import OAuth  # noqa: PLC0415

    current_app.extensions[CLIENT] = made = OAuth(current_app).register(
        NAME,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret or None,
        server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": settings.oidc_scopes,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
            **({} if settings.oidc_client_secret else {"token_endpoint_auth_method": "none"}),
        },
    )
    return made


@blueprint.get("/sign-in/provider")
def begin() -> Any:
    """Off to the provider."""
    client = _configured()
    services().rates.count_stranger(request.remote_addr or "")
    for key in [key for key in session if key.startswith(STATE)]:
        del session[key]  # of ways that were not gone to their end: a cookie has no room for many
    session[TARGET] = safe_target(request.args.get("next"))
    base = services().settings.public_url.rstrip("/")
    back = f"{base}{url_for('.back')}" if base else url_for(".back", _external=True)
    try:
        _check_issuer(client)
        return client.authorize_redirect(back)
    except Exception as error:  # whatever a provider that is away or broken makes the library raise
        return _failed(error)


@blueprint.get("/sign-in/provider/back")
def back() -> Any:
    """Back from the provider, with a code for the token that says who it is."""
    client, settings = _configured(), services().settings
    services().rates.count_stranger(request.remote_addr or "")
    target = safe_target(session.get(TARGET))
    if request.args.get("error"):
        return answer_refused(NotSignedIn("The sign-in provider refused the sign-in"), target)
    try:
        _check_issuer(client)
        token = client.authorize_access_token(
            claims_options={
                "iss": {"essential": True, "value": settings.oidc_issuer},
                "aud": {"essential": True, "value": settings.oidc_client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "nonce": {"essential": True},
            }
        )
        claims = _all_claims(client, token, settings)
    except Exception as error:  # the same
        return _failed(error)
    try:
        signed = services().single_signon.admit(claims, visitor())
    except NotSignedIn as error:
        return answer_refused(error, target)
    return admit(signed, target)


def _configured() -> Any:
    settings = services().settings
    if not settings.oidc_issuer:
        raise NotFound("page", request.path)
    return _client(settings)


def _check_issuer(client: Any) -> None:
    """Raises ValueError where what stands at the provider's address is another's description (OpenID Connect Discovery 1.0, 4.3)."""
    issuer, wanted = client.load_server_metadata().get("issuer"), services().settings.oidc_issuer
    if issuer != wanted:
        raise ValueError(f"it calls itself {issuer!r}, JOBWRIGHT_OIDC_ISSUER is {wanted!r}")


def _all_claims(client: Any, token: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The claims of the identity token, with those of the provider's own page about the person where the role is not among them.

    Raises ValueError where there is no identity token, or the page is about somebody else (5.3.2).
    """
    if "userinfo" not in token:
        raise ValueError("no id_token")
    claims = dict(token["userinfo"])
    if settings.oidc_role_claim.partition(".")[0] in claims and "email" in claims:
        return claims
    if client.load_server_metadata().get("userinfo_endpoint"):
        more = dict(client.userinfo(token=token))
        if more.get("sub") != claims["sub"]:
            raise ValueError("the userinfo is another's")
        claims = {**more, **claims}
    return claims


def _failed(error: Exception) -> Any:
    """What the provider sent cannot be believed, or it sent nothing: the person is told so, the log has the reason."""
    log.warning("signin.provider_failed", reason=f"{type(error).__name__}: {error}"[:500])
    words = say("The sign-in with {provider} failed. Try again", provider=services().settings.oidc_name)
    return answer_refused(NotSignedIn(words), safe_target(None))

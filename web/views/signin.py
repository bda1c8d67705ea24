"""Sign-in, sign-out, and who is looking."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from app.accounts.signin import SignedIn, Visitor
from app.correlation import current_id, current_traceparent
from app.errors import Forbidden, LimitReached, NotFound, NotSignedIn, ValidationFailed
from app.services import SESSION_SECRET
from templates_lib.messages import say
from web import docs_tokens
from web.current import actor, services

blueprint = Blueprint("signin_pages", __name__)

PENDING = "p"  # the same of a session that waits for the second factor
CSRF = "csrf_token"  # where Flask-WTF keeps its token, in the session and for the request
DEVICE_COOKIE = "jobwright_device"
DEVICE_SECONDS = 365 * 86_400


def require_sign_in() -> None:
    """Set the actor of this request. Raises NotSignedIn."""
    secret = session.get(SESSION_SECRET)
    if not isinstance(secret, str):
        raise NotSignedIn("Sign in first")
    known = services().signin.by_session(secret, address=request.remote_addr or "")
    g.actor = replace(known, correlation_id=current_id(), traceparent=current_traceparent())


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Any:
    """The form; a right answer goes on to where one wanted to go."""
    target = safe_target(request.values.get("next"))
    if request.method == "GET" or "refusal" in g:
        return _sign_in_page(None, request.form.get("email", ""), target)
    if not services().settings.password_sign_in:
        raise Forbidden("Sign-in with a password is switched off (JOBWRIGHT_PASSWORD_SIGN_IN). Sign in with the provider")
    email = request.form.get("email", "")
    try:
        services().rates.count_stranger(request.remote_addr or "")
        signed = services().signin.with_password(email, request.form.get("password", ""), visitor())
    except (NotSignedIn, LimitReached) as error:
        return _refused(error, _sign_in_page(error.detail, email, target))
    if signed.needs_code:
        _end_session()
        session[PENDING] = signed.secret
        return redirect(url_for(".code", next=target))
    return admit(signed, target)


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
def code() -> Any:
    """The second factor."""
    target = safe_target(request.values.get("next"))
    pending = session.get(PENDING)
    if not isinstance(pending, str):
        return redirect(url_for(".sign_in", next=target))
    if request.method == "GET" or "refusal" in g:
        return render_template("sign_in_code.html", error=None, next=target)
    try:
        signed = services().signin.with_code(pending, request.form.get("code", ""), visitor())
    except (NotSignedIn, LimitReached) as error:
        return _refused(error, render_template("sign_in_code.html", error=error.detail, next=target))
    return admit(signed, target)


@blueprint.route("/reset/<secret>", methods=["GET", "POST"])
def reset(secret: str) -> Any:
    """The link on which someone sets a password."""
    services().rates.count_stranger(request.remote_addr or "")
    user = services().accounts.whose_reset(secret)
    if user is None:
        return _dead_link()
    if request.method == "GET" or "refusal" in g:
        return render_template("reset.html", user=user, errors={})
    try:
        services().accounts.finish_reset(secret, request.form.get("new", ""))
    except ValidationFailed as failed:
        return render_template("reset.html", user=user, errors={"new": failed.errors[0].message}), failed.status
    except NotFound:  # the link was used in the meantime
        return _dead_link()
    flash("Your password is set. Sign in with it now")
    return redirect(url_for(".sign_in"))


def _dead_link() -> Any:
    title, detail = say("This link does not work any more"), say("A link works once, and for 24 hours. Ask a super-admin for a new one.")
    page = render_template("error.html", status=404, title=title, detail=detail, correlation_id=current_id(), fragment=False)
    return page, 404


@blueprint.post("/sign-out")
def sign_out() -> Any:
    """End the session here and on the server, and the tokens that the REST documentation got during it."""
    with suppress(NotSignedIn):
        require_sign_in()
        docs_tokens.revoke_all()
    _end_session()
    return redirect(url_for("signin_pages.sign_in"))


def visitor() -> Visitor:
    """Where this request comes from."""
    return Visitor(request.remote_addr or "", request.headers.get("User-Agent", ""), request.cookies.get(DEVICE_COOKIE, ""))


def safe_target(text: str | None, otherwise: str = "") -> str:
    """Returns a path of our own: `text` if it is one, else `otherwise`, else the dashboard. Never an address elsewhere (open redirect)."""
    home = otherwise or url_for("dashboard_pages.show")
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return home
    parts = urlsplit(text)
    return home if parts.scheme or parts.netloc else text.rstrip("?")


def admit(signed: SignedIn, target: str) -> Response:
    """The answer to someone who has proved who they are: the cookie of a fresh session, and where they wanted to go."""
    _end_session()  # nothing of the visitor's old one is carried over, and no copy of it is good for anything
    session[SESSION_SECRET] = signed.secret
    session.permanent = True
    answer = redirect(target)
    answer.set_cookie(
        DEVICE_COOKIE,
        signed.device,
        max_age=DEVICE_SECONDS,
        httponly=True,
        samesite="Lax",
        path="/sign-in",
        secure=services().settings.behind_tls,
    )
    return answer


def renew_session() -> None:
    """Give the session at hand another identity: its secret and what its forms are sent with."""
    session[SESSION_SECRET] = services().signin.renew(actor(), session[SESSION_SECRET])
    session.pop(CSRF, None)
    g.pop(CSRF, None)


def _end_session() -> None:
    """End the sessions of this browser's cookie, here and on the server."""
    for key in (SESSION_SECRET, PENDING):
        secret = session.get(key)
        if isinstance(secret, str):
            services().signin.sign_out(secret)
    session.clear()
    g.pop(CSRF, None)


def answer_refused(error: NotSignedIn, target: str) -> Any:
    """Returns the form again, with the reason."""
    return _sign_in_page(error.detail, "", target), error.status


def _sign_in_page(error: str | None, email: str, target: str) -> str:
    first_start = services().accounts.nobody_signed_in()
    return render_template("sign_in.html", error=error, email=email, next=target, first_start=first_start)


def _refused(error: NotSignedIn | LimitReached, page: str) -> Any:
    waits = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, LimitReached) else {}
    return page, error.status, waits

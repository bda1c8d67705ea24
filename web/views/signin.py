"""Sign-in, sign-out, and who is looking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, current_app, g, redirect, render_template, request, session, url_for

from app.correlation import current_id
from app.errors import NotSignedIn
from app.services import EXTENSION, Services

blueprint = Blueprint("signin_pages", __name__)

SECRET = "s"  # the session's secret in the signed cookie  # noqa: S105


def services() -> Services:
    """The services of the application at hand."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def require_sign_in() -> None:
    """Set the actor of this request. Raises NotSignedIn."""
    secret = session.get(SECRET)
    if not isinstance(secret, str):
        raise NotSignedIn("Sign in first")
    found = services().accounts.by_session(secret, address=request.remote_addr or "")
    g.actor = replace(found, correlation_id=current_id())


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Any:
    """The form; a right answer goes on to where one wanted to go."""
    target = safe_target(request.values.get("next"))
    if request.method == "GET":
        return render_template("sign_in.html", error=None, email="", next=target)
    email = request.form.get("email", "")
    try:
        secret = services().accounts.sign_in(email, request.form.get("password", ""), address=request.remote_addr or "")
    except NotSignedIn as error:
        return render_template("sign_in.html", error=error.detail, email=email, next=target), 401
    session.clear()  # a fresh session: nothing of the visitor's old one is carried over
    session[SECRET] = secret
    session.permanent = True
    return redirect(target)


@blueprint.post("/sign-out")
def sign_out() -> Any:
    """End the session here and on the server."""
    secret = session.pop(SECRET, None)
    if isinstance(secret, str):
        services().accounts.sign_out(secret)
    session.clear()
    return redirect(url_for("signin_pages.sign_in"))


def safe_target(text: str | None) -> str:
    """A path of our own, or the job list: never an address elsewhere (open redirect)."""
    home = url_for("jobs_pages.list_jobs")
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return home
    parts = urlsplit(text)
    return home if parts.scheme or parts.netloc else text.rstrip("?")

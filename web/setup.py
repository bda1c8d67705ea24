"""Adds the pages to the application: blueprints, security headers, sessions, errors as pages."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.correlation import current_id, shown_path
from app.errors import ApprovalNeeded, JobwrightError, NotSignedIn, RoleTooLow, StoreUnavailable, ValidationFailed
from app.events import get_logger
from app.mongo import is_away
from app.services import PAGE_ERRORS, Services
from templates_lib.messages import joined, said, say
from web.current import optional_actor, services, viewer_zone
from web.filters import FILTERS, GLOBALS
from web.language import finalize, language
from web.refusals import form_again, is_part_of_form
from web.views import (
    accounts,
    acknowledging,
    announcements,
    api_docs,
    approvals,
    audit,
    calendar,
    calendars,
    channels,
    connections,
    dashboard,
    deliveries,
    digests,
    exchange,
    executions,
    help,
    incidents,
    job_list,
    job_types,
    jobs,
    maintenance,
    mutes,
    nodes,
    palette,
    preview,
    registered_services,
    rules,
    sample_data,
    signin,
    single_signon,
    system,
    template_admin,
    templates,
)
from web.views.first_steps import first_steps
from web.words import role_words

log = get_logger(__name__)

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Swagger UI sets style attributes; nothing on that page comes from a user.
DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


VIEWS = (
    signin,
    single_signon,
    api_docs,
    dashboard,
    exchange,
    job_list,
    jobs,
    templates,
    template_admin,
    preview,
    job_types,
    sample_data,
    executions,
    connections,
    channels,
    deliveries,
    digests,
    mutes,
    announcements,
    acknowledging,
    incidents,
    rules,
    registered_services,
    calendar,
    calendars,
    maintenance,
    approvals,
    accounts,
    audit,
    palette,
    nodes,
    system,
    help,
)
_csrf = CSRFProtect()
for _module in VIEWS:
    _module.blueprint.before_request(_csrf.protect)
    if _module not in {signin, single_signon, api_docs, acknowledging}:
        _module.blueprint.before_request(signin.require_sign_in)


def register_web(app: Flask, services: Services) -> None:
    """Needs `register_api` before it."""
    app.secret_key = services.keys.derive("session")
    app.config.update(
        SESSION_COOKIE_NAME="jobwright_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # an answer that was on its way would put a message that has been written meanwhile out again
        SESSION_COOKIE_SECURE=services.settings.behind_tls,
        WTF_CSRF_TIME_LIMIT=None,
        # The last one signs. A form that was shown before the key was changed can still be sent.
        WTF_CSRF_SECRET_KEY=services.keys.derive_strong("session")[::-1],
        WTF_CSRF_CHECK_DEFAULT=False,
        SECRET_KEY_FALLBACKS=services.keys.derive_strong("session")[1:],
        PERMANENT_SESSION_LIFETIME=timedelta(hours=services.settings.session_hours),
        MAX_FORM_PARTS=5000,
        MAX_FORM_MEMORY_SIZE=2_000_000,
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365),
    )
    _csrf.init_app(app)
    pages = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
    pages.add_url_rule("/admin/scheduler", view_func=lambda: redirect(url_for("job_list_pages.list_jobs")), endpoint="scheduler")
    app.register_blueprint(pages)
    for module in VIEWS:
        app.register_blueprint(module.blueprint)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.finalize = finalize
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(GLOBALS)
    app.jinja_env.globals["asset"] = _asset_urls()
    app.context_processor(_page_context)
    app.extensions[PAGE_ERRORS] = answer_error
    app.after_request(_security_headers)


def _asset_urls() -> Any:
    """`asset("app.css")` → its address with a digest, so that it may be cached for a year and is new when it changes."""
    digests = {
        path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        for path in STATIC.rglob("*")
        if path.is_file()
    }
    return lambda name: f"/static/{name}?v={digests[name]}"


def _page_context() -> dict[str, Any]:
    current, actor = services(), optional_actor()
    return {
        "actor": actor,
        "viewer_zone": viewer_zone,
        "language": language(),
        "installation": current.settings.name.strip()[:60],
        "help_topic": help.topic_of,
        "now": current.clock.now(),
        "provider": current.settings.oidc_name if current.settings.oidc_issuer else "",
        "passwords": current.settings.password_sign_in,
        "maintenance": current.maintenance.get() if actor else None,
        "refusal": g.get("refusal"),
        "first_steps": first_steps,
        "most_bytes": current_app.config["MAX_CONTENT_LENGTH"],
        "firing_incidents": lambda: current.incidents.firing_count(actor) if actor else 0,
        "waiting_approvals": lambda: current.approvals.waiting(actor) if actor else 0,  # only whole pages ask for it, not their parts
    }


def _security_headers(response: Response) -> Response:
    policy = DOCS_POLICY if request.path == "/api/docs" else CONTENT_SECURITY_POLICY
    response.headers.setdefault("Content-Security-Policy", policy)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if services().settings.behind_tls:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _form_stays(title: str) -> Response:
    """Returns the message that htmx shows beside a form if the sign-in has ended. The form stays as it is."""
    detail = say("Your session has ended. Sign in on another page; what you have typed stays on this one.")
    page = render_template("error.html", status=401, title=title, detail=detail, correlation_id=current_id(), fragment=True)
    return Response(page, 401, {"HX-Retarget": "#toasts", "HX-Reswap": "innerHTML"})


def _http_words(error: HTTPException) -> tuple[str, str]:
    """Returns title and detail of an error of the web framework in words for people."""
    match error.code:
        case 404:
            return say("Page not found"), say("There is no page at this address. Check the address for typing errors.")
        case 405:
            return say("This address cannot be opened this way"), say("Go back to the page that you came from, and use its buttons.")
    return said(error.name), said(error.description or "")


def _sign_in_again(error: NotSignedIn) -> Any:
    """Leads to the page for signing in; a form that was sent, or that htmx asks for a part of, stays with what was typed."""
    again = form_again(error, error.status, said(error.title), say("Your sign-in has ended."))
    if again is not None:
        return again
    if is_part_of_form():
        return _form_stays(said(error.title))
    target = url_for("signin_pages.sign_in", next=request.full_path if request.method == "GET" else None)
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": target})
    return redirect(target)


def _words(error: Exception) -> tuple[int, str, str]:
    """Returns the status, the title and the detail of an error in words for people. Logs one that nobody expects."""
    if isinstance(error, CSRFError):
        return 400, say("The form has expired"), say("You opened the page before your last sign-in. Send the form again.")
    if isinstance(error, RequestEntityTooLarge):
        return 413, say("The request is too large"), say("Go back, shorten the text or choose a smaller file, and send it again.")
    if isinstance(error, JobwrightError):
        return error.status, said(error.title), _detail(error)
    if isinstance(error, HTTPException):
        return error.code or 500, *_http_words(error)
    if is_away(error):
        return 503, said(StoreUnavailable.title), say("Nothing was lost. Reload the page in a moment.")
    log.exception("request.failed", method=request.method, path=shown_path())
    return (
        500,
        say("Something went wrong in Jobwright"),
        say("The log has the details under this id. Check whether your change was made before you try again."),
    )


def _detail(error: JobwrightError) -> str:
    if isinstance(error, RoleTooLow):
        return role_words(error, opens=request.method == "GET")
    if isinstance(error, ValidationFailed):
        return joined((joined((field.pointer or say("The form"), ": ", field.message, "."), "") for field in error.errors), " ")
    return error.detail


def answer_error(error: Exception) -> Any:
    """Returns an error as a page, or as a message for htmx."""
    if isinstance(error, ApprovalNeeded):
        return approvals.answer_asked(error)
    if isinstance(error, NotSignedIn):
        return _sign_in_again(error)
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return error.get_response()
    status, title, detail = _words(error)
    if status != 500 and (again := form_again(error, status, title, detail)) is not None:
        return again
    if optional_actor() is None:  # nobody has looked who asks for an address without a page
        with suppress(Exception):
            signin.require_sign_in()
    fragment = bool(request.headers.get("HX-Request"))
    page = render_template("error.html", status=status, title=title, detail=detail, correlation_id=current_id(), fragment=fragment)
    headers = {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"} if fragment else {}
    return Response(page, status, headers)

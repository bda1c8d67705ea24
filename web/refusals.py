"""Shows a form again, with the typed values and the reason, if its post was refused: by a limit, a state, another change, an old page."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, current_app, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import LimitReached, NotSignedIn
from templates_lib.messages import said, say
from web.current import optional_actor
from web.forms.form import PREFIX
from web.views import signin
from web.views.common import CHECK, Pairs
from web.views.job_form import PARTS

# Pages that change nothing if a button of the form itself was pressed; they only show themselves again.
_DRAWN = frozenset(
    {
        "jobs_pages.new",
        "jobs_pages.edit",
        "jobs_pages.run_with",
        "executions_pages.retry_with",
        "connections_pages.new",
        "connections_pages.edit",
        "calendars_pages.new",
        "calendars_pages.edit",
        "maintenance_pages.switch",
        "accounts_pages.new_user",
        "accounts_pages.edit_user",
        "accounts_pages.new_token",
        "template_admin.standing",
        "template_admin.derive",
        "template_admin.draft",
        "template_admin.give_input",
        "preview_pages.preview",
    }
)
# Pages that call `is_refused`, and then only show themselves again.
_ASKING = frozenset(
    {
        "exchange_pages.bring",
        "template_admin.bring",
        "template_admin.publish",
        "template_admin.impact",
        "job_list_pages.bulk",
        "jobs_pages.add_note",
        "jobs_pages.pause",
        "jobs_pages.backfill",
        "approvals_pages.decide",
        "accounts_pages.set_reading",
    }
)
# The same for pages with passwords and codes, which are never sent back.
_SECRET = frozenset(
    {
        "accounts_pages.change_password",
        "accounts_pages.second_factor",
        "accounts_pages.drop_second_factor",
        "signin_pages.sign_in",
        "signin_pages.code",
        "signin_pages.reset",
    }
)
_SEPARATE = frozenset({"job_list_pages.save_view"})  # what was typed there is shown on a separate page
FORMS = _DRAWN | _ASKING | _SECRET | _SEPARATE
_PARTS = frozenset({"jobs_pages.schedule_preview", "jobs_pages.tried"})  # parts that htmx requests while somebody fills a form
# The field that makes a page carry out what it has only shown before.
_DOES = {"exchange_pages.bring": "action", "template_admin.bring": "take", "job_list_pages.bulk": "confirm"}
PREFIXES = (PREFIX, *PARTS)


def form_again(error: Exception, status: int, title: str, detail: str) -> Response | None:
    """Returns the posted form with the typed values and the reason. None if the refused request was no form, or if it cannot be shown."""
    if not _is_form(error):
        return None
    typed = list(request.form.items(multi=True))
    try:
        answer = None if request.endpoint in _SEPARATE else _drawn(title, detail, typed)
    except NotSignedIn as ended:
        status, title, detail, answer = ended.status, said(ended.title), say("Your sign-in has ended."), None
    except Exception:  # the database is away
        answer = None
    if answer is None:
        g.pop("refusal", None)
        if request.endpoint in _SECRET:
            return None
        answer = page_of_typed_values(status, title, detail, typed)
    answer.status_code = status
    if isinstance(error, LimitReached) and error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def is_part_of_form() -> bool:
    """True if htmx requests a part of a form that somebody fills. A redirect would lose the typed values."""
    return bool(request.headers.get("HX-Request")) and request.endpoint in FORMS | _PARTS


def _drawn(title: str, detail: str, typed: Pairs) -> Response | None:
    """Returns the page of the form, or None if the page redirects. Raises every error of the page."""
    endpoint = request.endpoint or ""
    if optional_actor() is None and not endpoint.startswith("signin_pages."):
        signin.require_sign_in()
    g.refusal = {"title": title, "detail": detail, "secret": endpoint in _SECRET}
    request.form = ImmutableMultiDict([*typed, *((f"{prefix}.action", CHECK) for prefix in PREFIXES)])
    answer = make_response(current_app.view_functions[endpoint](**(request.view_args or {})))
    return None if answer.location else answer


def page_of_typed_values(status: int, title: str, detail: str, typed: Pairs) -> Response:
    """Returns a page with the typed values and a button that takes them back into their form."""
    names = {"csrf_token", _DOES.get(request.endpoint or "", "csrf_token"), *(f"{prefix}.action" for prefix in PREFIXES)}
    pairs = [(name, value) for name, value in typed if name not in names]
    checks = [(f"{prefix}.action", CHECK) for prefix in PREFIXES]
    page = render_template(
        "refused.html",
        status=status,
        title=title,
        detail=detail,
        pairs=[*pairs, *checks],
        signed_in=optional_actor() is not None,
        sends=request.endpoint not in {*_DRAWN, *_DOES},
    )
    return Response(page, status)


def _is_form(error: Exception) -> bool:
    if request.method != "POST" or request.endpoint not in FORMS or request.headers.get("HX-Request"):
        return False
    if isinstance(error, RequestEntityTooLarge) or not request.form:  # what is too large has not been read
        return False
    if isinstance(error, CSRFError | NotSignedIn):
        return _same_origin()  # nobody else's page fills our forms
    return True


def _same_origin() -> bool:
    """True if the request comes from one of our own pages, according to the browser."""
    source = request.headers.get("Origin") or request.headers.get("Referer") or ""
    return bool(source) and urlsplit(source).netloc == request.host

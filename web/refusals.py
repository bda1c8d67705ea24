"""A form whose post is refused comes back with all that was typed and the reason: by a limit, a state, another's change, an old page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Response, current_app, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.datastructures import ImmutableMultiDict

from app.errors import JobwrightError, LimitReached, NotSignedIn
from app.services import EXTENSION, Services
from templates_lib.messages import joined, say
from web.forms.form import PREFIX
from web.views import signin
from web.views.common import CHECK
from web.views.job_form import AFTER, DETAILS, PARAMETERS, POLICIES

# Pages that are drawn again, and do nothing else, where a button of the form itself was pressed.
FORMS = frozenset({
    "jobs_pages.new", "jobs_pages.edit", "jobs_pages.pause", "jobs_pages.backfill", "jobs_pages.run_with", "executions_pages.retry_with",
    "connections_pages.new", "connections_pages.edit", "calendars_pages.new", "calendars_pages.edit", "calendars_pages.maintenance",
    "accounts_pages.new_user", "accounts_pages.edit_user", "accounts_pages.new_token", "template_admin.standing", "template_admin.derive",
    "template_admin.draft", "template_admin.give_input",
})  # fmt: skip
PREFIXES = (PREFIX, DETAILS, PARAMETERS, AFTER, POLICIES)
SHORTLY = 90  # seconds; longer waits are told by the clock


def form_again(error: Exception, status: int, title: str, detail: str) -> Response | None:
    """The form that was posted, with what was typed and why it was refused; None where the refused request was no form's, or the form
    cannot be drawn now."""
    if not _is_form(error):
        return None
    typed = list(request.form.items(multi=True))
    try:
        if g.get("actor") is None:
            signin.require_sign_in()
        g.refusal = {"title": title, "detail": joined((detail, _when(error)), " ") if _when(error) else detail}
        request.form = ImmutableMultiDict([*typed, *((f"{prefix}.action", CHECK) for prefix in PREFIXES)])
        answer = make_response(current_app.view_functions[request.endpoint or ""](**(request.view_args or {})))
    except Exception:  # the database is away, or nobody is signed in any more: what was typed is kept on a page of its own
        g.pop("refusal", None)
        return kept(status, title, detail, typed)
    answer.status_code = status
    if isinstance(error, LimitReached) and error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def kept(status: int, title: str, detail: str, typed: Iterable[tuple[str, str]]) -> Response:
    """A page that holds what was typed, and takes it back into its form."""
    names = {"csrf_token", *(f"{prefix}.action" for prefix in PREFIXES)}
    pairs = [(name, value) for name, value in typed if name not in names]
    checks = [(f"{prefix}.action", CHECK) for prefix in PREFIXES]
    page = render_template(
        "refused.html", status=status, title=title, detail=detail, pairs=[*pairs, *checks], signed_in=g.get("actor") is not None
    )
    return Response(page, status)


def _is_form(error: Exception) -> bool:
    if request.method != "POST" or request.endpoint not in FORMS or request.headers.get("HX-Request") or not request.form:
        return False
    if isinstance(error, CSRFError | NotSignedIn):
        return _same_origin()  # nobody else's page fills our forms
    return not isinstance(error, JobwrightError) or error.status != 404


def _same_origin() -> bool:
    """Whether the request comes from a page of ours, as the browser says."""
    source = request.headers.get("Origin") or request.headers.get("Referer") or ""
    return bool(source) and urlsplit(source).netloc == request.host


def _when(error: Exception) -> str:
    """When it is possible again, where that is known."""
    if not isinstance(error, LimitReached) or error.retry_after_seconds is None:
        return ""
    if error.retry_after_seconds <= SHORTLY:
        return say("It is possible again in {seconds} s.", seconds=error.retry_after_seconds)
    services: Services = current_app.extensions[EXTENSION]
    at = services.clock.now() + timedelta(seconds=error.retry_after_seconds)
    return say("It is possible again at {at:%Y-%m-%d %H:%M:%S} UTC.", at=at)

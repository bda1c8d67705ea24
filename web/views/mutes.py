"""/mutes: alerts that are held back for some time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import Conflict, FieldError, LimitReached, StaleVersion, ValidationFailed
from app.notification.quiet.mutes import Preview
from app.notification.quiet.muting import MATCHED, Mute
from templates_lib.messages import say
from web.current import actor, services
from web.filters.announcements import MATCHED_WORDS, SEVERITY_WORDS
from web.forms.page.messages import SummaryLine
from web.views.common import MOST_OFFERED, is_refused, posted_version, tell
from web.views.moments import TAKE, local_text, mute_shortcuts, read_moment, taken

blueprint = Blueprint("mutes_pages", __name__, url_prefix="/mutes")

PREVIEW = "preview"  # the button that shows what a mute would hold
LISTS = tuple(name for name in MATCHED if name != "severities")  # fields with one value a line
MOST_LINES, LONGEST_LINE = 50, 200
Values = dict[str, Any]


@blueprint.get("")
def list_mutes() -> str:
    """Shows the mutes that have not ended, and the last ones that have."""
    mutes = services().mutes
    return render_template("mutes.html", active=mutes.active(actor()), ended=mutes.ended(actor()), changes=lacks(actor(), May.MUTE) is None)


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new mute. The address may say what is muted: `rules`, `jobs` and so on."""
    require(actor(), May.MUTE)
    if request.method == "GET":
        asked = {name: [text[:LONGEST_LINE] for text in request.args.getlist(name)][:MOST_LINES] for name in MATCHED}
        return _page({"reason": "", "ends_at": next(iter(mute_shortcuts()[1].fields.values())), **asked})
    return _answer(None)


@blueprint.route("/<mute_id>", methods=["GET", "POST"])
def edit(mute_id: str) -> Any:
    """Shows the form of a mute."""
    mute = services().mutes.get(actor(), mute_id)
    if request.method == "GET":
        return _page({"reason": mute.reason, "ends_at": local_text(mute.ends_at), **mute.matcher.as_document()}, mute)
    return _answer(mute)


@blueprint.post("/<mute_id>/end")
def end(mute_id: str) -> Any:
    """Ends a mute."""
    services().mutes.end(actor(), mute_id)
    tell(say("The mute has ended. Alerts that it held and that still fire are sent within a minute"))
    return redirect(url_for(".list_mutes"))


def _answer(mute: Mute | None) -> Any:
    values = _posted()
    if TAKE in request.form or is_refused():
        return _page({**values, **taken(request.form)}, mute)
    errors = list[FieldError]()
    ends_at = read_moment(values["ends_at"], "/ends_at", errors)
    body = {name: value for name, value in values.items() if value and name != "ends_at"}
    try:
        if PREVIEW in request.form:
            return _page(values, mute, preview=services().mutes.preview(actor(), body))
        if errors:
            raise ValidationFailed(errors)
        _save({**body, **({"ends_at": ends_at.isoformat()} if ends_at else {})}, mute)
    except (ValidationFailed, StaleVersion, LimitReached, Conflict) as failed:
        wrong = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", _told(failed)),)
        return _page(values, mute, wrong), failed.status
    tell(say("Mute changed") if mute else say("Mute created"))
    return redirect(url_for(".list_mutes"))


def _save(body: Mapping[str, Any], mute: Mute | None) -> Mute:
    if mute is None:
        return services().mutes.create(actor(), body)
    return services().mutes.update(actor(), mute.id, body, version=posted_version())


def _told(error: StaleVersion | LimitReached | Conflict) -> str:
    return error.told if isinstance(error, StaleVersion) else error.detail


def _posted() -> Values:
    """Returns what was entered: the reason and the end as texts, and all else as lists."""
    lines = {name: [line.strip() for line in request.form.get(name, "").splitlines() if line.strip()] for name in LISTS}
    texts = {name: request.form.get(name, "").strip() for name in ("reason", "ends_at")}
    return {**texts, **lines, "severities": request.form.getlist("severities")}


def _page(values: Values, mute: Mute | None = None, errors: Sequence[FieldError] = (), preview: Preview | None = None) -> str:
    titles = {"reason": say("Reason"), "ends_at": say("Ends at"), **MATCHED_WORDS}
    wrong, summary = {name: list[str]() for name in titles}, list[SummaryLine]()
    for error in errors:
        name = error.pointer.partition("/")[2].partition("/")[0]
        wrong.get(name, []).append(error.message)
        summary.append(
            SummaryLine(error.pointer, f"#{name}" if name in titles else "#job-form", titles.get(name, say("Mute")), error.message)
        )
    directory = services().directory
    facets = directory.facets(actor())
    return render_template(
        "mute_form.html",
        mute=mute,
        values=values,
        wrong=wrong,
        errors=summary,
        lists={name: MATCHED_WORDS[name] for name in LISTS},
        offers={
            "rules": [],
            "jobs": directory.names(actor(), limit=MOST_OFFERED),
            "tags": facets.tags,
            "groups": facets.groups,
            "templates": [entry.type for entry in services().catalogue],
        },
        severities=SEVERITY_WORDS,
        shortcuts=mute_shortcuts(),
        preview=preview,
        ended=mute is not None and mute.ends_at <= services().clock.now(),
        changes=lacks(actor(), May.MUTE) is None,
    )

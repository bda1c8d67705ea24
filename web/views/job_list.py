"""/jobs: the list, its saved views, and what is done to many jobs at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, redirect, render_template, request, url_for

from app.bulk.service import BulkAction, BulkReport, BulkRequest, BulkResult
from app.errors import FieldError, JobwrightError, ValidationFailed
from app.jobs.filters import NEVER, SORTS, JobFilter
from app.queue.model import Status
from templates_lib.messages import counted, say, say_many
from web.current import actor, preference, services
from web.forms.names import small_number
from web.language import sentences
from web.views.common import is_refused, job_filter, page_number, tell, unknown_filters
from web.views.job_rows import job_rows
from web.views.moments import TAKE, pause_shortcuts, read_moment, taken

blueprint = Blueprint("job_list_pages", __name__, url_prefix="/jobs")

PAGE_SIZE = 25
FILTERS = ("q", "template", "state", "last", "tag", "group", "owner", "sort", "page")
LAST_RUNS = (Status.SUCCESS, Status.FAILED, Status.TIMEOUT, Status.CANCELLED)
SORT_WORDS = (
    ("name", say("Name")),
    ("next_run_at", say("Next run")),
    ("-last_run_at", say("Last run")),
    ("-updated_at", say("Last changed")),
    ("-created_at", say("Newest")),
)
STATES = (
    ("on", say("Enabled")),
    ("off", say("Disabled")),
    ("paused", say("Paused")),
    ("shadow", say("Shadow mode")),
    ("broken", say("Broken")),
    ("ended", say("Ended")),
)
# Lists that everybody looks for.
GOOD_NEWS = {
    "last=failed": say("Nothing is failing"),
    "state=broken": say("No job is broken"),
    "state=paused": say("No job is paused"),
    "state=shadow": say("No job is in shadow mode"),
}
USUAL = ((say("Failing"), "last=failed"), (say("Paused"), "state=paused"), (say("Broken"), "state=broken"))


@blueprint.get("")
def list_jobs() -> str:
    """The registry: state, last runs, next run, switch, run button."""
    args, query = request.args, job_filter()
    sort = args.get("sort", "name") if args.get("sort", "name") in SORTS else "name"
    page = services().directory.page(actor(), query, sort=sort, page=page_number(), limit=PAGE_SIZE)
    return render_template(
        "jobs.html",
        rows=job_rows(services(), actor(), page.items),
        page=page,
        args=args,
        sort=sort,
        narrowed=query.narrows,
        catalogue=services().catalogue,
        sorts=SORT_WORDS,
        states=STATES,
        last_runs=[*((status.value, status) for status in LAST_RUNS), (NEVER, NEVER)],
        never=NEVER,
        facets=services().directory.facets(actor()),
        buttons=BUTTONS,
        views=preference().views,
        usual=USUAL,
        good_news=GOOD_NEWS,
        set_filters=sum(bool(args.get(name)) for name in ("q", "template", "state", "last", "tag", "group", "owner")),
        listing=_listing(),
        unknown=unknown_filters(FILTERS),
    )


def _listing() -> str:
    """The present list without its page, as saved views have it."""
    return "&".join(part for part in request.query_string.decode().split("&") if part and not part.endswith("=") and part[:5] != "page=")


# -- saved views ------------------------------------------------------------------------------------------------------


@blueprint.post("/views")
def save_view() -> Any:
    """Keep the list that the form stands on under a name."""
    query = request.form.get("query", "")
    try:
        view = services().preferences.save_view(actor(), request.form.get("name", ""), query)
    except ValidationFailed as failed:
        tell(sentences(failed.errors, {"/name": say("The name")}, say("The list")))
        return redirect(_list_address(query))
    tell(say("View {name} saved", name=view.name))
    return redirect(f"{url_for('.list_jobs')}?{view.query}")


def _list_address(query: str) -> str:
    """The address of the list that a posted query narrows, encoded again: it may hold what no address may, such as a line break."""
    return f"{url_for('.list_jobs')}?{urlencode(parse_qsl(query))}"


@blueprint.post("/views/remove")
def remove_view() -> Any:
    """Forget a view."""
    services().preferences.drop_view(actor(), request.form.get("name", ""))
    return redirect(url_for(".list_jobs"))


# -- many at once -----------------------------------------------------------------------------------------------------

BUTTONS = (
    (BulkAction.ENABLE, say("Enable"), "zap"),
    (BulkAction.DISABLE, say("Disable"), "ban"),
    (BulkAction.PAUSE, say("Pause"), "pause"),
    (BulkAction.RESUME, say("Resume"), "play"),
    (BulkAction.RUN, say("Run now"), "play"),
    (BulkAction.TAG, say("Add tag"), "plus"),
    (BulkAction.UNTAG, say("Remove tag"), "x"),
    (BulkAction.DELETE, say("Delete"), "trash-2"),
)
WOULD = {
    BulkAction.ENABLE: counted("Enable {count} job", "Enable {count} jobs"),
    BulkAction.DISABLE: counted("Disable {count} job", "Disable {count} jobs"),
    BulkAction.PAUSE: counted("Pause {count} job", "Pause {count} jobs"),
    BulkAction.RESUME: counted("Resume {count} job", "Resume {count} jobs"),
    BulkAction.RUN: counted("Run {count} job", "Run {count} jobs"),
    BulkAction.TAG: counted("Add the tag to {count} job", "Add the tag to {count} jobs"),
    BulkAction.UNTAG: counted("Remove the tag from {count} job", "Remove the tag from {count} jobs"),
    BulkAction.DELETE: counted("Delete {count} job", "Delete {count} jobs"),
}
# What happened: in all, and to one job.
DONE = {
    BulkAction.ENABLE: counted("{count} job enabled", "{count} jobs enabled"),
    BulkAction.DISABLE: counted("{count} job disabled", "{count} jobs disabled"),
    BulkAction.PAUSE: counted("{count} job paused", "{count} jobs paused"),
    BulkAction.RESUME: counted("{count} job resumed", "{count} jobs resumed"),
    BulkAction.RUN: counted("{count} job started", "{count} jobs started"),
    BulkAction.TAG: counted("{count} job tagged", "{count} jobs tagged"),
    BulkAction.UNTAG: counted("{count} job untagged", "{count} jobs untagged"),
    BulkAction.DELETE: counted("{count} job deleted", "{count} jobs deleted"),
}
DONE_TO_ONE = {
    BulkAction.ENABLE: say("enabled"),
    BulkAction.DISABLE: say("disabled"),
    BulkAction.PAUSE: say("paused"),
    BulkAction.RESUME: say("resumed"),
    BulkAction.RUN: say("started"),
    BulkAction.TAG: say("tag added"),
    BulkAction.UNTAG: say("tag removed"),
    BulkAction.DELETE: say("deleted"),
}
WILL_BE_DONE = {
    BulkAction.ENABLE: say("will be enabled"),
    BulkAction.DISABLE: say("will be disabled"),
    BulkAction.PAUSE: say("will be paused"),
    BulkAction.RESUME: say("will be resumed"),
    BulkAction.RUN: say("will be started"),
    BulkAction.TAG: say("will be tagged"),
    BulkAction.UNTAG: say("will be untagged"),
    BulkAction.DELETE: say("will be deleted"),
}
CANNOT_BE_DONE = {
    BulkAction.ENABLE: say("cannot be enabled"),
    BulkAction.DISABLE: say("cannot be disabled"),
    BulkAction.PAUSE: say("cannot be paused"),
    BulkAction.RESUME: say("cannot be resumed"),
    BulkAction.RUN: say("cannot be started"),
    BulkAction.TAG: say("cannot be tagged"),
    BulkAction.UNTAG: say("cannot be untagged"),
    BulkAction.DELETE: say("cannot be deleted"),
}


@blueprint.post("/bulk")
def bulk() -> Any:
    """What an action would do to the chosen jobs; with `confirm`, do it and say what became of each."""
    form = request.form
    if form.get("action") not in list(BulkAction):
        return redirect(url_for(".list_jobs"))
    action = BulkAction(form["action"])
    chosen = (form.getlist("job") or [name.removeprefix("v:") for name in form if name.startswith("v:")])[:5000]
    query = job_filter(form.get("query", "")) if "all" in form else JobFilter(ids=chosen)
    if not chosen and "all" not in form and "confirm" not in form:
        tell("Select jobs first")
        return redirect(_list_address(form.get("query", "")))
    error, wanted = "", BulkRequest(action=action)
    try:
        until = _until(taken(form).get("until", form.get("until", "")))
        wanted = BulkRequest(action=action, reason=form.get("reason", "").strip(), until=until, tag=form.get("tag", "").strip())
        if "confirm" in form and TAKE not in form and not is_refused():
            versions = {name.removeprefix("v:"): small_number(value) for name, value in form.items() if name.startswith("v:")}
            outcome = services().bulk.carry_out(actor(), wanted, JobFilter(ids=list(versions)), versions=versions)
            return _bulk_page(wanted, outcome, done=True)
        outcome = services().bulk.plan(actor(), wanted, query)
    except ValidationFailed as failed:
        error = sentences(failed.errors, _FIELDS, say("The selection"))
        try:
            outcome = services().bulk.plan(actor(), wanted, query)
        except JobwrightError:
            outcome = BulkReport(())
    return _bulk_page(wanted, outcome, error=error), 422 if error else 200


_FIELDS = {"/reason": say("The reason"), "/until": say("The end"), "/tag": say("The tag")}


def _until(text: str) -> datetime | None:
    """Returns the instant of a local date and time of the viewer, or of words such as "tomorrow 8:00". Raises ValidationFailed."""
    errors: list[FieldError] = []
    until = read_moment(text, "/until", errors)
    if errors:
        raise ValidationFailed(errors)
    return until


def _bulk_page(wanted: BulkRequest, outcome: BulkReport, *, done: bool = False, error: str = "") -> str:
    touched = outcome.counts.get(BulkResult.DONE, 0) if done else outcome.touched
    return render_template(
        "bulk.html",
        wanted=wanted,
        outcome=outcome,
        done=done,
        error=error,
        touched=touched,
        did=say_many(*DONE[wanted.action], touched),
        done_to_one=DONE_TO_ONE[wanted.action],
        will_be_done=WILL_BE_DONE[wanted.action],
        cannot_be_done=CANNOT_BE_DONE[wanted.action],
        would=say_many(*WOULD[wanted.action], touched),
        button=next(words for action, words, _ in BUTTONS if action is wanted.action),
        form=request.form,
        until=taken(request.form).get("until", request.form.get("until", "")),
        shortcuts=pause_shortcuts(),
        skipped=outcome.skipped_runs,
        results=BulkResult,
        tags=services().directory.facets(actor()).tags,
        limit=services().settings.runs_per_hour,
    )

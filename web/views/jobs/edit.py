"""The form of a new job and of an existing one, and the page that merges two changes of the same job."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import NotFound, StaleVersion, ValidationFailed
from app.jobs.body import as_request
from app.jobs.merging import Change, changes, merge
from app.jobs.model import Job
from app.jobtemplates.entry import TemplateVersion
from templates_lib.messages import say
from web.current import actor, services
from web.filters.parameters import titled_changes
from web.forms.names import small_number
from web.views.beginnings import chosen_beginning, save_preset
from web.views.common import is_refused, posted, posted_version, tell, tell_gone
from web.views.job_form import PARAMETERS, JobForm
from web.views.jobs.blueprint import blueprint
from web.views.jobs.drafts import NEW_CONNECTION, draft_key, leave_for_connection, resumed

TRY = "try"  # the name of the button that starts a dry run
SHOW_CHANGES = "changes"  # the name of the button that shows what saving would change
MERGE = "merge.onto"  # the field with the version that the merge page was drawn for
TAKE = "merge:"  # begins the name of a field that says whose change is taken


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new job and creates the job. If the address names no template, leads to the gallery."""
    require(actor(), May.CHANGE_JOBS)
    template_type = request.args.get("template")
    if not template_type:
        return redirect(url_for("templates_pages.gallery"))
    entry = services().catalogue.get(template_type)
    if request.method == "GET":
        return _form_of_new(entry)
    if NEW_CONNECTION in request.form and not is_refused():
        return leave_for_connection(entry)
    form = JobForm.read(entry, posted())
    if form.pressed or save_preset(entry, form.parts[PARAMETERS]):
        return _page(form)
    try:
        if TRY in request.form:
            return _page(form, tried={"of": services().previews.try_out(actor(), form.body), "found": None})
        job, _ = services().jobs.create(actor(), form.body)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return _page(form), failed.status
    services().drafts.drop(actor(), template_type)
    tell(say("Job {name} created", name=job.definition.name))
    _warn(job)
    tell_gone(form.parts[PARAMETERS])
    return redirect(url_for(".show", job_id=job.id))


def _page(form: JobForm, **more: Any) -> str:
    return render_template("job_form.html", **form.render(), **more)


def _form_of_new(entry: TemplateVersion) -> str:
    like, draft = request.args.get("like"), services().drafts.find(actor(), entry.type)
    if like:
        return _page(JobForm(entry, like=services().jobs.get(actor(), like)))
    if draft and "draft" in request.args:
        return _page(JobForm.read(entry, resumed(draft)))
    return _page(JobForm(entry, begin=chosen_beginning(entry, of_job=False)), draft=draft)


@blueprint.get("/new/tried/<dry_run_id>")
def tried(dry_run_id: str) -> str:
    """Shows the result of a dry run, or that it still runs."""
    return render_template(
        "partials/dry_run.html", tried={"of": dry_run_id, "found": services().previews.result_of_try(actor(), dry_run_id)}
    )


@blueprint.route("/<job_id>/edit", methods=["GET", "POST"])
def edit(job_id: str) -> Any:
    """Shows the form of a job and saves it. If somebody else has changed the job meanwhile, shows both changes, so that none is lost."""
    job = services().jobs.get(actor(), job_id)
    entry = services().parameters.entry_of(job)
    if request.method == "GET":
        draft = services().drafts.find(actor(), draft_key(entry, job)) if "draft" in request.args else None
        return _page(JobForm.read(entry, resumed(draft), job) if draft else JobForm(entry, job=job))
    if NEW_CONNECTION in request.form and not is_refused():
        return leave_for_connection(entry, job)
    form = JobForm.read(entry, posted(), job)
    if form.pressed or save_preset(entry, form.parts[PARAMETERS]):
        return _page(form)
    try:
        body, version = form.body, posted_version()
        if TRY in request.form:
            return _page(form, tried={"of": services().previews.try_out(actor(), body, changed=job_id), "found": None})
        if SHOW_CHANGES in request.form:
            return _page(form, changes=services().jobs.changes(actor(), job_id, body))
        if version is not None and version != job.version:
            return _merge(job, form, version)
        changed = services().jobs.update(actor(), job_id, body, version=version)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return _page(form), failed.status
    except StaleVersion as stale:  # within the last moment
        return _merge(services().jobs.get(actor(), job_id), form, stale.expected)
    services().drafts.drop(actor(), draft_key(entry, job))
    tell(say("Job {name} changed", name=changed.definition.name))
    _warn(changed)
    tell_gone(form.parts[PARAMETERS])
    return redirect(url_for(".show", job_id=job_id))


def _warn(job: Job) -> None:
    """Says on the next page what would make each run of the saved job fail."""
    for warning in services().outlook.warnings(job.definition):
        tell(say("Warning: {text}", text=warning.message))


def _merge(job: Job, form: JobForm, base_version: int) -> Any:
    """Shows the page that merges two changes of a job. Once somebody has chosen there, saves the result.

    `base_version` is the version for which the form was drawn.
    """
    try:
        base = as_request(services().jobs.revision(actor(), job.id, base_version).definition)
        mine = as_request(services().jobs.validate(actor(), form.body, job_id=job.id))
    except NotFound:
        return _page(form, stale=StaleVersion(base_version, job.version)), StaleVersion.status
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return _page(form), failed.status
    theirs = as_request(job.definition)
    taken = {name.removeprefix(TAKE) for name, side in posted() if name.startswith(TAKE) and side == "theirs"}
    if small_number(request.form.get(MERGE, "")) == job.version:
        changed = services().jobs.update(actor(), job.id, merge(base, theirs, mine, taken), version=job.version)
        tell(say("Job {name} changed; the changes of {who} are kept", name=changed.definition.name, who=job.updated_by))
        return redirect(url_for(".show", job_id=job.id))
    pairs = [(name, value) for name, value in posted() if not name.startswith((TAKE, MERGE)) and name != "csrf_token"]
    rows = [_titled(row, form.entry.parameters_schema) for row in changes(base, theirs, mine)]
    return render_template("job_merge.html", job=job, rows=rows, kept=pairs, onto=MERGE, take=TAKE, begun=base_version), 412


def _titled(change: Change, schema: Any) -> dict[str, Any]:
    """Returns a row of the merge page: a change with the title of its field, and with its values in words."""
    sides = {"mine": change.mine, "theirs": change.theirs}
    shown = {name: titled_changes([dict(side)], schema)[0] for name, side in sides.items() if side is not None}
    title = next((side["field"] for side in shown.values()), change.pointer)
    return {"pointer": change.pointer, "clashes": change.clashes, "title": title, **dict.fromkeys(sides), **shown}

"""The form of a new job and of an existing one, and the page that merges two changes of the same job."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import NotFound, StaleVersion, ValidationFailed
from app.jobs.body import as_request
from app.jobs.merging import changes, merge
from app.jobs.model import Job
from app.jobtemplates.entry import TemplateVersion
from templates_lib.messages import say
from web.current import actor, services
from web.forms.names import small_number
from web.views.beginnings import chosen_beginning, save_preset
from web.views.common import posted, posted_version, tell, tell_gone
from web.views.job_form import PARAMETERS, JobForm
from web.views.jobs.blueprint import blueprint

TRY = "try"  # the name of the button that starts a dry run
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
    form = JobForm.read(entry, posted())
    if form.pressed or save_preset(entry, form.parts[PARAMETERS]):
        return render_template("job_form.html", **form.render())
    try:
        if TRY in request.form:
            dry_run_id = services().previews.try_out(actor(), form.body)
            return render_template("job_form.html", **form.render(), tried={"of": dry_run_id, "found": None})
        job, _ = services().jobs.create(actor(), form.body)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    services().drafts.drop(actor(), template_type)
    tell(say("{name} is in the registry", name=job.definition.name))
    _warn(job)
    tell_gone(form.parts[PARAMETERS])
    return redirect(url_for(".show", job_id=job.id))


def _form_of_new(entry: TemplateVersion) -> str:
    like, draft = request.args.get("like"), services().drafts.find(actor(), entry.type)
    if like:
        form = JobForm(entry, like=services().jobs.get(actor(), like))
    elif draft and "draft" in request.args:
        form = JobForm.read(entry, draft.pairs)
    else:
        form = JobForm(entry, begin=chosen_beginning(entry, of_job=False))
    offered = draft if draft and not like and "draft" not in request.args else None
    return render_template("job_form.html", **form.render(), draft=offered)


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
        return render_template("job_form.html", **JobForm(entry, job=job).render())
    form = JobForm.read(entry, posted(), job)
    if form.pressed or save_preset(entry, form.parts[PARAMETERS]):
        return render_template("job_form.html", **form.render())
    try:
        body, version = form.body, posted_version()
        if version is not None and version != job.version:
            return _merge(job, form, version)
        changed = services().jobs.update(actor(), job_id, body, version=version)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    except StaleVersion as stale:  # within the last moment
        return _merge(services().jobs.get(actor(), job_id), form, stale.expected)
    tell(say("{name} is changed", name=changed.definition.name))
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
        return render_template("job_form.html", **form.render(), stale=StaleVersion(base_version, job.version)), StaleVersion.status
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    theirs = as_request(job.definition)
    taken = {name.removeprefix(TAKE) for name, side in posted() if name.startswith(TAKE) and side == "theirs"}
    if small_number(request.form.get(MERGE, "")) == job.version:
        changed = services().jobs.update(actor(), job.id, merge(base, theirs, mine, taken), version=job.version)
        tell(say("{name} is changed; what {who} changed stays", name=changed.definition.name, who=job.updated_by))
        return redirect(url_for(".show", job_id=job.id))
    pairs = [(name, value) for name, value in posted() if not name.startswith((TAKE, MERGE)) and name != "csrf_token"]
    rows = changes(base, theirs, mine)
    return render_template("job_merge.html", job=job, rows=rows, kept=pairs, onto=MERGE, take=TAKE, begun=base_version), 412

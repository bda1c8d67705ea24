"""The page of a job with its notes, its versions and its parts that htmx asks for."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import LimitReached, NotFound, ValidationFailed
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.jobs.revisions import difference
from templates_lib.messages import say
from web.current import actor, services
from web.forms.names import small_number
from web.views.audit import ACTION_WORDS
from web.views.common import is_refused, page_number, posted, tell
from web.views.exchange import as_file
from web.views.job_rows import job_row
from web.views.jobs.blueprint import blueprint
from web.views.jobs.page_model import HISTORY, load_job_page
from web.views.schedule_form import merged, parts_context, preview_schedule


@blueprint.get("/<job_id>")
def show(job_id: str) -> str:
    """Shows a job: its state, its definition, its history. Links to a job outlive it: of a deleted one, shows what is left."""
    try:
        return _page(job_id)
    except NotFound:
        job = services().deleted_jobs.get(actor(), job_id)
    trail = lacks(actor(), May.SEE_AUDIT) is None
    return render_template("job_deleted.html", job=job, changes=lacks(actor(), May.CHANGE_JOBS) is None, trail=trail)


def _page(job_id: str, *, note: str = "", note_error: str = "") -> str:
    """The page; `note` is the text of a note that could not be saved, and `note_error` says why."""
    model = load_job_page(services(), actor(), job_id, page=page_number())
    return render_template("job.html", **model.values(), actions=ACTION_WORDS, note=note, note_error=note_error)


@blueprint.get("/<job_id>/row")
def row(job_id: str) -> str:
    """Shows the row of the job in the list, for htmx."""
    return render_template("partials/job_row.html", row=job_row(services(), actor(), services().jobs.get(actor(), job_id)))


@blueprint.get("/<job_id>/revisions")
def revisions(job_id: str) -> str:
    """Shows the versions of the job, what each change did and, if two are chosen, how they differ."""
    job, before = services().jobs.get(actor(), job_id), small_number(request.args.get("before", ""))
    rows = services().jobs.revisions(actor(), job_id, before=before if before > 0 else None, limit=HISTORY)
    template = services().catalogue.find(job.definition.template_type, job.template_version)
    schema = template.parameters_schema if template else None
    return render_template("revisions.html", job=job, rows=rows, schema=schema, compared=_compared(job))


def _compared(job: Job) -> dict[str, Any] | None:
    """Returns what two versions of the job differ in, as the address asks (`from`, `to`); None if it asks for nothing."""
    numbers = [small_number(request.args.get(name, "")) for name in ("from", "to")]
    if min(numbers) < 1:
        return None
    compared: dict[str, Any] = {"from": numbers[0], "to": numbers[1], "missing": 0, "diff": []}
    states = []
    for number in numbers:
        try:
            states.append(services().jobs.revision(actor(), job.id, number))
        except NotFound:
            return {**compared, "missing": number}
    return {**compared, "diff": difference(*states)}


@blueprint.get("/<job_id>/export.<any(yaml, json):file_format>")
def export(job_id: str, file_format: str) -> Response:
    """Sends the job as a file."""
    job = services().jobs.get(actor(), job_id)
    return as_file(file_format, services().exchange.export(actor(), file_format, JobFilter(ids=[job.id])), "job")


@blueprint.post("/<job_id>/notes")
def add_note(job_id: str) -> Any:
    """Adds a note. If the text cannot be one, shows the page again with the text and the reason."""
    if is_refused():
        return _page(job_id, note=request.form.get("text", ""))
    try:
        services().notes.add(actor(), job_id, request.form.get("text", ""))
    except (ValidationFailed, LimitReached) as failed:
        error = failed.errors[0].message if isinstance(failed, ValidationFailed) else failed.detail
        return _page(job_id, note=request.form.get("text", ""), note_error=error), failed.status
    return redirect(url_for(".show", job_id=job_id) + "#notes")


@blueprint.post("/<job_id>/notes/<note_id>/delete")
def drop_note(job_id: str, note_id: str) -> Any:
    """Deletes a note."""
    services().notes.drop(actor(), job_id, note_id)
    tell(say("Note deleted"))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/schedule-preview")
def schedule_preview() -> str:
    """Shows a schedule in words and its next runs while somebody types it."""
    require(actor(), May.SEE_JOBS)
    fields = dict(posted())
    reduced = merged(fields)
    return render_template(
        "partials/schedule_live.html",
        preview=preview_schedule(fields),
        posted=fields,
        **parts_context(reduced),
    )

"""The page of a job with its notes, its versions and its parts that htmx asks for."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import LimitReached, ValidationFailed
from app.jobs.filters import JobFilter
from templates_lib.messages import say
from web.current import actor, services
from web.forms.names import small_number
from web.views.common import is_refused, page_number, posted, tell
from web.views.exchange import as_file
from web.views.job_rows import job_row
from web.views.jobs.blueprint import blueprint
from web.views.jobs.page_model import HISTORY, load_job_page
from web.views.schedule_form import merged, parts_context, preview_schedule


@blueprint.get("/<job_id>")
def show(job_id: str) -> str:
    """Shows a job: its state, its definition, its history."""
    return _page(job_id)


def _page(job_id: str, *, note: str = "", note_error: str = "") -> str:
    """The page; `note` is the text of a note that could not be saved, and `note_error` says why."""
    model = load_job_page(services(), actor(), job_id, page=page_number())
    return render_template("job.html", **model.values(), note=note, note_error=note_error)


@blueprint.get("/<job_id>/row")
def row(job_id: str) -> str:
    """Shows the row of the job in the list, for htmx."""
    return render_template("partials/job_row.html", row=job_row(services(), actor(), services().jobs.get(actor(), job_id)))


@blueprint.get("/<job_id>/revisions")
def revisions(job_id: str) -> str:
    """Shows the versions of the job and what each change did."""
    job, before = services().jobs.get(actor(), job_id), small_number(request.args.get("before", ""))
    rows = services().jobs.revisions(actor(), job_id, before=before if before > 0 else None, limit=HISTORY)
    return render_template("revisions.html", job=job, rows=rows)


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

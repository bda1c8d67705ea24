"""The actions on a job besides running it: switch, pause, resume, restore a version, delete, undelete."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for

from app.errors import FieldError, ValidationFailed
from app.jobs.model import Cause
from templates_lib.messages import say
from web.current import actor, services
from web.forms import ABSENT
from web.views.common import CHECK, Editor, form_of, is_htmx, posted, posted_version, tell
from web.views.job_rows import job_row
from web.views.jobs.blueprint import blueprint

PAUSE_FORM = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "title": "Why",
            "minLength": 1,
            "maxLength": 500,
            "description": "Whoever looks for the job's runs reads it.",
        },
        "until": {
            "type": "string",
            "format": "date-time",
            "title": "Until",
            "description": "Leave it out to pause until someone resumes the job.",
        },
    },
}


@blueprint.post("/<job_id>/<any(enable, disable):action>")
def toggle(job_id: str, action: str) -> Any:
    """Enables or disables the job."""
    job = services().jobs.set_enabled(actor(), job_id, enabled=action == "enable")
    name = job.definition.name
    tell(
        say("{name} is enabled", name=name) if action == "enable" else say("{name} is disabled", name=name),
        undo=url_for(".toggle", job_id=job_id, action="disable" if action == "enable" else "enable"),
    )
    if is_htmx():
        return render_template("partials/job_row_changed.html", row=job_row(services(), actor(), job))
    back_to_job = request.form.get("back") == "job"
    return redirect(url_for(".show", job_id=job_id) if back_to_job else url_for("job_list_pages.list_jobs"))


@blueprint.route("/<job_id>/pause", methods=["GET", "POST"])
def pause(job_id: str) -> Any:
    """Asks for a reason and an end, then pauses the job."""
    job = services().jobs.get(actor(), job_id)
    old = job.paused if job.paused and job.paused.cause is Cause.PERSON else None
    stored: Any = {"reason": old.reason, **({"until": f"{old.until:%Y-%m-%dT%H:%M:%SZ}"} if old.until else {})} if old else ABSENT
    errors: tuple[FieldError, ...] = ()
    editor, status = Editor(form_of(PAUSE_FORM), stored), 200
    if request.method == "POST":
        editor.read(posted())
        try:
            value = editor.value
            if not editor.pressed:
                services().pausing.pause(actor(), job_id, value)
                return redirect(url_for(".show", job_id=job_id))
        except ValidationFailed as failed:
            errors, status = failed.errors, 200 if editor.pressed else failed.status
    shown = editor.present(errors if editor.pressed in {None, CHECK} else ())
    return render_template("pause.html", job=job, controls=shown.controls, errors=shown.summary), status


@blueprint.post("/<job_id>/resume")
def resume(job_id: str) -> Any:
    """Ends the pause of the job."""
    services().pausing.resume(actor(), job_id)
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/revisions/<int:number>/restore")
def restore(job_id: str, number: int) -> Any:
    """Makes the job what it was in an earlier version. The versions in between stay in the list of versions."""
    before = services().jobs.get(actor(), job_id)
    job = services().jobs.restore(actor(), job_id, number, version=posted_version())
    undo = url_for(".restore", job_id=job_id, number=before.version) if job.version != before.version else ""
    tell(say("{name} is as it was in version {number}", name=job.definition.name, number=number), undo=undo)
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/delete")
def delete(job_id: str) -> Any:
    """Retires the job; its history stays."""
    name = services().jobs.get(actor(), job_id).definition.name
    services().runs.delete_job(actor(), job_id)
    tell(say("{name} is deleted; its history stays", name=name), undo=url_for(".undelete", job_id=job_id))
    return redirect(url_for("job_list_pages.list_jobs"))


@blueprint.post("/<job_id>/undelete")
def undelete(job_id: str) -> Any:
    """Takes a deleted job back into the registry."""
    job = services().jobs.undelete(actor(), job_id)
    name = job.definition.name
    tell(say("{name} is back", name=name) if job.definition.enabled else say("{name} is back, switched off", name=name))
    return redirect(url_for(".show", job_id=job_id))

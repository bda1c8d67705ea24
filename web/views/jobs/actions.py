"""The actions on a job besides running it: switch, pause, resume, restore a version, delete, undelete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import redirect, render_template, request, url_for

from app.errors import FieldError, ValidationFailed
from app.instants import INSTANT, shifted
from app.jobs.model import Cause, Job
from templates_lib.messages import joined, say, say_many
from web.current import actor, services
from web.forms.page.messages import SummaryLine
from web.views.common import is_htmx, is_refused, posted_version, tell
from web.views.job_rows import job_row
from web.views.jobs.blueprint import blueprint
from web.views.moments import TAKE, local_text, local_words, pause_shortcuts, read_moment, taken

SHOW = "show"  # the button that shows what an action would do


@blueprint.post("/<job_id>/<any(enable, disable):action>")
def toggle(job_id: str, action: str) -> Any:
    """Enables or disables the job."""
    job = services().jobs.set_enabled(actor(), job_id, enabled=action == "enable")
    name = job.definition.name
    tell(
        say("Job {name} enabled", name=name) if action == "enable" else say("Job {name} disabled", name=name),
        undo=url_for(".toggle", job_id=job_id, action="disable" if action == "enable" else "enable"),
    )
    if is_htmx():
        return render_template("partials/job_row_changed.html", row=job_row(services(), actor(), job))
    back_to_job = request.form.get("back") == "job"
    return redirect(url_for(".show", job_id=job_id) if back_to_job else url_for("job_list_pages.list_jobs"))


@blueprint.route("/<job_id>/pause", methods=["GET", "POST"])
def pause(job_id: str) -> Any:
    """Asks for an end and a reason, and shows how many runs the pause skips; then pauses the job."""
    job = services().jobs.get(actor(), job_id)
    old = job.paused if job.paused and job.paused.cause is Cause.PERSON else None
    values = {"until": local_text(old.until), "reason": old.reason} if old else {"until": "", "reason": ""}
    values |= {name: request.form[name] for name in values if name in request.form} | taken(request.form)
    errors: list[FieldError] = []
    until = read_moment(values["until"], "/until", errors)
    if until is not None and until <= services().clock.now():
        errors.append(FieldError("/until", say("must be in the future")))
    status = 200
    if request.method == "POST" and not ({TAKE, SHOW} & set(request.form) or is_refused()):
        try:
            _pause(job, values["reason"], until, errors)
            return redirect(url_for(".show", job_id=job_id))
        except ValidationFailed as failed:
            errors, status = list(failed.errors), failed.status
    skipped = None if errors else services().pausing.skipped(job, until)
    wrong = {name: [error.message for error in errors if error.pointer == f"/{name}"] for name in values}
    lines = [SummaryLine(error.pointer, f"#{error.pointer.strip('/')}", _PAUSE_TITLES[error.pointer], error.message) for error in errors]
    page = render_template(
        "pause.html",
        job=job,
        values=values,
        wrong=wrong,
        errors=lines if status != 200 else [],
        shortcuts=pause_shortcuts(),
        effect=_effect_of_pause(job, until, skipped),
    )
    return page, status


_PAUSE_TITLES = {"/until": say("Until"), "/reason": say("Reason")}


def _pause(job: Job, reason: str, until: datetime | None, errors: list[FieldError]) -> None:
    """Pauses the job and says so on the next page. Raises ValidationFailed with `errors`, or with what is wrong with the reason."""
    if errors:
        raise ValidationFailed(errors)
    body = {"reason": reason.strip(), **({"until": until.isoformat()} if until else {})}
    services().pausing.pause(actor(), job.id, body)
    tell(say("Job {name} paused", name=job.definition.name), undo=url_for(".resume", job_id=job.id))


def _effect_of_pause(job: Job, until: datetime | None, skipped: int | None) -> str:
    """Returns what a pause until then does to the job, in a sentence."""
    if until is None:
        return say("Every scheduled run is skipped until someone resumes the job.")
    if skipped is None:
        return say("Until then, the job does not run after other jobs.")
    following = job.definition.schedule.trigger.next_after(shifted(until, -INSTANT))
    words = say_many("{count} scheduled run will be skipped.", "{count:,} scheduled runs will be skipped.", skipped)
    if following is None:
        return words
    return joined((words, say("The next run after the pause is on {time}.", time=local_words(following))), " ")


@blueprint.post("/<job_id>/resume")
def resume(job_id: str) -> Any:
    """Ends the pause of the job."""
    job = services().pausing.resume(actor(), job_id)
    tell(say("Job {name} resumed", name=job.definition.name))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/shadow")
def begin_shadow(job_id: str) -> Any:
    """Puts the job in shadow mode."""
    job = services().shadowing.begin(actor(), job_id, {})
    tell(say("Job {name} is in shadow mode", name=job.definition.name), undo=url_for(".end_shadow", job_id=job_id))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/shadow/end")
def end_shadow(job_id: str) -> Any:
    """Ends the shadow mode of the job."""
    job = services().shadowing.end(actor(), job_id)
    tell(say("Shadow mode of job {name} ended", name=job.definition.name))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/revisions/<int:number>/restore")
def restore(job_id: str, number: int) -> Any:
    """Makes the job what it was in an earlier version. The versions in between stay in the list of versions."""
    before = services().jobs.get(actor(), job_id)
    job = services().jobs.restore(actor(), job_id, number, version=posted_version())
    undo = url_for(".restore", job_id=job_id, number=before.version) if job.version != before.version else ""
    tell(say("Job {name} restored to version {number}", name=job.definition.name, number=number), undo=undo)
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/delete")
def delete(job_id: str) -> Any:
    """Retires the job; its history stays."""
    name = services().jobs.get(actor(), job_id).definition.name
    services().runs.delete_job(actor(), job_id)
    tell(say("Job {name} deleted. Its executions are kept.", name=name), undo=url_for(".undelete", job_id=job_id))
    return redirect(url_for("job_list_pages.list_jobs"))


@blueprint.post("/<job_id>/undelete")
def undelete(job_id: str) -> Any:
    """Takes a deleted job back into the registry."""
    job = services().jobs.undelete(actor(), job_id)
    name = job.definition.name
    tell(say("Job {name} restored", name=name) if job.definition.enabled else say("Job {name} restored and disabled", name=name))
    return redirect(url_for(".show", job_id=job_id))

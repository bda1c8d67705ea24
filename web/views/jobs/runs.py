"""The ways to run a job by hand: now, with other values, or for due times that have passed."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for

from app.errors import FieldError, ValidationFailed
from app.scheduling.backfill import SCHEMA as BACKFILL_FORM
from templates_lib.messages import say, say_many
from web.current import actor, services
from web.forms import ABSENT
from web.forms.page.messages import SummaryLine
from web.views.beginnings import chosen_beginning
from web.views.common import CHECK, Editor, form_of, is_htmx, parameters_form, posted, tell
from web.views.jobs.blueprint import blueprint
from web.views.run_with import answer_run_with, run_with_page


@blueprint.post("/<job_id>/run")
def run(job_id: str) -> Any:
    """Runs the job now and leads to the page of the execution."""
    execution = services().runs.run_now(actor(), job_id)
    tell(services().runs.standing(execution))
    target = url_for("executions_pages.show", execution_id=execution.id)
    if is_htmx():
        return "", 204, {"HX-Redirect": target}
    return redirect(target)


@blueprint.route("/<job_id>/run-with", methods=["GET", "POST"])
def run_with(job_id: str) -> Any:
    """Runs the job once with other values for some parameters."""
    job = services().jobs.get(actor(), job_id)
    entry = services().parameters.entry_of(job)
    beginning = chosen_beginning(entry, of_job=True)
    stored = services().parameters.shown(job)
    editor = Editor(parameters_form(entry.parameters_schema), stored if beginning is ABSENT else {**stored, **beginning})
    if request.method == "GET":
        return run_with_page(job, editor)
    return answer_run_with(job, editor, lambda values: services().runs.run_now(actor(), job_id, overrides=values, whole=True))


@blueprint.route("/<job_id>/backfill", methods=["GET", "POST"])
def backfill(job_id: str) -> Any:
    """Asks for a range of the past, shows the runs that it would queue, and queues them."""
    job = services().jobs.get(actor(), job_id)
    services().runs.may_run(actor(), job_id)
    errors: tuple[FieldError, ...] = ()
    editor, status, plan = Editor(form_of(BACKFILL_FORM)), 200, None
    if request.method == "POST":
        editor.read(posted())
        try:
            value = editor.value
            if not editor.pressed and "show" in request.form:
                plan = services().backfills.plan(actor(), job_id, value)
            elif not editor.pressed:
                plan = services().backfills.start(actor(), job_id, value)
                tell(say_many("{count} run is queued", "{count:,} runs are queued", len(plan.due_times)))
                return redirect(url_for(".show", job_id=job_id))
        except ValidationFailed as failed:
            errors, status = failed.errors, 200 if editor.pressed else failed.status
    shown = editor.present(errors if editor.pressed in {None, CHECK} else ())
    lines = [SummaryLine("", "#job-form", say("Backfill"), error.message) for error in errors if not error.pointer]
    return render_template("backfill.html", job=job, controls=shown.controls, errors=[*lines, *shown.summary], plan=plan), status


@blueprint.post("/<job_id>/backfill/cancel")
def cancel_backfill(job_id: str) -> Any:
    """Cancels the runs of backfills that have not started."""
    tell(say_many("{count} run is cancelled", "{count:,} runs are cancelled", services().backfill_runs.cancel(actor(), job_id)))
    return redirect(url_for(".show", job_id=job_id))

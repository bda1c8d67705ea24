"""The ways to run a job by hand: now, with other values, or for due times that have passed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flask import redirect, render_template, request, url_for

from app.errors import FieldError, ValidationFailed
from app.execution.figures import Figures
from app.instants import shifted
from app.jobs.model import Job
from templates_lib.messages import say, say_many
from web.current import actor, services
from web.filters.times import rough_time
from web.forms import ABSENT
from web.forms.page.messages import SummaryLine
from web.views.beginnings import chosen_beginning
from web.views.common import Editor, is_htmx, is_refused, parameters_form, tell
from web.views.jobs.actions import SHOW
from web.views.jobs.blueprint import blueprint
from web.views.moments import TAKE, backfill_shortcuts, local_text, read_moment, taken
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
    outage = _last_outage(job)
    values = _asked_range(outage)
    errors: list[FieldError] = []
    body = _backfill_body(values, errors)
    status, plan = 200, None
    asks_only = request.method == "GET" or bool({TAKE, SHOW} & set(request.form)) or is_refused()
    try:
        if errors:
            raise ValidationFailed(errors)
        if not asks_only:
            plan = services().backfills.start(actor(), job_id, body)
            tell(say_many("{count} run queued", "{count:,} runs queued", len(plan.due_times)))
            return redirect(url_for(".show", job_id=job_id))
        plan = services().backfills.plan(actor(), job_id, body)
    except ValidationFailed as failed:
        errors, status = list(failed.errors), 200 if request.method == "GET" else failed.status
    lines = [
        SummaryLine(e.pointer, f"#{e.pointer.strip('/') or 'job-form'}", _RANGE.get(e.pointer, say("Range")), e.message) for e in errors
    ]
    page = render_template(
        "backfill.html",
        job=job,
        values=values,
        wrong={name: [error.message for error in errors if error.pointer == f"/{name}"] for name in values},
        errors=lines,
        shortcuts=backfill_shortcuts(outage),
        plan=plan,
        takes=_typical_time(job, len(plan.due_times)) if plan else "",
    )
    return page, status


_RANGE = {"/from": say("From"), "/to": say("To")}


def _asked_range(outage: tuple[datetime, datetime] | None) -> dict[str, str]:
    """Returns the fields of the form: what was posted; before that the last outage, or the last day if there was none."""
    if request.method == "GET":
        now = services().clock.now().replace(second=0, microsecond=0)
        begin, end = outage or (now - timedelta(days=1), now)
        return {"from": local_text(begin), "to": local_text(end), "again": ""}
    return {name: request.form.get(name, "") for name in ("from", "to", "again")} | taken(request.form)


def _backfill_body(values: Mapping[str, str], errors: list[FieldError]) -> dict[str, Any]:
    """Returns what the service is asked for."""
    body: dict[str, Any] = {"again": values["again"] == "true"}
    for name in ("from", "to"):
        moment = read_moment(values[name], f"/{name}", errors)
        if moment is not None:
            body[name] = moment.isoformat()
        elif not values[name].strip():
            errors.append(FieldError(f"/{name}", "is required"))
    return body


def _last_outage(job: Job) -> tuple[datetime, datetime] | None:
    """Returns the range of the last due times that passed without a run; its end is not included."""
    times = services().history.last_outage(actor(), job.id)
    if times is None:
        return None
    return times.first, shifted(times.last, timedelta(seconds=1) if times.last.second else timedelta(minutes=1))


def _typical_time(job: Job, runs: int) -> str:
    """Returns how long so many runs of a job take together, in words; "" if none has succeeded yet."""
    median = Figures.of(services().history.latest(actor(), job.id)).median_seconds
    return rough_time(median * runs) if median is not None and runs else ""


@blueprint.post("/<job_id>/backfill/cancel")
def cancel_backfill(job_id: str) -> Any:
    """Cancels the runs of backfills that have not started."""
    tell(say_many("{count} run cancelled", "{count:,} runs cancelled", services().backfill_runs.cancel(actor(), job_id)))
    return redirect(url_for(".show", job_id=job_id))

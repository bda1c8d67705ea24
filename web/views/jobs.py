"""/jobs/<id>: a job, its form, and what is done to it."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.audit.model import AuditFilter
from app.connections.inventory import Inventory
from app.errors import FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.jobs.body import as_request
from app.jobs.filters import JobFilter
from app.jobs.merging import changes, merge
from app.jobs.model import Cause, Job
from app.jobtemplates.entry import TemplateVersion
from app.scheduling.backfill import SCHEMA as BACKFILL_FORM
from app.scheduling.plan import spread
from templates_lib.messages import say, say_many
from web.charts import durations
from web.current import actor, services
from web.forms import ABSENT
from web.forms.names import small_number
from web.forms.page.messages import SummaryLine
from web.views.beginnings import chosen_beginning, save_preset
from web.views.common import (
    CHECK,
    MOST_COUNTED,
    Editor,
    form_of,
    is_htmx,
    is_refused,
    page_number,
    parameters_form,
    posted,
    posted_version,
    tell,
    tell_gone,
)
from web.views.exchange import as_file
from web.views.job_form import PARAMETERS, JobForm
from web.views.job_list import job_row
from web.views.run_with import answer_run_with, run_with_page
from web.views.schedule_form import merged, parts_context, preview_schedule, upcoming

blueprint = Blueprint("jobs_pages", __name__, url_prefix="/jobs")

HISTORY = 15
CHARTED = 60
SHORT_SECRET = 3  # characters


def _newer(job: Job) -> int | None:
    """The version of its template that new jobs are of, where that is a newer one."""
    current = services().catalogue.find(job.definition.template_type)
    return current.version if current is not None and current.version > job.template_version else None


@blueprint.get("/<job_id>/revisions")
def revisions(job_id: str) -> str:
    """What the job was, and what each change made of it."""
    job, before = services().jobs.get(actor(), job_id), small_number(request.args.get("before", ""))
    rows = services().jobs.revisions(actor(), job_id, before=before if before > 0 else None, limit=HISTORY)
    return render_template("revisions.html", job=job, rows=rows)


@blueprint.post("/<job_id>/revisions/<int:number>/restore")
def restore(job_id: str, number: int) -> Any:
    """Put a version back in place; what was meanwhile stays among the versions."""
    before = services().jobs.get(actor(), job_id)
    job = services().jobs.restore(actor(), job_id, number, version=posted_version())
    undo = url_for(".restore", job_id=job_id, number=before.version) if job.version != before.version else ""
    tell(say("{name} is as it was in version {number}", name=job.definition.name, number=number), undo=undo)
    return redirect(url_for(".show", job_id=job_id))


@blueprint.get("/<job_id>/export.<any(yaml, json):kind>")
def export(job_id: str, kind: str) -> Response:
    """The job as a file."""
    job = services().jobs.get(actor(), job_id)
    return as_file(kind, services().exchange.export(actor(), kind, JobFilter(ids=[job.id])), "job")


@blueprint.get("/<job_id>/row")
def row(job_id: str) -> str:
    """One row of the list, for htmx."""
    return render_template("partials/job_row.html", row=job_row(services().jobs.get(actor(), job_id)))


@blueprint.post("/<job_id>/<any(enable, disable):what>")
def toggle(job_id: str, what: str) -> Any:
    """The switch."""
    job = services().jobs.set_enabled(actor(), job_id, enabled=what == "enable")
    name = job.definition.name
    tell(
        say("{name} is enabled", name=name) if what == "enable" else say("{name} is disabled", name=name),
        undo=url_for(".toggle", job_id=job_id, what="disable" if what == "enable" else "enable"),
    )
    if is_htmx():
        return render_template("partials/job_row_changed.html", row=job_row(job))
    back_to_job = request.form.get("back") == "job"
    return redirect(url_for(".show", job_id=job_id) if back_to_job else url_for("job_list_pages.list_jobs"))


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


@blueprint.route("/<job_id>/pause", methods=["GET", "POST"])
def pause(job_id: str) -> Any:
    """Why and until when; then the job's due times go by."""
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
    """End a pause."""
    services().pausing.resume(actor(), job_id)
    return redirect(url_for(".show", job_id=job_id))


@blueprint.route("/<job_id>/backfill", methods=["GET", "POST"])
def backfill(job_id: str) -> Any:
    """A range of the past, what would run of it, and the button that queues that."""
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
    lines = [SummaryLine("", "#job-form", say("Backfill"), one.message) for one in errors if not one.pointer]
    return render_template("backfill.html", job=job, controls=shown.controls, errors=[*lines, *shown.summary], plan=plan), status


@blueprint.post("/<job_id>/backfill/cancel")
def cancel_backfill(job_id: str) -> Any:
    """Cancel what waits of the job's backfills."""
    tell(say_many("{count} run is cancelled", "{count:,} runs are cancelled", services().backfill_runs.cancel(actor(), job_id)))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/run")
def run(job_id: str) -> Any:
    """The run button: on to the execution, which is live."""
    execution = services().runs.run_now(actor(), job_id)
    tell(services().runs.standing(execution))
    target = url_for("executions_pages.show", execution_id=execution.id)
    if is_htmx():
        return "", 204, {"HX-Redirect": target}
    return redirect(target)


@blueprint.route("/<job_id>/run-with", methods=["GET", "POST"])
def run_with(job_id: str) -> Any:
    """Run once with other values for some parameters."""
    job = services().jobs.get(actor(), job_id)
    entry = services().parameters.entry_of(job)
    begin = chosen_beginning(entry, of_job=True)
    usual = services().parameters.shown(job)
    editor = Editor(parameters_form(entry.parameters_schema), usual if begin is ABSENT else {**usual, **begin})
    if request.method == "GET":
        return run_with_page(job, editor)
    return answer_run_with(job, editor, lambda values: services().runs.run_now(actor(), job_id, overrides=values, whole=True))


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """The form of a new job; without a template, the gallery."""
    require(actor(), May.CHANGE_JOBS)
    kind = request.args.get("template")
    if not kind:
        return redirect(url_for("templates_pages.gallery"))
    entry = services().catalogue.get(kind)
    if request.method == "GET":
        return _form_of_new(entry)
    form = JobForm.read(entry, posted())
    if form.pressed or save_preset(entry, form.parts[PARAMETERS]):
        return render_template("job_form.html", **form.render())
    try:
        if TRY in request.form:
            of = services().previews.try_out(actor(), form.body)
            return render_template("job_form.html", **form.render(), tried={"of": of, "found": None})
        job, _ = services().jobs.create(actor(), form.body)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    services().drafts.drop(actor(), kind)
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


TRY = "try"  # the button that asks what a run would do


@blueprint.get("/new/tried/<of>")
def tried(of: str) -> str:
    """What a dry run has found by now."""
    return render_template("partials/dry_run.html", tried={"of": of, "found": services().previews.result_of_try(actor(), of)})


@blueprint.post("/new/draft")
def keep_draft() -> Any:
    """Keep a form that is left; the page sends it without its secrets."""
    entry, pairs = services().catalogue.get(request.args.get("template", "")), posted()
    submission = JobForm.read(entry, pairs).parts[PARAMETERS].submission
    if submission is None or submission.errors or not isinstance(submission.value, dict):
        # What cannot be read may hold a secret anywhere: a JSON text that is half typed does.
        pairs = [(name, text) for name, text in pairs if not re.match(rf"{PARAMETERS}\b", name)]
        value = {}
    else:
        value = submission.value
    # Whichever field a secret stands in, a password's or the JSON of the whole: it is left out with it.
    sites = Inventory.of(entry.parameters_schema, value).secrets()
    secrets = [site.value for site in sites if isinstance(site.value, str) and site.value]
    kept = [(name, text) for name, text in pairs if name != "csrf_token" and not any(_holds(text, secret) for secret in secrets)]
    services().drafts.keep(actor(), entry.type, kept)
    return "", 204


def _holds(text: str, secret: str) -> bool:
    """Whether a field is a secret, or a text with one in it; a few letters are in many texts by chance, and in JSON on purpose."""
    return text == secret or (secret in text and (len(secret) > SHORT_SECRET or text.lstrip()[:1] in {"{", "["}))


@blueprint.post("/new/draft/drop")
def drop_draft() -> Any:
    """Forget it."""
    kind = request.args.get("template", "")
    services().drafts.drop(actor(), kind)
    return redirect(url_for(".new", template=kind))


@blueprint.get("/<job_id>")
def show(job_id: str) -> str:
    """A job: state, definition, history."""
    return _job_page(job_id)


def _job_page(job_id: str, *, note: str = "", note_error: str = "") -> str:
    job = services().jobs.get(actor(), job_id)
    page = services().history.page(actor(), ExecutionFilter(job_id=job_id), page=page_number(), limit=HISTORY, most=MOST_COUNTED)
    past = durations(services().history.latest(actor(), job_id, CHARTED))
    due = (
        upcoming(job.definition.schedule, round(past.figures.median_seconds or 0))
        if job.definition.enabled and not job.schedule_error
        else []
    )
    return render_template(
        "job.html",
        past=past,
        due=due,
        revisions=services().jobs.revisions(actor(), job_id, limit=3),
        spread=spread(job.id, job.definition.schedule.jitter_seconds).total_seconds(),
        row=job_row(job),
        job=job,
        newer=_newer(job),
        page=page,
        needs=services().parameters.needs(job),
        notes=services().notes.of(actor(), job_id),
        note=note,
        note_error=note_error,
        parameters=services().parameters.shown(job),
        upstream=services().dependencies.upstream(actor(), job),
        gathered=services().gathered(job_id),
        dependants=services().dependencies.dependants(actor(), job_id),
        backfill=services().backfill_runs.waiting(actor(), job_id),
        asked=services().approvals.waiting_for(actor(), job_id),
        audit=services().audit.history(AuditFilter(kind="job", target_id=job_id), limit=10),
    )


@blueprint.route("/<job_id>/edit", methods=["GET", "POST"])
def edit(job_id: str) -> Any:
    """The form of a job that is there; what someone else changed meanwhile is shown beside it, and neither is lost."""
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
            return _merged(job, form, version)
        changed = services().jobs.update(actor(), job_id, body, version=version)
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    except StaleVersion as stale:  # within the last moment
        return _merged(services().jobs.get(actor(), job_id), form, stale.expected)
    tell(say("{name} is changed", name=changed.definition.name))
    _warn(changed)
    tell_gone(form.parts[PARAMETERS])
    return redirect(url_for(".show", job_id=job_id))


def _warn(job: Job) -> None:
    """Say on the next page what will fail each run of a job that was saved."""
    for one in services().outlook.warnings(job.definition):
        tell(say("Warning: {text}", text=one.message))


MERGE, TAKE = "merge.onto", "merge:"  # the version that the page showed, and which side of each field is taken


def _merged(job: Job, form: JobForm, begun: int) -> Any:
    """The page that puts two changes together; once somebody has chosen on it, the job as it is then."""
    try:
        base = as_request(services().jobs.revision(actor(), job.id, begun).definition)
        mine = as_request(services().jobs.validate(actor(), form.body, job_id=job.id))
    except NotFound:
        return render_template("job_form.html", **form.render(), stale=StaleVersion(begun, job.version)), StaleVersion.status
    except ValidationFailed as failed:
        form.fail(failed.errors)
        return render_template("job_form.html", **form.render()), failed.status
    theirs = as_request(job.definition)
    taken = {name.removeprefix(TAKE) for name, side in posted() if name.startswith(TAKE) and side == "theirs"}
    if small_number(request.form.get(MERGE, "")) == job.version:
        changed = services().jobs.update(actor(), job.id, merge(base, theirs, mine, taken), version=job.version)
        tell(say("{name} is changed; what {who} changed stays", name=changed.definition.name, who=job.updated_by))
        return redirect(url_for(".show", job_id=job.id))
    kept = [(name, value) for name, value in posted() if not name.startswith((TAKE, MERGE)) and name != "csrf_token"]
    rows = changes(base, theirs, mine)
    return render_template("job_merge.html", job=job, rows=rows, kept=kept, onto=MERGE, take=TAKE, begun=begun), 412


@blueprint.post("/<job_id>/delete")
def delete(job_id: str) -> Any:
    """Retire the job."""
    name = services().jobs.get(actor(), job_id).definition.name
    services().runs.delete_job(actor(), job_id)
    tell(say("{name} is deleted; its history stays", name=name), undo=url_for(".undelete", job_id=job_id))
    return redirect(url_for("job_list_pages.list_jobs"))


@blueprint.post("/<job_id>/notes")
def add_note(job_id: str) -> Any:
    """Write a note; a text that is none comes back."""
    if is_refused():
        return _job_page(job_id, note=request.form.get("text", ""))
    try:
        services().notes.add(actor(), job_id, request.form.get("text", ""))
    except (ValidationFailed, LimitReached) as failed:
        error = failed.errors[0].message if isinstance(failed, ValidationFailed) else failed.detail
        return _job_page(job_id, note=request.form.get("text", ""), note_error=error), failed.status
    return redirect(url_for(".show", job_id=job_id) + "#notes")


@blueprint.post("/<job_id>/notes/<note_id>/delete")
def drop_note(job_id: str, note_id: str) -> Any:
    """Delete one."""
    services().notes.drop(actor(), job_id, note_id)
    tell(say("The note is deleted"))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/<job_id>/undelete")
def undelete(job_id: str) -> Any:
    """Take it back into the registry."""
    job = services().jobs.undelete(actor(), job_id)
    name = job.definition.name
    tell(say("{name} is back", name=name) if job.definition.enabled else say("{name} is back, switched off", name=name))
    return redirect(url_for(".show", job_id=job_id))


@blueprint.post("/schedule-preview")
def schedule_preview() -> str:
    """The schedule in words and its next runs, while it is typed."""
    require(actor(), May.SEE_JOBS)
    fields = dict(posted())
    reduced = merged(fields)
    return render_template(
        "partials/schedule_live.html",
        preview=preview_schedule(fields),
        posted=fields,
        **parts_context(reduced),
    )

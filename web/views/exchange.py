"""Export and import of jobs as a file. An import is shown as a plan before it is applied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import Conflict, FieldError, LimitReached, ValidationFailed
from app.exchange.file import MEDIA
from app.exchange.service import ExchangePlan, Step, StepAction, StepResult
from templates_lib.messages import joined, say, say_many
from web.current import actor, services
from web.filters.job_words import titles_on_the_way
from web.filters.parameters import PARAMETERS, reading_of
from web.forms.reading import Reading
from web.language import translated
from web.views.common import is_refused, job_filter, tell

blueprint = Blueprint("exchange_pages", __name__, url_prefix="/jobs")

# What becomes of jobs that exist already: title and explanation.
MODES = {
    "": (say("Create and change"), say("New jobs are created, existing jobs are changed to match the file.")),
    "only_new": (say("Only create"), say("New jobs are created. Existing jobs are not changed.")),
    "prune": (
        say("Create, change and delete"),
        say("Also deletes previously imported jobs that are missing from this file."),
    ),
}


@blueprint.get("/export.<any(yaml, json):kind>")
def export(kind: str) -> Response:
    """Sends the jobs of the list that the link is on as a file."""
    return as_file(kind, services().exchange.export(actor(), kind, job_filter()), "jobs")


def as_file(kind: str, text: str, name: str) -> Response:
    """Returns a text as a download."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return Response(text, content_type=f"{MEDIA[kind]}; charset=utf-8", headers=headers)


@blueprint.route("/import", methods=["GET", "POST"])
def bring() -> Any:
    """Asks for a file, shows what it would change, then changes it."""
    require(actor(), May.CHANGE_JOBS)
    if request.method == "GET":
        return _page("", None)
    upload = request.files.get("upload")
    text = request.form.get("file", "").replace("\r\n", "\n")
    try:
        if upload is not None and upload.filename:
            upload.seek(0)  # a page that was refused is drawn a second time
            text = upload.read().decode("utf-8")
        mode = request.form.get("mode", "")
        options = {"prune": mode == "prune", "only_new": mode == "only_new"}
        if request.form.get("action") != "apply" or is_refused():
            return _page(text, services().exchange.plan(actor(), text, **options))
        done = services().exchange.apply(actor(), text, **options)
    except UnicodeDecodeError:
        return _page("", None, say("The file is not a text in UTF-8")), 422
    except (ValidationFailed, LimitReached, Conflict) as failed:
        return _page(text, None, failed.detail), failed.status
    if any(step.result is StepResult.FAILED for step in done.steps):
        return _page(text, done, say("Some changes failed. The table below says why")), 409
    tell(_told(done))
    return redirect(url_for("job_list_pages.list_jobs"))


def _page(text: str, plan: ExchangePlan | None, error: str = "") -> str:
    changes = [step for step in plan.steps if step.action is not StepAction.KEEP] if plan else []
    return render_template(
        "import.html",
        text=text,
        plan=plan,
        changes=changes,
        error=error,
        told=_told(plan) if plan else "",
        modes=MODES,
        schema_of=_schema_of,
        titled_errors=_titled_errors,
    )


def _schema_of(step: Step) -> Any:
    """Returns the parameters schema of a step's template; None if there is no such template."""
    template = step.definition.template_type if step.definition is not None else step.body.get("template_type")
    entry = services().catalogue.find(template) if isinstance(template, str) else None
    return entry.parameters_schema if entry is not None else None


def _titled_errors(step: Step, errors: Iterable[FieldError]) -> list[tuple[str, str]]:
    """Returns (title of the field, message) of each error."""
    parameters = step.definition.parameters if step.definition is not None else step.body.get("parameters")
    reading = reading_of(_schema_of(step) or {}, parameters if isinstance(parameters, dict) else {})
    return [(_title(error.pointer, reading), error.message) for error in errors]


def _title(pointer: str, reading: Reading | None) -> str:
    if reading is not None and pointer.startswith(f"{PARAMETERS}/"):
        return reading.title(pointer.removeprefix(PARAMETERS))
    return translated(titles_on_the_way(pointer))


_DID = {
    StepAction.CREATE: say("{n} created"),
    StepAction.UPDATE: say("{n} changed"),
    StepAction.DELETE: say("{n} deleted"),
    StepAction.KEEP: say("{n} unchanged"),
    StepAction.REFUSE: say("{n} invalid"),
}
_WOULD = {**_DID, StepAction.CREATE: say("{n} to create"), StepAction.UPDATE: say("{n} to change"), StepAction.DELETE: say("{n} to delete")}


def _told(plan: ExchangePlan) -> str:
    words = _DID if any(step.result for step in plan.steps) else _WOULD
    told = [say(word, n=plan.count(action)) for action, word in words.items() if plan.count(action)]
    if waiting := sum(step.result is StepResult.WAITS for step in plan.steps):
        told.append(say_many("{count} waits for approval", "{count} wait for approval", waiting))
    return joined(told, ", ") if told else say("the file has no jobs")

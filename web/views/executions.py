"""/executions: the list, and one execution, live."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.execution.model import Status
from app.execution.service import is_live
from app.mongo import Document
from web.forms.field import small_number
from web.views.common import Editor, actor, is_htmx, page_number, parameters_form
from web.views.run_with import answer_run_with, run_with_page
from web.views.signin import services

blueprint = Blueprint("executions_pages", __name__, url_prefix="/executions")

PAGE_SIZE = 50
FIRST_LINES = 2000


@blueprint.get("")
def list_executions() -> str:
    """Everything that ran, runs or waits, newest first."""
    status = request.args.get("status", "")
    wanted = status if status in {one.value for one in Status} else None
    page = services().executions.page(actor(), status=wanted, page=page_number(), limit=PAGE_SIZE)
    return render_template("executions.html", page=page, status=wanted or "", args=request.args)


@blueprint.get("/<execution_id>")
def show(execution_id: str) -> str:
    """One execution: progress, result, error, log."""
    document = services().executions.get(actor(), execution_id)
    lines, cursor = services().executions.log(actor(), execution_id, limit=FIRST_LINES)
    return render_template("execution.html", execution=document, lines=lines, first_line=0, cursor=cursor, live=is_live(document))


@blueprint.get("/<execution_id>/live")
def live(execution_id: str) -> str:
    """What has changed: the summary anew, and the log lines since `after`."""
    document = services().executions.get(actor(), execution_id)
    after, count = request.args.get("after", "")[:64], request.args.get("lines", "0")
    lines, cursor = services().executions.log(actor(), execution_id, after=after, limit=FIRST_LINES)
    first = max(0, small_number(count))
    # While lines remain to be fetched, go on asking even if the run has ended.
    return render_template(
        "partials/execution_live.html",
        execution=document,
        lines=lines,
        first_line=first,
        cursor=cursor,
        live=is_live(document) or bool(lines),
    )


@blueprint.post("/<execution_id>/cancel")
def cancel(execution_id: str) -> Any:
    """Stop it."""
    services().executions.cancel(actor(), execution_id)
    return _to(execution_id)


@blueprint.post("/<execution_id>/retry")
def retry(execution_id: str) -> Any:
    """Run it again, as a new one."""
    fresh: Document = services().executions.retry(actor(), execution_id)
    return _to(fresh["_id"])


@blueprint.route("/<execution_id>/retry-with", methods=["GET", "POST"])
def retry_with(execution_id: str) -> Any:
    """Run it again with other values."""
    again = services().executions.get(actor(), execution_id)
    job = services().jobs.get(actor(), again["job_id"])
    schema = services().jobs.entry_of(job).parameters_schema
    editor = Editor(parameters_form(schema), services().executions.parameters_again(actor(), execution_id))
    if request.method == "GET":
        return run_with_page(job, editor, again=again)
    return answer_run_with(job, editor, lambda values: services().executions.retry(actor(), execution_id, parameters=values), again=again)


def _to(execution_id: str) -> Any:
    target = url_for(".show", execution_id=execution_id)
    return ("", 204, {"HX-Redirect": target}) if is_htmx() else redirect(target)

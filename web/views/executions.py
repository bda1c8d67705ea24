"""/executions: the list of executions, and the page of one execution, which refreshes itself."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, redirect, render_template, request, stream_with_context, url_for
from werkzeug.utils import secure_filename

from app.accounts.permissions import May, require
from app.audit.model import field_diff
from app.correlation import LONGEST_CORRELATION_ID
from app.errors import ApprovalNeeded, Conflict, JobwrightError, NotFound
from app.execution.filters import MOST_SEARCHED, ExecutionFilter
from app.execution.logs import LEVELS
from app.jobs.revisions import difference
from app.mongo import Document
from app.queue.execution import Execution
from app.queue.model import FAILURES, Status, Trigger
from templates_lib.messages import say, say_many
from web.charts import log_diff
from web.current import actor, services
from web.filters.times import local
from web.forms.names import small_number
from web.views.common import (
    MOST_COUNTED,
    MOST_OFFERED,
    Editor,
    beginning_of,
    is_htmx,
    job_named,
    page_number,
    parameters_form,
    tell,
    unknown_filters,
)
from web.views.run_with import answer_run_with, run_with_page
from web.views.told import told_of_execution

blueprint = Blueprint("executions_pages", __name__, url_prefix="/executions")

PAGE_SIZE = 50
FILTERS = ("q", "job", "template", "by", "from", "to", "correlation", "status", "page")
MOST_AGAIN = 100  # runs that are repeated at once
TRIGGERS = {
    Trigger.SCHEDULE: say("Schedule"),
    Trigger.MANUAL: say("By hand"),
    Trigger.API: say("REST"),
    Trigger.WEBHOOK: say("Webhook"),
    Trigger.COMMAND: say("Command"),
    Trigger.RETRY: say("Run again"),
    Trigger.DEPENDENCY: say("Dependency"),
    Trigger.BACKFILL: say("Backfill"),
}
LINES = 500  # of a log that a page shows at once
COMPARED = 500  # of the end of each of two logs


@blueprint.get("")
def list_executions() -> str:
    """Shows all executions that match the filters in the address, newest first."""
    args = request.args
    job, status, trigger = args.get("job", "").strip(), args.get("status", ""), args.get("by", "")
    begin, end = beginning_of(args.get("from", "")), beginning_of(args.get("to", ""), after=1)
    job_id, job_name = job_named(job)
    query = ExecutionFilter(
        job_id=job_id or None,
        template_type=args.get("template") or None,
        search=args.get("q", "").strip()[:200],
        correlation_id=args.get("correlation", "").strip()[:LONGEST_CORRELATION_ID] or None,
        status=status if status in list(Status) else None,
        triggered_by=trigger if trigger in list(Trigger) else None,
        begin=begin,
        end=end,
    )
    page = services().history.page(actor(), query, page=page_number(), limit=PAGE_SIZE, most=MOST_COUNTED)
    others = {key: value for key, value in args.items() if key not in {"status", "page"} and value}
    return render_template(
        "executions.html",
        page=page,
        query=query,
        args=args,
        others=urlencode(others),
        triggers=TRIGGERS,
        job_name=job_name,
        narrowed_by=sum(bool(args.get(name)) for name in ("q", "job", "template", "by", "from", "to", "correlation")),
        job_names=services().directory.names(actor(), limit=MOST_OFFERED),
        catalogue=services().catalogue,
        most_searched=MOST_SEARCHED,
        listing=request.query_string.decode(),
        days=[(on, list(rows)) for on, rows in groupby(page.items, key=lambda row: local(row.queued_at).date())],
        today=local(services().clock.now()).date(),
        failures=FAILURES,
        unknown=unknown_filters(FILTERS),
    )


@blueprint.post("/retry")
def retry_chosen() -> Any:
    """Runs the chosen executions again, each as a new execution, and shows what became of them."""
    require(actor(), May.RUN_JOBS)
    queued, asked, wrong = 0, 0, list[str]()
    for execution_id in request.form.getlist("execution")[:MOST_AGAIN]:
        try:
            services().runs.retry(actor(), execution_id)
            queued += 1
        except ApprovalNeeded as needed:
            services().approvals.ask(actor(), needed.ask)
            asked += 1
        except JobwrightError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            wrong.append(error.detail)
    if queued:
        tell(say_many("{count} run queued", "{count:,} runs queued", queued))
    if asked:
        tell(say_many("{count} run waits for approval", "{count} runs wait for approval", asked))
    for detail in dict.fromkeys(wrong):
        tell(detail)
    if not (queued or asked or wrong):
        tell("Select executions first")
    return redirect(f"{url_for('.list_executions')}?{urlencode(parse_qsl(request.form.get('query', '')))}")


@blueprint.get("/<execution_id>")
def show(execution_id: str) -> str:
    """Shows one execution: progress, result, error, log."""
    execution = services().history.get(actor(), execution_id)
    failing, history = _failing(execution), services().history
    deliveries = services().deliveries.of_execution(actor(), execution_id)
    explained = [] if execution.is_live else services().explanations.of(actor(), execution)
    incidents = sorted({line.incident_id for line in explained if line.incident_id})
    return render_template(
        "execution.html",
        execution=execution,
        live=execution.is_live,
        schema=_schema(execution),
        standing=services().attention.standing(actor(), execution),
        unplaced=_unplaced(execution),
        failing=failing,
        causes=history.causes(actor(), execution),
        deliveries=deliveries,
        told=told_of_execution(execution, incidents, {delivery.id for delivery in deliveries}),
        explained=explained,
        effects=history.effects(actor(), execution_id),
        neighbours=history.neighbours(actor(), execution),
        has_success=history.success_before(actor(), execution) is not None,
        **_log(execution_id, failing),
    )


def _unplaced(execution: Execution) -> bool:
    """Returns whether an execution waits for a node with labels that no running node has."""
    return execution.is_live and execution.status != Status.RUNNING and not services().node_control.takes(execution.needs)


def _schema(execution: Execution) -> Any:
    """Returns the schema of the parameters that a run had, or None if its version of the template is gone."""
    entry = services().catalogue.find(execution.template_type, execution.template_version)
    return entry.parameters_schema if entry else None


def _failing(execution: Execution) -> Document | None:
    """Returns the log line that tells why a run failed."""
    return services().logs.failing_line(actor(), execution.id) if execution.status in FAILURES else None


def _log(execution_id: str, failing: Document | None = None) -> dict[str, Any]:
    """Returns the part of the log that the address asks for: the results of a search, the lines around one line, or the end."""
    text, level = request.args.get("q", "").strip()[:200], request.args.get("level", "")
    wanted = small_number(request.args.get("line", ""))
    shared: dict[str, Any] = {"text": text, "level": level if level in LEVELS else "", "levels": LEVELS, "more": False, "searched": False}
    if text or shared["level"]:
        lines, more = services().logs.search(actor(), execution_id, text=text, level=shared["level"], limit=LINES)
        return {**shared, "lines": lines, "more": more, "searched": True, "window": None}
    if wanted < 1 and failing:
        wanted = failing["number"]
    first = max(1, wanted - LINES // 2) if wanted > 0 else -LINES
    window = services().logs.window(actor(), execution_id, first=first, limit=LINES)
    if window.total and not window.lines:  # a line beyond the end
        window = services().logs.window(actor(), execution_id, first=-LINES, limit=LINES)
    return {**shared, "lines": window.lines, "window": window}


@blueprint.get("/<execution_id>/log")
def log(execution_id: str) -> str:
    """Shows another part of the log, or the results of a search, for htmx."""
    execution = services().history.get(actor(), execution_id)
    return render_template(
        "partials/log.html", execution=execution, live=execution.is_live, failing=_failing(execution), **_log(execution_id)
    )


@blueprint.get("/<execution_id>/log.txt")
def download(execution_id: str) -> Response:
    """Sends the whole log as text. Each line has the time in UTC, the level and the message."""
    lines = services().logs.whole(actor(), execution_id)
    text = (f"{line['timestamp'].isoformat(timespec='milliseconds')} {line['level']:<8} {line['message']}\n" for line in lines)
    headers = {"Content-Disposition": f'attachment; filename="{secure_filename(execution_id)}.log"'}
    return Response(stream_with_context(text), content_type="text/plain; charset=utf-8", headers=headers)


@blueprint.get("/<execution_id>/live")
def live(execution_id: str) -> str:
    """Shows the current summary and, if the page shows the end of the log, the lines since `after`."""
    execution, lines, cursor = services().history.get(actor(), execution_id), [], ""
    after, count = request.args.get("after"), max(0, small_number(request.args.get("lines", "0")))
    if after is not None:
        newer, cursor = services().logs.read(actor(), execution_id, after=after[:64], limit=LINES)
        lines = [{**line, "number": number} for number, line in enumerate(newer, count + 1)]
    # While lines remain to be fetched, go on asking even if the run has ended.
    return render_template(
        "partials/execution_live.html",
        execution=execution,
        lines=lines,
        last_line=count + len(lines),
        cursor=cursor,
        live=execution.is_live or bool(lines),
        standing=services().attention.standing(actor(), execution),
        unplaced=_unplaced(execution),
        failing=_failing(execution),
    )


@blueprint.get("/<execution_id>/compare")
def compare(execution_id: str) -> str:
    """Compares an execution with the last success before it: the definition, the parameters, the result, the log."""
    execution = services().history.get(actor(), execution_id)
    good = services().history.success_before(actor(), execution)
    if good is None:
        raise Conflict(say("{name!r} has no successful run before this one", name=execution.job_name))
    logs = [services().logs.window(actor(), run.id, first=-COMPARED, limit=COMPARED).lines for run in (good, execution)]
    return render_template(
        "compare.html",
        execution=execution,
        good=good,
        changed=_definitions(execution, good),
        parameters=field_diff(good.parameters, execution.parameters, prefix="/parameters"),
        schema=_schema(execution),
        result=field_diff(good.result or {}, execution.result or {}),
        log=log_diff(*([line["message"] for line in lines] for lines in logs)),
    )


def _definitions(execution: Execution, earlier: Execution) -> list[dict[str, Any]] | None:
    """Returns the changes of the job between two runs, or None if the versions are no longer stored."""
    try:
        older, newer = (services().jobs.revision(actor(), execution.job_id, run.job_version) for run in (earlier, execution))
    except NotFound:
        return None
    return [row for row in difference(older, newer) if not row["field"].startswith("/parameters")]


@blueprint.post("/<execution_id>/cancel")
def cancel(execution_id: str) -> Any:
    """Cancels the execution."""
    services().runs.cancel(actor(), execution_id)
    return _to(execution_id)


@blueprint.post("/<execution_id>/retry")
def retry(execution_id: str) -> Any:
    """Runs it again as a new execution."""
    fresh = services().runs.retry(actor(), execution_id)
    tell(services().runs.standing(fresh))
    return _to(fresh.id)


@blueprint.post("/<execution_id>/acknowledge")
def acknowledge(execution_id: str) -> Any:
    """Records that the viewer deals with a failure; with `dismiss`, the failure is not shown any more."""
    dismiss = "dismiss" in request.form
    services().attention.acknowledge(actor(), execution_id, note=request.form.get("note", ""), dismiss=dismiss)
    text = say("Failure dismissed") if dismiss else say("Failure acknowledged")
    tell(text, undo=url_for(".unacknowledge", execution_id=execution_id))
    return redirect("/") if request.form.get("back") == "/" else _to(execution_id)


@blueprint.post("/<execution_id>/unacknowledge")
def unacknowledge(execution_id: str) -> Any:
    """Takes an acknowledgement back: the failure needs attention again."""
    services().attention.take_back(actor(), execution_id)
    tell(say("The failure needs attention again"))
    return redirect("/") if request.form.get("back") == "/" else _to(execution_id)


@blueprint.post("/<execution_id>/owed/<what>/again")
def carry_out_again(execution_id: str, what: str) -> Any:
    """Tries again a follow-up of its end that was given up, such as a notification."""
    services().given_up.ask_again(actor(), execution_id, what)
    tell(say("The follow-up is tried again now"))
    return _to(execution_id)


@blueprint.route("/<execution_id>/retry-with", methods=["GET", "POST"])
def retry_with(execution_id: str) -> Any:
    """Runs it again with other parameters."""
    again = services().history.get(actor(), execution_id)
    job = services().jobs.get(actor(), again.job_id)
    schema = services().parameters.entry_of(job).parameters_schema
    editor = Editor(parameters_form(schema), services().history.parameters_again(actor(), execution_id))
    if request.method == "GET":
        return run_with_page(job, editor, again=again)
    return answer_run_with(job, editor, lambda values: services().runs.retry(actor(), execution_id, parameters=values), again=again)


def _to(execution_id: str) -> Any:
    target = url_for(".show", execution_id=execution_id)
    return ("", 204, {"HX-Redirect": target}) if is_htmx() else redirect(target)

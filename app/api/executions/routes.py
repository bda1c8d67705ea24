"""/api/admin/job-executions"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify

from app.api.auth import by_session
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.event_stream import MEDIA_TYPE, stream
from app.api.executions.answers import asked_run
from app.api.executions.schemas import (
    ACKNOWLEDGEMENT_SCHEMA,
    AcknowledgementEnvelope,
    AllExecutionsQuery,
    ExecutionEnvelope,
    ExecutionList,
    LogPage,
    LogQuery,
    RunEnvelope,
    WaitQuery,
)
from app.api.paging import page_json
from app.api.present import execution_json, jsonable
from app.api.waiting import when_ended
from app.execution.filters import ExecutionFilter
from app.queue.execution import Execution

blueprint = ApiBlueprint(
    "Executions",
    __name__,
    url_prefix="/api/admin/job-executions",
    description="The records of runs: what ran, what runs, and what waits to run",
)

SHOWN_LINES = 1000
EVENTS = {
    "description": "Events `log` (LogPage), `state` and `end` (ExecutionEnvelope), and `problem` (ProblemOut) if the stream breaks off",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
}


@blueprint.get("")
@blueprint.arguments(AllExecutionsQuery, location="query")
@blueprint.response(200, ExecutionList)
def list_executions(query: dict[str, Any]) -> dict[str, Any]:
    """List executions of all jobs, newest first"""
    narrowed = ExecutionFilter(
        job_id=query.get("job_id"),
        template_type=query.get("template_type"),
        status=query.get("status"),
        correlation_id=query.get("correlation_id"),
        search=query["search"].strip(),
    )
    page = services().history.page(actor(), narrowed, page=query["page"], limit=query["limit"])
    return page_json("executions", [execution_json(execution) for execution in page.items], page)


def _show(execution: Execution) -> Response:
    lines, _ = services().logs.read(actor(), execution.id, limit=SHOWN_LINES)
    return jsonify({"execution": execution_json(execution), "logs": jsonable(lines)})


@blueprint.get("/<execution_id>")
@blueprint.arguments(WaitQuery, location="query")
@blueprint.response(200, ExecutionEnvelope)
def get_execution(query: dict[str, Any], execution_id: str) -> Response:
    """Read one execution and the first lines of its log; with `wait`, once it has ended"""
    return when_ended(services().history.get(actor(), execution_id), query["wait"], _show)


@blueprint.get("/<execution_id>/events")
@blueprint.doc(responses={"200": EVENTS, "204": {"description": "The stream has ended, and `Last-Event-ID` names its last event"}})
@blueprint.event_stream
@by_session
def stream_execution_events(execution_id: str, last_event_id: str) -> Response:
    """Stream the log and the state of an execution as server-sent events, up to its end"""
    return stream(execution_id, last_event_id)


@blueprint.get("/<execution_id>/logs")
@blueprint.arguments(LogQuery, location="query")
@blueprint.response(200, LogPage)
def get_execution_logs(query: dict[str, Any], execution_id: str) -> dict[str, Any]:
    """Read the log from a cursor on; call again with `next` while the execution runs"""
    lines, cursor = services().logs.read(actor(), execution_id, after=query["after"], limit=query["limit"])
    return {"logs": jsonable(lines), "next": cursor}


@blueprint.post("/<execution_id>/cancel")
@blueprint.response(202, ExecutionEnvelope)
def cancel_execution(execution_id: str) -> dict[str, Any]:
    """Cancel an execution: at once if it waits, within seconds if it runs"""
    execution = services().runs.cancel(actor(), execution_id)
    return {"execution": execution_json(execution), "message": "Cancel requested"}


@blueprint.post("/<execution_id>/retry")
@blueprint.arguments(WaitQuery, location="query")
@blueprint.response(202, RunEnvelope)
@blueprint.alt_response(200, schema=RunEnvelope, description="The new execution has ended while the request waited for it")
def retry_execution(query: dict[str, Any], execution_id: str) -> Response:
    """Repeat an ended execution as a new one that is linked to it; with `wait`, answer once it has ended"""
    return asked_run(services().runs.retry(actor(), execution_id), query["wait"])


@blueprint.put("/<execution_id>/acknowledgement")
@blueprint.body(ACKNOWLEDGEMENT_SCHEMA, required=False)
@blueprint.response(200, AcknowledgementEnvelope)
def acknowledge_failure(execution_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Acknowledge the last failure of a job, or dismiss it; a later failure of the job needs attention again"""
    acknowledgement = services().attention.acknowledge(actor(), execution_id, note=body.get("note", ""), dismiss=body.get("dismiss", False))
    return {"acknowledgement": jsonable(asdict(acknowledgement))}


@blueprint.delete("/<execution_id>/acknowledgement")
@blueprint.response(204)
def remove_acknowledgement(execution_id: str) -> None:
    """Remove an acknowledgement: the failure needs attention again"""
    services().attention.take_back(actor(), execution_id)

"""/api/admin/job-executions"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.executions.schemas import (
    ACKNOWLEDGEMENT_SCHEMA,
    AcknowledgementEnvelope,
    AllExecutionsQuery,
    ExecutionEnvelope,
    ExecutionList,
    LogPage,
    LogQuery,
    RunEnvelope,
)
from app.api.paging import page_json
from app.api.present import execution_json, jsonable, run_json
from app.execution.filters import ExecutionFilter

blueprint = ApiBlueprint(
    "executions", __name__, url_prefix="/api/admin/job-executions", description="Executions: what ran, runs and will run"
)

SHOWN_LINES = 1000


@blueprint.get("")
@blueprint.arguments(AllExecutionsQuery, location="query")
@blueprint.response(200, ExecutionList)
def list_executions(query: dict[str, Any]) -> dict[str, Any]:
    """List executions of all jobs, newest first"""
    narrowed = ExecutionFilter(**{name: query.get(name) for name in ("job_id", "template_type", "status")}, search=query["search"].strip())
    page = services().history.page(actor(), narrowed, page=query["page"], limit=query["limit"])
    return page_json("executions", [execution_json(execution) for execution in page.items], page)


@blueprint.get("/<execution_id>")
@blueprint.response(200, ExecutionEnvelope)
def get_execution(execution_id: str) -> dict[str, Any]:
    """Read one execution and the first lines of its log"""
    execution = services().history.get(actor(), execution_id)
    lines, _ = services().logs.read(actor(), execution_id, limit=SHOWN_LINES)
    return {"execution": execution_json(execution), "logs": jsonable(lines)}


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
@blueprint.response(202, RunEnvelope)
def retry_execution(execution_id: str) -> dict[str, Any]:
    """Retry an ended execution as a new one that is linked to it"""
    return run_json(services().runs.retry(actor(), execution_id))


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
    """Take an acknowledgement back: the failure needs attention again"""
    services().attention.take_back(actor(), execution_id)

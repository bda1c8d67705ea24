"""/api/admin/scheduler-jobs/export, /plan and /apply: jobs as a file"""

from __future__ import annotations

from typing import Any

from flask import Response, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.exchange.schemas import ExportQuery, PlanOut, PlanQuery
from app.api.present import errors_json, jsonable
from app.exchange.file import MEDIA
from app.exchange.service import Plan
from app.jobs.filters import JobFilter

blueprint = ApiBlueprint("exchange", __name__, url_prefix="/api/admin/scheduler-jobs", description="Jobs as a file")

FILE = {"schema": {"type": "string"}, "example": "jobwright: 1\njobs:\n  - name: nightly\n    template_type: webhook_trigger\n"}
FILE_BODY = {"required": True, "content": {"application/yaml": FILE, "application/json": {"schema": {"type": "object"}}}}


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan, and what became of it where it was carried out."""
    steps = [
        {
            "name": step.name,
            "action": step.action.value,
            "job_id": step.job_id,
            "place": step.place,
            "diff": step.diff,
            "errors": errors_json(step.errors),
            "warnings": errors_json(step.warnings),
            "result": step.result.value if step.result else None,
            "detail": step.detail,
        }
        for step in plan.steps
    ]
    counts = {action.value: plan.count(action) for action in {step.action for step in plan.steps}}
    shown: dict[str, Any] = jsonable({"steps": steps, "counts": counts, "valid": plan.valid})
    return shown


def _text() -> str:
    if request.mimetype not in {"application/yaml", "application/x-yaml", "text/yaml", "application/json"}:
        raise UnsupportedMediaType("Send the file as application/yaml or application/json")
    try:
        return request.get_data(cache=False).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("The file is no UTF-8 text") from error


@blueprint.get("/export")
@blueprint.arguments(ExportQuery, location="query")
@blueprint.doc(responses={"200": {"description": "The file", "content": {kind: {"schema": {"type": "object"}} for kind in MEDIA.values()}}})
def export_jobs(query: dict[str, Any]) -> Response:
    """Write jobs into a file, filtered as the list: what is a default is left out, secrets are masked"""
    kind = query.pop("format")
    text = services().exchange.export(actor(), kind, JobFilter(**query))
    return Response(text, content_type=MEDIA[kind], headers={"Content-Disposition": f'attachment; filename="jobs.{kind}"'})


@blueprint.post("/plan")
@blueprint.doc(requestBody=FILE_BODY)
@blueprint.arguments(PlanQuery, location="query")
@blueprint.response(200, PlanOut)
def plan_file(query: dict[str, Any]) -> dict[str, Any]:
    """Say what a file would create, change, leave and delete, and do nothing"""
    return plan_json(services().exchange.plan(actor(), _text(), **query))


@blueprint.post("/apply")
@blueprint.doc(requestBody=FILE_BODY)
@blueprint.arguments(PlanQuery, location="query")
@blueprint.response(200, PlanOut)
def apply_file(query: dict[str, Any]) -> dict[str, Any]:
    """Make the registry as a file says, job by job; a file with an invalid job does nothing"""
    return plan_json(services().exchange.apply(actor(), _text(), **query))

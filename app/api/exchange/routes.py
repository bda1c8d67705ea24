"""/api/admin/scheduler-jobs/export, /plan and /apply"""

from __future__ import annotations

from typing import Any

from flask import Response

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.exchange.schemas import ExportQuery, PlanOut, PlanQuery, plan_json
from app.exchange.file import MEDIA
from app.jobs.filters import JobFilter

blueprint = ApiBlueprint(
    "Jobs as files", __name__, url_prefix="/api/admin/scheduler-jobs", description="Export jobs to a file, and apply a file to the registry"
)

EXAMPLE = "jobwright: 1\njobs:\n  - name: nightly\n    template_type: webhook_trigger\n"
FILE = {
    "application/yaml": {"schema": {"type": "string", "format": "binary"}, "example": EXAMPLE},  # bytes, for generators of clients
    "application/json": {"schema": {"type": "object"}},
}
CONTENT = {MEDIA["yaml"]: {"schema": {"description": "The file in YAML"}}, MEDIA["json"]: {"schema": {"type": "object"}}}
FILE_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "application/json"})


@blueprint.get("/export")
@blueprint.arguments(ExportQuery, location="query")
@blueprint.doc(responses={"200": {"description": "The file", "content": CONTENT}})
def export_jobs(query: dict[str, Any]) -> Response:
    """Export jobs as a file, with the filters of the list; default values are left out, secrets are masked"""
    file_format = query.pop("format")
    text = services().exchange.export(actor(), file_format, JobFilter(**query))
    headers = {"Content-Disposition": f'attachment; filename="jobs.{file_format}"'}
    return Response(text, content_type=MEDIA[file_format], headers=headers)


@blueprint.post("/plan")
@blueprint.arguments(PlanQuery, location="query")
@blueprint.text_body(FILE, media_types=FILE_TYPES)
@blueprint.response(200, PlanOut)
def plan_jobs_file(query: dict[str, Any], text: str) -> dict[str, Any]:
    """Plan what a file would create, change, leave unchanged and delete, without doing it"""
    return plan_json(services().exchange.plan(actor(), text, **query))


@blueprint.post("/apply")
@blueprint.arguments(PlanQuery, location="query")
@blueprint.text_body(FILE, media_types=FILE_TYPES)
@blueprint.response(200, PlanOut)
def apply_jobs_file(query: dict[str, Any], text: str) -> dict[str, Any]:
    """Apply a file to the registry, job by job; if one job in it is invalid, nothing is changed"""
    return plan_json(services().exchange.apply(actor(), text, **query))

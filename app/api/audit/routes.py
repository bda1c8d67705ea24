"""/api/admin/audit-events"""

from __future__ import annotations

from typing import Any

from flask import Response

from app.accounts.auditors import FORMATS, event_json
from app.api.audit.schemas import AuditExportQuery, AuditList, AuditQuery
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.audit.model import AuditFilter

blueprint = ApiBlueprint("Audit trail", __name__, url_prefix="/api/admin/audit-events", description="Who did what, and what was refused")


@blueprint.get("")
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditList)
def list_audit_events(query: dict[str, Any]) -> dict[str, Any]:
    """List events, newest first; go on with `before`, the number in `older`"""
    before, limit = query.pop("before"), query.pop("limit")
    page = services().auditors.page(actor(), AuditFilter(**query), before=before, limit=limit)
    return {"events": [event_json(event) for event in page.events], "older": page.older}


@blueprint.get("/export")
@blueprint.arguments(AuditExportQuery, location="query")
@blueprint.doc(
    responses={"200": {"description": "The events", "content": {kind: {"schema": {"type": "string"}} for kind in FORMATS.values()}}}
)
def export_audit_events(query: dict[str, Any]) -> Response:
    """Export events, oldest first, as JSON lines or CSV"""
    file_format = query.pop("format")
    lines = services().auditors.export(actor(), AuditFilter(**query), file_format)
    return Response(lines, mimetype=FORMATS[file_format], headers={"Content-Disposition": f'attachment; filename="audit.{file_format}"'})

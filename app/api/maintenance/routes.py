"""/api/admin/maintenance"""

from __future__ import annotations

from typing import Any

from flask import request

from app.accounts.permissions import May, require
from app.api.blueprint import ApiBlueprint
from app.api.body import json_body
from app.api.current import actor, services
from app.api.maintenance.schemas import MaintenanceOut
from app.api.present import jsonable
from app.mongo import Document
from app.scheduling.maintenance import SCHEMA

blueprint = ApiBlueprint("maintenance", __name__, url_prefix="/api/admin/maintenance", description="The switch that stops every start")

BODY = {"required": True, "content": {"application/json": {"schema": SCHEMA}}}


def _json(row: Document | None) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable({"on": row is not None, **{key: row[key] for key in ("reason", "by", "at") if row}})
    return shown


@blueprint.get("")
@blueprint.response(200, MaintenanceOut)
def get_maintenance() -> dict[str, Any]:
    """Whether it is on, and why"""
    require(actor(), May.SEE_MAINTENANCE)
    return _json(services().maintenance.get())


@blueprint.put("")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200, MaintenanceOut)
def begin_maintenance() -> dict[str, Any]:
    """Start nothing from now on, on any node; what runs goes on"""
    return _json(services().maintenance.begin(actor(), json_body(request)))


@blueprint.delete("")
@blueprint.response(200, MaintenanceOut)
def end_maintenance() -> dict[str, Any]:
    """Let everything go on as it was"""
    services().maintenance.end(actor())
    return _json(None)

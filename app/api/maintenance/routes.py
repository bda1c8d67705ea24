"""/api/admin/maintenance"""

from __future__ import annotations

from typing import Any

from app.accounts.permissions import May, require
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.maintenance.schemas import MaintenanceOut, maintenance_json
from app.scheduling.maintenance import SCHEMA

blueprint = ApiBlueprint("Maintenance", __name__, url_prefix="/api/admin/maintenance", description="While maintenance is on, no run starts")


@blueprint.get("")
@blueprint.response(200, MaintenanceOut)
def get_maintenance() -> dict[str, Any]:
    """Read whether maintenance is on, and why"""
    require(actor(), May.SEE_MAINTENANCE)
    return maintenance_json(services().maintenance.get())


@blueprint.put("")
@blueprint.body(SCHEMA, validate=False)
@blueprint.response(200, MaintenanceOut)
def begin_maintenance(body: Any) -> dict[str, Any]:
    """Begin maintenance: no node starts an execution; running ones continue"""
    return maintenance_json(services().maintenance.begin(actor(), body))


@blueprint.delete("")
@blueprint.response(200, MaintenanceOut)
def end_maintenance() -> dict[str, Any]:
    """End maintenance"""
    services().maintenance.end(actor())
    return maintenance_json(None)

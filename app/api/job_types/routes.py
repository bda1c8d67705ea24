"""/api/admin/job-types"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.job_types.schemas import INSTALL_SCHEMA, InstalledList, JobTypeList, installed_json, type_json

blueprint = ApiBlueprint(
    "Installation of job types",
    __name__,
    url_prefix="/api/admin/job-types",
    description="Ready-made jobs for the services of an installation and for its database",
)


@blueprint.get("")
@blueprint.response(200, JobTypeList)
def list_job_types() -> dict[str, Any]:
    """List the job types, whether each is installed, and what it lacks"""
    return {"job_types": [type_json(standing) for standing in services().job_types.standing(actor())]}


@blueprint.post("/install")
@blueprint.body(INSTALL_SCHEMA, required=False)
@blueprint.response(200, InstalledList)
def install_job_types(body: dict[str, Any]) -> dict[str, Any]:
    """Install job types: one job each, whose schedule is disabled at first"""
    return {"results": [installed_json(outcome) for outcome in services().job_types.install(actor(), body.get("names"))]}

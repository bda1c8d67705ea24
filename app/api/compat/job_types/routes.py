"""/api/jobs/trigger: starts the job of a type."""

from __future__ import annotations

from typing import Any

from app.accounts.permissions import May
from app.api.compat.blueprint import CompatBlueprint
from app.api.compat.job_types.schemas import TRIGGER_SCHEMA, TypeTriggeredOut
from app.api.compat.people import acting_for
from app.api.compat.words import RUNNING
from app.api.current import actor, services
from app.instants import as_text

blueprint = CompatBlueprint(
    "Job types",
    __name__,
    url_prefix="/api/jobs",
    description="Routes of another scheduler service, for its clients: runs of job types (docs/reference/compatibility.md)",
)


@blueprint.post("/trigger")
@blueprint.body(TRIGGER_SCHEMA)
@blueprint.response(202, TypeTriggeredOut)
@blueprint.idempotent
def run_job_type(body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
    """Run the job of a type now; follow the run at /api/jobs/{jobId}"""
    job = services().directory.named(actor(), body["jobType"], May.RUN_JOBS)
    user = acting_for(body.get("triggeredBy") or "", name="triggeredBy", pointer="/triggeredBy")
    execution = services().runs.run_now(user, job.id, idempotency_key=idempotency_key)
    return {
        "jobId": execution.id,
        "id": execution.id,
        "jobType": job.definition.name,
        "status": RUNNING,
        "startedAt": as_text(execution.started_at or execution.queued_at),
    }

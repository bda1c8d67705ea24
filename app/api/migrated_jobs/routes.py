"""/api/admin/migrated-jobs"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.migrated_jobs.schemas import (
    ComparisonOut,
    ComparisonQuery,
    HandOverEnvelope,
    MigrationBody,
    MigrationPlan,
    MigrationQuery,
    RollBackBody,
    comparison_json,
    hand_over_json,
    planned_json,
)

blueprint = ApiBlueprint(
    "Migration", __name__, url_prefix="/api/admin/migrated-jobs", description="Jobs of the old scheduler, and who runs each"
)


@blueprint.get("")
@blueprint.arguments(MigrationQuery, location="query")
@blueprint.response(200, MigrationPlan)
def plan_migration(query: dict[str, Any]) -> dict[str, Any]:
    """Say what each job of the old scheduler becomes, how it differs, and how far its migration is"""
    planned = services().hand_overs.plan(actor(), connection=query["connection"], tickets=query["tickets"])
    return {"jobs": [planned_json(job) for job in planned], "old_is_alive": any(job.old_is_alive for job in planned)}


@blueprint.post("/<name>")
@blueprint.body(MigrationBody)
@blueprint.response(200, HandOverEnvelope)
def begin_migration(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Begin parallel operation: the old scheduler runs the job, and Jobwright records what it would run"""
    options = {"connection": body["connection"], "tickets": body.get("tickets", "cron")}
    return hand_over_json(services().hand_overs.apply(actor(), name, **options))


@blueprint.get("/<name>/comparison")
@blueprint.arguments(ComparisonQuery, location="query")
@blueprint.response(200, ComparisonOut)
def list_migration_comparison(query: dict[str, Any], name: str) -> dict[str, Any]:
    """Compare what the old scheduler ran with what Jobwright would have run"""
    return comparison_json(services().hand_overs.compare(actor(), name, since=query.get("since")))


@blueprint.post("/<name>/cut-over")
@blueprint.response(200, HandOverEnvelope)
def begin_cut_over(name: str) -> dict[str, Any]:
    """Hand a job to Jobwright; while the stage is `moving`, a run of the old scheduler goes on, and nodes complete it after that"""
    return hand_over_json(services().hand_overs.cut_over(actor(), name))


@blueprint.post("/<name>/roll-back")
@blueprint.body(RollBackBody)
@blueprint.response(200, HandOverEnvelope)
def roll_back_job(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Give a job back to the old scheduler"""
    return hand_over_json(services().hand_overs.roll_back(actor(), name, remove=body.get("remove", False)))

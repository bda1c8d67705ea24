"""/api/admin/job-templates/{type}: what a version means for jobs, moving jobs to it, and presets"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.present import record_json
from app.api.template_moves.schemas import (
    MOVE_SCHEMA,
    PRESET_SCHEMA,
    ImpactOut,
    ImpactQuery,
    MoveList,
    MoveOut,
    PresetEnvelope,
    PresetList,
    impact_json,
    moved_job_json,
)
from app.errors import FieldError

blueprint = ApiBlueprint(
    "Template versions",
    __name__,
    url_prefix="/api/admin/job-templates",
    description="Move jobs between versions of their template; presets of parameters",
)


@blueprint.get("/<template_type>/impact")
@blueprint.arguments(ImpactQuery, location="query")
@blueprint.response(200, ImpactOut)
def get_template_impact(query: dict[str, Any], template_type: str) -> dict[str, Any]:
    """Read which jobs stay valid, which are converted and which need input if they move to a version or to the draft"""
    if query["to"] == "draft":
        target = services().templates.draft(actor(), template_type)
    else:
        target = services().catalogue.get(template_type, int(query["to"]) if query["to"] else None)
    return {"to": target.version, "jobs": [impact_json(impact) for impact in services().moves.impact(actor(), target)]}


@blueprint.post("/<template_type>/moves")
@blueprint.body(MOVE_SCHEMA)
@blueprint.response(200, MoveOut)
def move_template_jobs(template_type: str, body: dict[str, Any]) -> dict[str, Any]:
    """Move one, some or all jobs to a version of their template"""
    target = services().catalogue.get(template_type, body.get("to"))
    move, results = services().moves.move(actor(), target, body.get("jobs"), given=body.get("parameters"))
    return {"move": record_json(move) if move else None, "results": [moved_job_json(result) for result in results]}


@blueprint.get("/<template_type>/moves")
@blueprint.response(200, MoveList)
def list_template_moves(template_type: str) -> dict[str, Any]:
    """List the last moves of a template's jobs, newest first"""
    return {"moves": [record_json(row) for row in services().moves.latest(actor(), template_type)]}


@blueprint.post("/<template_type>/moves/<move_id>/roll-back")
@blueprint.response(200, MoveOut)
def roll_back_template_move(template_type: str, move_id: str) -> dict[str, Any]:  # noqa: ARG001 - part of the address
    """Undo a move: its jobs get their earlier versions and parameters again, except those that were changed since"""
    return {"move": None, "results": [moved_job_json(result) for result in services().moves.roll_back(actor(), move_id)]}


@blueprint.get("/<template_type>/presets")
@blueprint.response(200, PresetList)
def list_template_presets(template_type: str) -> dict[str, Any]:
    """List your own presets of a template, and those that others share"""
    return {"presets": [record_json(row) for row in services().presets.of(actor(), template_type)]}


def _errors_of_preset(_: Any, errors: Sequence[FieldError], template_type: str, name: str) -> Sequence[FieldError]:  # noqa: ARG001 - of the address
    """Returns what is wrong with the name, where the body is invalid anyway; with a valid body the service checks it."""
    return services().presets.wrong_name(name) if errors else ()


@blueprint.put("/<template_type>/presets/<name>")
@blueprint.body(PRESET_SCHEMA, further_errors=_errors_of_preset)
@blueprint.response(200, PresetEnvelope)
def save_template_preset(template_type: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Save parameters under a name, without secrets; your own preset of that name is replaced"""
    row = services().presets.save(actor(), template_type, name, body["parameters"], shared=body.get("shared", False))
    return {"preset": record_json(row)}


@blueprint.delete("/<template_type>/presets/<name>")
@blueprint.response(200, Message)
def delete_template_preset(template_type: str, name: str) -> dict[str, str]:
    """Delete a preset by its id, or your own by its name"""
    services().presets.delete(actor(), template_type, services().presets.id_of(actor(), template_type, name))
    return {"message": "Preset deleted"}

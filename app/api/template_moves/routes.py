"""/api/admin/job-templates/{type}: what a version means for jobs, moving them; presets"""

from __future__ import annotations

from typing import Any

from flask import request

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import json_body, judged
from app.api.current import actor, services
from app.api.present import errors_json, jsonable
from app.api.template_moves.schemas import ImpactOut, ImpactQuery, MoveList, MoveOut, PresetEnvelope, PresetList
from app.connections.vault import mask
from app.errors import ValidationFailed
from app.jobs.moves import Impact, Result
from app.jobtemplates.entry import Entry
from app.mongo import Document
from app.validation import SchemaValidator

blueprint = ApiBlueprint(
    "template_moves", __name__, url_prefix="/api/admin/job-templates", description="Versions of templates and their jobs; presets"
)

MOVE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "to": {"type": "integer", "minimum": 1, "description": "The version; by default the current one"},
        "jobs": {"type": "array", "items": {"type": "string"}, "maxItems": 10_000, "description": "Ids; by default all that need no input"},
        "parameters": {"type": "object", "additionalProperties": {"type": "object"}, "description": "By job id, for those that need input"},
    },
}
PRESET = {
    "type": "object",
    "required": ["parameters"],
    "additionalProperties": False,
    "properties": {"parameters": {"type": "object"}, "shared": {"type": "boolean", "default": False}},
}
_moves, _presets = SchemaValidator(MOVE), SchemaValidator(PRESET)


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _impact_json(found: Impact) -> dict[str, Any]:
    return {
        "job_id": found.job.id,
        "name": found.job.definition.name,
        "from": found.job.template_version,
        "effect": found.effect.value,
        "parameters": jsonable(mask(dict(found.parameters))),
        "diff": jsonable(found.diff),
        "errors": errors_json(found.errors),
    }


def _result_json(one: Result) -> dict[str, Any]:
    return {"job_id": one.job_id, "name": one.name, "outcome": one.outcome.value, "errors": errors_json(one.errors)}


def _move_json(row: Document) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable(row)
    return shown


def _target(kind: str, wanted: Any) -> Entry:
    if wanted == "draft":
        return services().templates.draft(actor(), kind)
    return services().catalogue.get(kind, wanted)


@blueprint.get("/<template_type>/impact")
@blueprint.arguments(ImpactQuery, location="query")
@blueprint.response(200, ImpactOut)
def get_impact(query: dict[str, Any], template_type: str) -> dict[str, Any]:
    """Say which jobs stay valid, which migrate by themselves and which need input, for a version or the draft"""
    wanted = "draft" if query["to"] == "draft" else int(query["to"]) if query["to"] else None
    target = _target(template_type, wanted)
    return {"to": target.version, "jobs": [_impact_json(one) for one in services().moves.impact(actor(), target)]}


@blueprint.post("/<template_type>/moves")
@blueprint.doc(requestBody=_body(MOVE))
@blueprint.response(200, MoveOut)
def move_jobs(template_type: str) -> dict[str, Any]:
    """Move one, some or all jobs to a version of their template"""
    body = judged(_moves, json_body(request))
    target = _target(template_type, body.get("to"))
    move, results = services().moves.move(actor(), target, body.get("jobs"), given=body.get("parameters"))
    return {"move": _move_json(move) if move else None, "results": [_result_json(one) for one in results]}


@blueprint.get("/<template_type>/moves")
@blueprint.response(200, MoveList)
def list_moves(template_type: str) -> dict[str, Any]:
    """List the last moves of a template's jobs, newest first"""
    return {"moves": [_move_json(row) for row in services().moves.latest(actor(), template_type)]}


@blueprint.post("/<template_type>/moves/<move_id>/roll-back")
@blueprint.response(200, MoveOut)
def roll_back(template_type: str, move_id: str) -> dict[str, Any]:  # noqa: ARG001 - the address says it
    """Give each job of a move back what it was; one that was changed since is left alone"""
    return {"move": None, "results": [_result_json(one) for one in services().moves.roll_back(actor(), move_id)]}


@blueprint.get("/<template_type>/presets")
@blueprint.response(200, PresetList)
def list_presets(template_type: str) -> dict[str, Any]:
    """List one's own presets of a template, and what others share"""
    return {"presets": jsonable(services().presets.of(actor(), template_type))}


@blueprint.put("/<template_type>/presets/<name>")
@blueprint.doc(requestBody=_body(PRESET))
@blueprint.response(200, PresetEnvelope)
def save_preset(template_type: str, name: str) -> dict[str, Any]:
    """Keep parameters under a name, without secrets, in place of one's own of that name"""
    body = json_body(request)
    errors = _presets.errors(body)
    if errors:
        raise ValidationFailed([*errors, *services().presets.wrong_name(name)])
    row = services().presets.save(actor(), template_type, name, body["parameters"], shared=body.get("shared", False))
    return {"preset": jsonable(row)}


@blueprint.delete("/<template_type>/presets/<name>")
@blueprint.response(200, Message)
def delete_preset(template_type: str, name: str) -> dict[str, str]:
    """Delete a preset, by its id or by the name of one's own"""
    services().presets.delete(actor(), template_type, services().presets.id_of(actor(), template_type, name))
    return {"message": "Preset deleted"}

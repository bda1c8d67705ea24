"""Requests and answers of versions of templates and their jobs, and of presets."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Regexp

from app.api.base_schemas import AnswerSchema, RequestSchema
from app.api.present import errors_json, jsonable
from app.connections.vault import mask
from app.jobs.moves import Impact, Result

MOVE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "to": {"type": "integer", "minimum": 1, "description": "The version; by default the current one"},
        "jobs": {"type": "array", "items": {"type": "string"}, "maxItems": 10_000, "description": "Ids; by default all that need no input"},
        "parameters": {"type": "object", "additionalProperties": {"type": "object"}, "description": "By job id, for those that need input"},
    },
}
PRESET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["parameters"],
    "additionalProperties": False,
    "properties": {"parameters": {"type": "object"}, "shared": {"type": "boolean", "default": False}},
}


class ImpactQuery(RequestSchema):
    to = ma.String(
        load_default="",
        validate=Regexp("^(draft|[1-9][0-9]{0,5})?$", error="must be a version or draft"),
        metadata={"description": "A version, or `draft`; by default the current version"},
    )


class ImpactOut(AnswerSchema):
    to = ma.Integer(required=True)
    jobs = ma.List(
        ma.Dict(),
        required=True,
        metadata={"description": "job_id, name, from, effect (there, stays_valid, migrates, needs_input), parameters, diff, errors"},
    )


class MoveOut(AnswerSchema):
    move = ma.Dict(allow_none=True, metadata={"description": "The record of the move; its `_id` rolls it back"})
    results = ma.List(
        ma.Dict(), required=True, metadata={"description": "job_id, name, outcome (moved, restored, needs_input, changed, gone), errors"}
    )


class MoveList(AnswerSchema):
    moves = ma.List(ma.Dict(), required=True)


class PresetList(AnswerSchema):
    presets = ma.List(ma.Dict(), required=True)


class PresetEnvelope(AnswerSchema):
    preset = ma.Dict(required=True)


def impact_json(impact: Impact) -> dict[str, Any]:
    return {
        "job_id": impact.job.id,
        "name": impact.job.definition.name,
        "from": impact.job.template_version,
        "effect": impact.effect.value,
        "parameters": jsonable(mask(dict(impact.parameters))),
        "diff": jsonable(impact.diff),
        "errors": errors_json(impact.errors),
    }


def moved_job_json(result: Result) -> dict[str, Any]:
    return {"job_id": result.job_id, "name": result.name, "outcome": result.outcome.value, "errors": errors_json(result.errors)}

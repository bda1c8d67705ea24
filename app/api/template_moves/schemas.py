"""Requests and answers of versions of templates and their jobs, and of presets."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields as ma
from marshmallow.validate import OneOf, Regexp

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, DifferenceOut, FieldErrorOut, RecordOut, RequestSchema
from app.api.present import errors_json, jsonable
from app.connections.vault import mask
from app.jobs.moves import Effect, Impact, Outcome, Result

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


class JobImpactOut(AnswerSchema):
    class Meta(AnswerSchema.Meta):
        include: ClassVar = {"from": ma.Integer(required=True, metadata={"description": "The version that the job has now"})}

    job_id = ma.String(required=True)
    name = ma.String(required=True)
    effect = ma.String(
        required=True, validate=OneOf([effect.value for effect in Effect]), metadata={"description": "What a move would do to the job"}
    )
    parameters = ma.Dict(required=True, metadata={"description": "What the job would have; secrets are masked"})
    diff = ma.List(AsIs(DifferenceOut), required=True)
    errors = ma.List(ma.Nested(FieldErrorOut), required=True)


class ImpactOut(AnswerSchema):
    to = ma.Integer(required=True)
    jobs = ma.List(ma.Nested(JobImpactOut), required=True)


class MovedJobOut(AnswerSchema):
    id = ma.String(required=True)
    name = ma.String(required=True)
    version = ma.Integer(required=True, metadata={"description": "The version of the job before the move"})
    template_version = ma.Integer(required=True, metadata={"description": "The version of its template before the move"})


class RolledBackOut(AnswerSchema):
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)


class MoveRecordOut(RecordOut):
    template_type = ma.String(required=True)
    to = ma.Integer(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)
    jobs = ma.List(AsIs(MovedJobOut), required=True)
    rolled_back = AsIs(RolledBackOut, allow_none=True, metadata={"description": "null if the move was not rolled back"})


class MoveResultOut(AnswerSchema):
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    outcome = ma.String(required=True, validate=OneOf([outcome.value for outcome in Outcome]))
    errors = ma.List(ma.Nested(FieldErrorOut), required=True)


class MoveOut(AnswerSchema):
    move = ma.Nested(MoveRecordOut, allow_none=True, metadata={"description": "The record of the move; its `id` rolls it back"})
    results = ma.List(ma.Nested(MoveResultOut), required=True)


class MoveList(AnswerSchema):
    moves = ma.List(ma.Nested(MoveRecordOut), required=True)


class PresetOut(RecordOut):
    template_type = ma.String(required=True)
    name = ma.String(required=True)
    owner = ma.String(required=True, metadata={"description": "The identifier of the account"})
    by = ma.String(required=True, metadata={"description": "The e-mail address of the owner"})
    at = ma.String(required=True, metadata=INSTANT)
    shared = ma.Boolean(required=True)
    parameters = ma.Dict(required=True)
    code_version = ma.Integer(allow_none=True)


class PresetList(AnswerSchema):
    presets = ma.List(ma.Nested(PresetOut), required=True)


class PresetEnvelope(AnswerSchema):
    preset = ma.Nested(PresetOut, required=True)


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

"""Requests and answers of versions of templates and their jobs, and presets."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import Regexp

from app.api.base_schemas import AnswerSchema, RequestSchema


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
    move = ma.Dict(allow_none=True, metadata={"description": "The record, by whose `_id` it is rolled back"})
    results = ma.List(
        ma.Dict(), required=True, metadata={"description": "job_id, name, outcome (moved, restored, needs_input, changed, gone), errors"}
    )


class MoveList(AnswerSchema):
    moves = ma.List(ma.Dict(), required=True)


class PresetList(AnswerSchema):
    presets = ma.List(ma.Dict(), required=True)


class PresetEnvelope(AnswerSchema):
    preset = ma.Dict(required=True)

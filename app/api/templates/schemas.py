"""Requests and answers of templates, and managing them."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import AnswerSchema, RequestSchema


class TemplateOut(AnswerSchema):
    _id = ma.String(required=True)
    name = ma.String()
    description = ma.String()
    category = ma.String()
    icon = ma.String()
    version = ma.Integer()
    parameters_schema = ma.Dict()
    estimated_duration = ma.String()
    resource_usage = ma.String()
    risk_level = ma.String()
    destructive = ma.Boolean()
    isolation = ma.String()
    base = ma.String(allow_none=True, metadata={"description": "Of a derived template: what it is made from"})
    state = ma.String(metadata={"description": "published, deprecated or retired"})
    enabled = ma.Boolean()
    when_off = ma.String(metadata={"description": "What its jobs do while it is off: keep or pause"})
    roles = ma.List(ma.String(), metadata={"description": "Who alone may use it; empty: all that may use any"})
    note = ma.String()
    jobs = ma.Integer()
    previews = ma.Boolean()


class TemplateList(AnswerSchema):
    templates = ma.List(ma.Nested(TemplateOut), required=True)


class TemplateEnvelope(AnswerSchema):
    template = ma.Nested(TemplateOut, required=True)
    schema = ma.Dict(required=True)


class TemplateRecord(AnswerSchema):
    template = ma.Dict(required=True, metadata={"description": "type, revision, standing; of a derived one base, draft, versions"})
    message = ma.String()


class TemplateFileQuery(RequestSchema):
    dry_run = ma.Boolean(load_default=False)


class SharedOut(AnswerSchema):
    type = ma.String(required=True)
    base = ma.String(required=True)
    new = ma.Boolean(required=True)
    signed = ma.String(required=True, metadata={"description": "nobody, here, trusted or stranger"})
    key = ma.String(allow_none=True)
    diff = ma.List(ma.Dict(), required=True)
    notes = ma.List(ma.String(), required=True)
    errors = ma.List(ma.Dict(), required=True, metadata={"description": "What keeps it out"})
    taken = ma.Boolean(required=True)


class SchemaEnvelope(AnswerSchema):
    schema = ma.Dict(required=True)

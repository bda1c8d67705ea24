"""Requests and answers of templates, and managing them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, DifferenceOut, FieldErrorOut, RecordOut, RequestSchema
from app.api.present import errors_json, jsonable
from app.jobtemplates.catalogue import Standing
from app.jobtemplates.derived import TYPE
from app.jobtemplates.entry import TemplateVersion
from app.jobtemplates.sharing import Shared
from app.mongo import Document

DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "description", "category"],
    "description": "Its schema is at GET …/{type}/definition-schema of the base",
}
DERIVE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "base"],
    "additionalProperties": False,
    "properties": {"type": {"type": "string", "pattern": TYPE}, "base": {"type": "string"}, "definition": DEFINITION_SCHEMA},
}
PUBLISH_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"note": {"type": "string", "maxLength": 1000}}}
STATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["state"],
    "additionalProperties": False,
    "properties": {"state": {"enum": ["published", "deprecated", "retired"]}},
}


class TemplateOut(RecordOut):
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
    closed = ma.String(allow_none=True, metadata={"description": "Why no new job can be made of it; null where it can"})
    when_off = ma.String(metadata={"description": "What its jobs do while it is off: keep or pause"})
    roles = ma.List(ma.String(), metadata={"description": "The roles that may use it; empty: every role that may use templates"})
    note = ma.String()
    needs = ma.List(ma.String(), metadata={"description": "The labels that a node must have to run its jobs"})
    jobs = ma.Integer()
    previews = ma.Boolean()


class TemplateList(AnswerSchema):
    templates = ma.List(ma.Nested(TemplateOut), required=True)


class TemplateEnvelope(AnswerSchema):
    template = ma.Nested(TemplateOut, required=True)
    schema = ma.Dict(required=True)


class StandingOut(AnswerSchema):
    """What super-admins have set about a template. A member that was never set is missing."""

    enabled = ma.Boolean()
    when_off = ma.String(metadata={"description": "What its jobs do while it is off: keep or pause"})
    roles = ma.List(ma.String())
    note = ma.String()
    needs = ma.List(ma.String())


class DraftOut(AnswerSchema):
    definition = ma.Dict(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)


class TemplateVersionOut(DraftOut):
    number = ma.Integer(required=True)
    base_version = ma.Integer(required=True)
    state = ma.String(required=True, metadata={"description": "published, deprecated or retired"})
    note = ma.String()


class StoredTemplateOut(AnswerSchema):
    id = ma.String(required=True)
    type = ma.String(required=True, metadata={"description": "The same as `id`"})
    revision = ma.Integer(required=True, metadata={"description": "The ETag"})
    standing = AsIs(StandingOut)
    base = ma.String(metadata={"description": "Of a derived template: what it is made from"})
    draft = AsIs(DraftOut, allow_none=True)
    versions = ma.List(AsIs(TemplateVersionOut))


class TemplateRecord(AnswerSchema):
    template = ma.Nested(StoredTemplateOut, required=True)
    message = ma.String()


class TemplateFileQuery(RequestSchema):
    dry_run = ma.Boolean(load_default=False)


class SharedOut(AnswerSchema):
    type = ma.String(required=True)
    base = ma.String(required=True)
    new = ma.Boolean(required=True)
    signed = ma.String(required=True, metadata={"description": "nobody, here, trusted or stranger"})
    key = ma.String(allow_none=True)
    diff = ma.List(AsIs(DifferenceOut), required=True)
    notes = ma.List(ma.String(), required=True)
    errors = ma.List(ma.Nested(FieldErrorOut), required=True, metadata={"description": "Why the file cannot be imported"})
    taken = ma.Boolean(required=True)


class SchemaEnvelope(AnswerSchema):
    schema = ma.Dict(required=True)


def template_json(entry: TemplateVersion, standing: Standing, closed: str | None) -> dict[str, Any]:
    """Returns a template: what its code says about it, what super-admins have set about it, and why no new job can be made of it."""
    template = entry.template
    return {
        "id": entry.type,
        "_id": entry.type,
        "name": entry.name,
        "description": entry.description,
        "category": entry.category,
        "icon": entry.icon,
        "version": entry.version,
        "parameters_schema": entry.parameters_schema,
        "base": entry.base or None,
        "state": entry.state.value,
        "estimated_duration": template.estimated_duration,
        "resource_usage": template.resource_usage,
        "risk_level": template.risk_level,
        "destructive": template.destructive,
        "isolation": template.isolation,
        "previews": entry.previews,
        "enabled": standing.enabled,
        "closed": closed,
        "when_off": standing.when_off.value,
        "roles": [role.value for role in standing.roles],
        "note": standing.note,
        "needs": list(standing.needs),
    }


def record_json(row: Document) -> dict[str, Any]:
    """Returns what is stored about a template."""
    stored = {name: value for name, value in row.items() if name != "_id"}
    answer: dict[str, Any] = jsonable({"id": row["_id"], "type": row["_id"], **stored})
    return answer


def shared_json(shared: Shared, *, taken: bool) -> dict[str, Any]:
    """Returns what a template file holds and would change; `taken` says whether it has become a draft."""
    return {
        "type": shared.type,
        "base": shared.base,
        "new": shared.new,
        "signed": shared.signed.value,
        "key": shared.key or None,
        "diff": jsonable(shared.diff),
        "notes": list(shared.notes),
        "taken": taken,
        "errors": errors_json(shared.errors),
    }

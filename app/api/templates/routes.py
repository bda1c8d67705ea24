"""/api/admin/job-templates: the catalogue, and managing it"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.current import actor, services
from app.api.present import errors_json, jsonable, template_json
from app.api.templates.schemas import SchemaEnvelope, SharedOut, TemplateEnvelope, TemplateFileQuery, TemplateList, TemplateRecord
from app.errors import FieldError, ValidationFailed
from app.jobtemplates.derived import TYPE
from app.jobtemplates.service import STANDING_SCHEMA
from app.jobtemplates.sharing import SCHEMA as FILE_SCHEMA
from app.mongo import Document

blueprint = ApiBlueprint("templates", __name__, url_prefix="/api/admin/job-templates", description="What a job can do")


def _body(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


DEFINITION = {
    "type": "object",
    "required": ["name", "description", "category"],
    "description": "The schema of it is in GET …/{type}/definition-schema of the base",
}
DERIVE = {
    "type": "object",
    "required": ["type", "base"],
    "additionalProperties": False,
    "properties": {"type": {"type": "string", "pattern": TYPE}, "base": {"type": "string"}, "definition": DEFINITION},
}
NOTE = {"type": "object", "properties": {"note": {"type": "string", "maxLength": 1000}}}
STATES = ("published", "deprecated", "retired")
STATE = {
    "type": "object",
    "required": ["state"],
    "additionalProperties": False,
    "properties": {"state": {"enum": STATES}},
}
IF_MATCH = {"in": "header", "name": "If-Match", "schema": {"type": "string"}, "description": "The ETag that the change is for"}


def _record(row: Document, message: str | None = None) -> Response:
    shown = jsonable({"type": row["_id"], **{name: value for name, value in row.items() if name != "_id"}})
    response: Response = jsonify({"template": shown, **({"message": message} if message else {})})
    response.headers["ETag"] = f'"{row["revision"]}"'
    return response


def _object() -> dict[str, Any]:
    body = json_body(request, optional=True)
    if not isinstance(body, dict):
        raise ValidationFailed([FieldError("", "must be an object")])
    return body


@blueprint.get("")
@blueprint.response(200, TemplateList)
def list_templates() -> dict[str, Any]:
    """List the templates, code and derived, with how many jobs each has"""
    require(actor(), May.SEE_TEMPLATES)
    jobs, catalogue = services().jobs.counts_by_template(), services().catalogue
    rows = [{**template_json(one, catalogue.standing(one.type)), "jobs": jobs.get(one.type, 0)} for one in catalogue]
    return {"templates": rows}


@blueprint.post("")
@blueprint.doc(requestBody=_body(DERIVE))
@blueprint.response(201, TemplateRecord)
def derive_template() -> Any:
    """Begin a derived template, as a draft"""
    return _record(services().templates.derive(actor(), json_body(request)), "Draft created"), 201


@blueprint.post("/import")
@blueprint.arguments(TemplateFileQuery, location="query")
@blueprint.doc(requestBody=_body(FILE_SCHEMA))
@blueprint.response(200, SharedOut)
def import_template(query: dict[str, Any]) -> dict[str, Any]:
    """Take a derived template out of a file as a draft; with `dry_run`, only say what it would change and who signed it"""
    text = request.get_data(as_text=True)
    found = services().sharing.look(actor(), text)
    if not query["dry_run"]:
        services().sharing.take(actor(), text)
    return {
        "type": found.type,
        "base": found.base,
        "new": found.new,
        "signed": found.signed.value,
        "key": found.key or None,
        "diff": jsonable(found.diff),
        "notes": list(found.notes),
        "taken": not query["dry_run"],
        "errors": errors_json(found.errors),
    }


@blueprint.get("/<template_type>")
@blueprint.response(200, TemplateEnvelope)
def get_template(template_type: str) -> dict[str, Any]:
    """Read one template, in the version that new jobs are of, and its schema"""
    require(actor(), May.SEE_TEMPLATES)
    entry = services().catalogue.get(template_type)
    shown = template_json(entry, services().catalogue.standing(template_type))
    shown["jobs"] = services().jobs.count_of(template_type)
    return {"template": shown, "schema": shown["parameters_schema"]}


@blueprint.get("/<template_type>/schema")
@blueprint.response(200, SchemaEnvelope)
def get_schema(template_type: str) -> dict[str, Any]:
    """Read the JSON Schema of a template's parameters"""
    require(actor(), May.SEE_TEMPLATES)
    return {"schema": services().catalogue.get(template_type).parameters_schema}


@blueprint.get("/<template_type>/definition-schema")
@blueprint.response(200, SchemaEnvelope)
def get_definition_schema(template_type: str) -> dict[str, Any]:
    """Read the JSON Schema of what derives a template from this one"""
    require(actor(), May.SEE_TEMPLATES)
    return {"schema": services().templates.definition_schema(template_type)}


@blueprint.get("/<template_type>/record")
@blueprint.response(200, TemplateRecord)
def get_record(template_type: str) -> Response:
    """Read what is set about a template: its standing; of a derived one the base, the draft and every version"""
    return _record(services().templates.get(actor(), template_type))


@blueprint.put("/<template_type>/standing")
@blueprint.doc(requestBody=_body(STANDING_SCHEMA), parameters=[IF_MATCH])
@blueprint.response(200, TemplateRecord)
def set_standing(template_type: str) -> Response:
    """Switch a template on or off, keep it for roles, leave a note; what is left out stays"""
    row = services().templates.set_standing(actor(), template_type, json_body(request), revision=if_match(request))
    return _record(row, "Template changed")


@blueprint.put("/<template_type>/draft")
@blueprint.doc(requestBody=_body(DEFINITION), parameters=[IF_MATCH])
@blueprint.response(200, TemplateRecord)
def save_draft(template_type: str) -> Response:
    """Keep a definition as the draft of a derived template; jobs do not see it"""
    row = services().templates.save_draft(actor(), template_type, json_body(request), revision=if_match(request))
    return _record(row, "Draft saved")


@blueprint.delete("/<template_type>/draft")
@blueprint.response(200, Message)
def drop_draft(template_type: str) -> dict[str, str]:
    """Forget the draft; a template that was never published goes with it"""
    services().templates.drop_draft(actor(), template_type)
    return {"message": "Draft dropped"}


@blueprint.post("/<template_type>/publish")
@blueprint.doc(requestBody=_body(NOTE, required=False), parameters=[IF_MATCH])
@blueprint.response(200, TemplateRecord)
def publish(template_type: str) -> Response:
    """Make the draft the next version; new jobs are of it, others stay where they are until they are moved"""
    note = _object().get("note", "")
    if not isinstance(note, str):
        raise ValidationFailed([FieldError("/note", "must be a text")])
    row = services().templates.publish(actor(), template_type, note=note, revision=if_match(request))
    return _record(row, f"Version {row['versions'][-1]['number']} published")


@blueprint.put("/<template_type>/versions/<int:number>")
@blueprint.doc(requestBody=_body(STATE), parameters=[IF_MATCH])
@blueprint.response(200, TemplateRecord)
def set_state(template_type: str, number: int) -> Response:
    """Deprecate a version (its jobs go on), retire it (it has none), or publish it again"""
    state = str(_object().get("state"))
    if state not in STATES:
        raise ValidationFailed([FieldError("/state", "must be published, deprecated or retired")])
    row = services().templates.set_state(actor(), template_type, number, state, revision=if_match(request))
    return _record(row, f"Version {number} is {state}")


@blueprint.get("/<template_type>/export")
@blueprint.doc(responses={"200": {"description": "The file", "content": {"application/json": {"schema": FILE_SCHEMA}}}})
def export_template(template_type: str) -> Response:
    """Write the current version of a derived template into a file, signed by this installation"""
    text = services().sharing.write(actor(), template_type)
    headers = {"Content-Disposition": f'attachment; filename="{template_type}.template.json"'}
    return Response(text, content_type="application/json; charset=utf-8", headers=headers)

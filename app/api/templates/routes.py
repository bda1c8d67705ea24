"""/api/admin/job-templates: the catalogue, and managing it"""

from __future__ import annotations

from typing import Any

from flask import Response

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.templates.schemas import (
    DEFINITION_SCHEMA,
    DERIVE_SCHEMA,
    PUBLISH_SCHEMA,
    STATE_SCHEMA,
    SchemaEnvelope,
    SharedOut,
    TemplateEnvelope,
    TemplateFileQuery,
    TemplateList,
    TemplateRecord,
    record_json,
    shared_json,
    template_json,
)
from app.jobtemplates.service import STANDING_SCHEMA
from app.jobtemplates.sharing import SCHEMA as FILE_SCHEMA
from app.mongo import Document

blueprint = ApiBlueprint(
    "Templates",
    __name__,
    url_prefix="/api/admin/job-templates",
    description="What jobs are made from: templates in code, and templates derived from them",
)


def _record(row: Document, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"template": record_json(row), **({"message": message} if message else {})}
    return Versioned(body=body, version=row["revision"], status=status)


@blueprint.get("")
@blueprint.response(200, TemplateList)
def list_templates() -> dict[str, Any]:
    """List the templates, code and derived, with how many jobs each has"""
    require(actor(), May.SEE_TEMPLATES)
    jobs, catalogue = services().directory.counts_by_template(), services().catalogue
    rows = [
        {**template_json(entry, catalogue.standing(entry.type), catalogue.closed(entry.type)), "jobs": jobs.get(entry.type, 0)}
        for entry in catalogue
    ]
    return {"templates": rows}


@blueprint.post("")
@blueprint.body(DERIVE_SCHEMA, validate=False)
@blueprint.response(201, TemplateRecord)
@blueprint.etag()
def derive_template(body: Any) -> Versioned:
    """Create a derived template as a draft"""
    return _record(services().templates.derive(actor(), body), "Draft created", status=201)


@blueprint.post("/import")
@blueprint.arguments(TemplateFileQuery, location="query")
@blueprint.text_body({"application/json": {"schema": FILE_SCHEMA}})
@blueprint.response(200, SharedOut)
def import_template(query: dict[str, Any], text: str) -> dict[str, Any]:
    """Import a derived template from a file as a draft; with `dry_run`, only read what it would change and who signed it"""
    shared = services().sharing.look(actor(), text)
    if not query["dry_run"]:
        services().sharing.take(actor(), text)
    return shared_json(shared, taken=not query["dry_run"])


@blueprint.get("/<template_type>")
@blueprint.response(200, TemplateEnvelope)
def get_template(template_type: str) -> dict[str, Any]:
    """Read one template, in the version that new jobs use, and its schema"""
    require(actor(), May.SEE_TEMPLATES)
    catalogue = services().catalogue
    entry = catalogue.get(template_type)
    template = template_json(entry, catalogue.standing(template_type), catalogue.closed(template_type))
    template["jobs"] = services().directory.count_of(template_type)
    return {"template": template, "schema": template["parameters_schema"]}


@blueprint.get("/<template_type>/schema")
@blueprint.response(200, SchemaEnvelope)
def get_template_schema(template_type: str) -> dict[str, Any]:
    """Read the JSON Schema of a template's parameters"""
    require(actor(), May.SEE_TEMPLATES)
    return {"schema": services().catalogue.get(template_type).parameters_schema}


@blueprint.get("/<template_type>/definition-schema")
@blueprint.response(200, SchemaEnvelope)
def get_template_definition_schema(template_type: str) -> dict[str, Any]:
    """Read the JSON Schema of the definition of a template that is derived from this one"""
    require(actor(), May.SEE_TEMPLATES)
    return {"schema": services().templates.definition_schema(template_type)}


@blueprint.get("/<template_type>/record")
@blueprint.response(200, TemplateRecord)
@blueprint.etag()
def get_template_record(template_type: str) -> Versioned:
    """Read what is stored about a template: its standing; of a derived one also the base, the draft and every version"""
    return _record(services().templates.get(actor(), template_type))


@blueprint.put("/<template_type>/standing")
@blueprint.body(STANDING_SCHEMA, validate=False)
@blueprint.response(200, TemplateRecord)
@blueprint.etag(if_match=True)
def set_template_standing(template_type: str, body: Any, version: int | None) -> Versioned:
    """Switch a template on or off, restrict it to roles or leave a note; fields that are not sent keep their values"""
    return _record(services().templates.set_standing(actor(), template_type, body, revision=version), "Template changed")


@blueprint.put("/<template_type>/draft")
@blueprint.body(DEFINITION_SCHEMA, validate=False)
@blueprint.response(200, TemplateRecord)
@blueprint.etag(if_match=True)
def save_template_draft(template_type: str, body: Any, version: int | None) -> Versioned:
    """Save the draft of a derived template; jobs do not use it"""
    return _record(services().templates.save_draft(actor(), template_type, body, revision=version), "Draft saved")


@blueprint.delete("/<template_type>/draft")
@blueprint.response(200, Message)
def delete_template_draft(template_type: str) -> dict[str, str]:
    """Delete the draft; a template that was never published is deleted with it"""
    services().templates.drop_draft(actor(), template_type)
    return {"message": "Draft deleted"}


@blueprint.post("/<template_type>/publish")
@blueprint.body(PUBLISH_SCHEMA, required=False)
@blueprint.response(200, TemplateRecord)
@blueprint.etag(if_match=True)
def publish_template(template_type: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Publish the draft as the next version; new jobs use it, other jobs keep their version until they are moved"""
    row = services().templates.publish(actor(), template_type, note=body.get("note", ""), revision=version)
    return _record(row, f"Version {row['versions'][-1]['number']} published")


@blueprint.put("/<template_type>/versions/<int:number>")
@blueprint.body(STATE_SCHEMA)
@blueprint.response(200, TemplateRecord)
@blueprint.etag(if_match=True)
def set_template_version_state(template_type: str, number: int, body: dict[str, Any], version: int | None) -> Versioned:
    """Deprecate a version, whose jobs continue, retire one without jobs, or publish one again"""
    state = body["state"]
    row = services().templates.set_state(actor(), template_type, number, state, revision=version)
    return _record(row, f"Version {number} is {state}")


@blueprint.get("/<template_type>/export")
@blueprint.doc(responses={"200": {"description": "The file", "content": {"application/json": {"schema": FILE_SCHEMA}}}})
def export_template(template_type: str) -> Response:
    """Export the current version of a derived template as a file that this installation has signed"""
    text = services().sharing.write(actor(), template_type)
    headers = {"Content-Disposition": f'attachment; filename="{template_type}.template.json"'}
    return Response(text, content_type="application/json; charset=utf-8", headers=headers)

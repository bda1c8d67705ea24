"""/api/admin/job-templates"""

from __future__ import annotations

from typing import Any

from app.accounts.permissions import May, require
from app.api.auth import actor, services
from app.api.blueprint import ApiBlueprint
from app.api.present import template_json
from app.api.schemas import SchemaEnvelope, TemplateEnvelope, TemplateList

blueprint = ApiBlueprint("templates", __name__, url_prefix="/api/admin/job-templates", description="What a job can do")


@blueprint.get("")
@blueprint.response(200, TemplateList)
def list_templates() -> dict[str, Any]:
    """List the templates"""
    require(actor(), May.SEE_TEMPLATES)
    return {"templates": [template_json(entry) for entry in services().catalogue]}


@blueprint.get("/<template_type>")
@blueprint.response(200, TemplateEnvelope)
def get_template(template_type: str) -> dict[str, Any]:
    """Read one template and its schema"""
    require(actor(), May.SEE_TEMPLATES)
    shown = template_json(services().catalogue.get(template_type))
    return {"template": shown, "schema": shown["parameters_schema"]}


@blueprint.get("/<template_type>/schema")
@blueprint.response(200, SchemaEnvelope)
def get_schema(template_type: str) -> dict[str, Any]:
    """Read the JSON Schema of a template's parameters"""
    require(actor(), May.SEE_TEMPLATES)
    return {"schema": services().catalogue.get(template_type).parameters_schema}

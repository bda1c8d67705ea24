"""/api/admin/calendars"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.calendars.schemas import CalendarEnvelope, CalendarList
from app.api.current import actor, services
from app.api.present import instant, jsonable
from app.errors import ValidationFailed
from app.mongo import Document
from app.scheduling.calendars import SCHEMA
from app.validation import SchemaValidator

blueprint = ApiBlueprint("calendars", __name__, url_prefix="/api/admin/calendars", description="Times at which jobs do not start")

NEW = {**SCHEMA, "required": ["name", *SCHEMA["required"]], "properties": {"name": {"type": "string"}, **SCHEMA["properties"]}}
_new = SchemaValidator(NEW)
CREATE = {"required": True, "content": {"application/json": {"schema": NEW}}}
UPDATE = {"required": True, "content": {"application/json": {"schema": SCHEMA}}}
IF_MATCH = {"in": "header", "name": "If-Match", "schema": {"type": "string"}}


def _json(row: Document) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable({"name": row["_id"], **{key: value for key, value in row.items() if key != "_id"}})
    return shown


def _tagged(row: Document, message: str | None = None) -> Response:
    upcoming = [{"start": instant(one.start), "end": instant(one.end)} for one in services().calendars.upcoming(row)]
    told = {"message": message} if message else {}
    response: Response = jsonify({"calendar": _json(row), "upcoming": upcoming, **told})
    response.headers["ETag"] = f'"{row["version"]}"'
    return response


@blueprint.get("")
@blueprint.response(200, CalendarList)
def list_calendars() -> dict[str, Any]:
    """List calendars"""
    return {"calendars": [_json(row) for row in services().calendars.all(actor())]}


@blueprint.post("")
@blueprint.doc(requestBody=CREATE)
@blueprint.response(201, CalendarEnvelope)
def create_calendar() -> Any:
    """Create a calendar; its name stays"""
    body = json_body(request)
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        require(actor(), May.CHANGE_CALENDARS)
        raise ValidationFailed(_new.errors(body))
    rest = {key: value for key, value in body.items() if key != "name"}
    return _tagged(services().calendars.create(actor(), body["name"], rest), "Calendar created"), 201


@blueprint.get("/<name>")
@blueprint.response(200, CalendarEnvelope)
def get_calendar(name: str) -> Any:
    """Read a calendar and its next blackouts"""
    return _tagged(services().calendars.get(actor(), name))


@blueprint.put("/<name>")
@blueprint.doc(requestBody=UPDATE, parameters=[IF_MATCH])
@blueprint.response(200, CalendarEnvelope)
def update_calendar(name: str) -> Any:
    """Replace a calendar's rules; jobs in one of its blackouts look again at once"""
    row = services().calendars.update(actor(), name, json_body(request), version=if_match(request))
    return _tagged(row, "Calendar updated")


@blueprint.delete("/<name>")
@blueprint.response(200, Message)
def delete_calendar(name: str) -> dict[str, str]:
    """Delete a calendar that no job names"""
    services().calendars.delete(actor(), name)
    return {"message": "Calendar deleted"}

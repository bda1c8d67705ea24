"""/api/admin/connections"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from marshmallow import ValidationError

from app.api.auth import actor, services
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.present import connection_json
from app.api.schemas import ConnectionBody, ConnectionEnvelope, ConnectionList, Message, ProbeOut
from app.errors import FieldError, ValidationFailed
from app.jobs.schema import flatten_messages
from app.mongo import Document

blueprint = ApiBlueprint("connections", __name__, url_prefix="/api/admin/connections", description="Credentials that jobs use by name")

BODY = {"required": True, "content": {"application/json": {"schema": ConnectionBody}}}
IF_MATCH = {"in": "header", "name": "If-Match", "schema": {"type": "string"}}


def _body() -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = ConnectionBody().load(json_body(request))
    except ValidationError as error:
        raise ValidationFailed(flatten_messages(error.messages)) from error
    return loaded


def _tagged(row: Document, message: str | None = None) -> Response:
    response: Response = jsonify({"connection": connection_json(row), **({"message": message} if message else {})})
    response.headers["ETag"] = f'"{row["version"]}"'
    return response


@blueprint.get("")
@blueprint.response(200, ConnectionList)
def list_connections() -> dict[str, Any]:
    """List connections; an admin sees their names and kinds"""
    return {"connections": [connection_json(row) for row in services().connections.all(actor())]}


@blueprint.post("")
@blueprint.doc(requestBody=BODY)
@blueprint.response(201, ConnectionEnvelope)
def create_connection() -> Any:
    """Create a connection"""
    body = _body()
    if "kind" not in body:
        raise ValidationFailed([FieldError("/kind", "is required")])
    return _tagged(services().connections.create(actor(), **body), "Connection created"), 201


@blueprint.get("/<connection_id>")
@blueprint.response(200, ConnectionEnvelope)
def get_connection(connection_id: str) -> Any:
    """Read a connection, its secrets masked"""
    return _tagged(services().connections.get(actor(), connection_id))


@blueprint.put("/<connection_id>")
@blueprint.doc(requestBody=BODY, parameters=[IF_MATCH])
@blueprint.response(200, ConnectionEnvelope)
def update_connection(connection_id: str) -> Any:
    """Change a connection; its kind stays"""
    body = _body()
    row = services().connections.update(actor(), connection_id, name=body["name"], settings=body["settings"], version=if_match(request))
    return _tagged(row, "Connection updated")


@blueprint.delete("/<connection_id>")
@blueprint.response(200, Message)
def delete_connection(connection_id: str) -> dict[str, str]:
    """Delete a connection that no job uses"""
    row = services().connections.get(actor(), connection_id)
    services().connections.delete(actor(), connection_id, used_by=services().jobs.names_using(row["name"]))
    return {"message": "Connection deleted"}


@blueprint.post("/<connection_id>/test")
@blueprint.response(200, ProbeOut)
def test_connection(connection_id: str) -> dict[str, Any]:
    """Open the connection once and say what answered"""
    works, message = services().connections.probe(actor(), connection_id)
    return {"ok": works, "message": message}

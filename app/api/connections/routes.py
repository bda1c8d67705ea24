"""/api/admin/connections"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.connections.schemas import ConnectionBody, ConnectionEnvelope, ConnectionList, ProbeOut
from app.api.current import actor, services
from app.api.present import connection_json
from app.errors import FieldError, ValidationFailed
from app.jobs.reading import judge_of
from app.mongo import Document
from app.validation.together import beside

blueprint = ApiBlueprint("connections", __name__, url_prefix="/api/admin/connections", description="Credentials that jobs use by name")

BODY = {"required": True, "content": {"application/json": {"schema": ConnectionBody}}}
IF_MATCH = {"in": "header", "name": "If-Match", "schema": {"type": "string"}}


_body = judge_of(ConnectionBody())


def _judged(row: Document | None = None) -> dict[str, Any]:
    """The body of a connection that is to be made, or of a change of `row`. Raises ValidationFailed with all that is wrong with it."""
    body = json_body(request)
    errors = _body.errors(body)
    given = body if isinstance(body, dict) else {}
    if row is None and isinstance(body, dict) and "kind" not in body:
        errors.append(FieldError("/kind", "is required"))
    if errors:
        kind = row["kind"] if row else given.get("kind")
        found = services().connections.problems(given.get("name"), kind, given.get("settings"), row)
        raise ValidationFailed(beside(errors, found if given else ()))
    return given


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
    require(actor(), May.MANAGE_CONNECTIONS)
    return _tagged(services().connections.create(actor(), **_judged()), "Connection created"), 201


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
    body = _judged(services().connections.get(actor(), connection_id))
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

"""/api/admin/connections"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.connections.schemas import ConnectionBody, ConnectionEnvelope, ConnectionList, NewConnectionBody, ProbeOut, connection_json
from app.api.current import actor, services
from app.api.etag import Versioned
from app.errors import FieldError
from app.mongo import Document

blueprint = ApiBlueprint("Connections", __name__, url_prefix="/api/admin/connections", description="Credentials that jobs use by name")


def _answer(row: Document, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"connection": connection_json(row), **({"message": message} if message else {})}
    return Versioned(body=body, version=row["version"], status=status)


@blueprint.get("")
@blueprint.response(200, ConnectionList)
def list_connections() -> dict[str, Any]:
    """List connections; an admin sees their names and kinds"""
    return {"connections": [connection_json(row) for row in services().connections.all(actor())]}


def _errors_of_new(body: Any, errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """Returns what else is wrong with an invalid body. Raises Forbidden first: without the right, nothing is said of the body."""
    if not errors:
        return ()
    require(actor(), May.MANAGE_CONNECTIONS)
    return services().connections.problems(body.get("name"), body.get("kind"), body.get("settings")) if isinstance(body, dict) else ()


@blueprint.post("")
@blueprint.body(NewConnectionBody, further_errors=_errors_of_new)
@blueprint.response(201, ConnectionEnvelope)
@blueprint.etag()
def create_connection(body: dict[str, Any]) -> Versioned:
    """Create a connection"""
    return _answer(services().connections.create(actor(), **body), "Connection created", status=201)


@blueprint.get("/<connection_id>")
@blueprint.response(200, ConnectionEnvelope)
@blueprint.etag()
def get_connection(connection_id: str) -> Versioned:
    """Read a connection, its secrets masked"""
    return _answer(services().connections.get(actor(), connection_id))


def _errors_of_change(body: Any, errors: Sequence[FieldError], connection_id: str) -> Sequence[FieldError]:
    """Returns what else is wrong with an invalid body. Raises Forbidden or NotFound first."""
    if not errors:
        return ()
    row = services().connections.get(actor(), connection_id)
    if not isinstance(body, dict):
        return ()
    return services().connections.problems(body.get("name"), row["kind"], body.get("settings"), row)


@blueprint.put("/<connection_id>")
@blueprint.body(ConnectionBody, further_errors=_errors_of_change)
@blueprint.response(200, ConnectionEnvelope)
@blueprint.etag(if_match=True)
def update_connection(connection_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Change a connection; its kind cannot be changed"""
    row = services().connections.update(actor(), connection_id, name=body["name"], settings=body["settings"], version=version)
    return _answer(row, "Connection updated")


@blueprint.delete("/<connection_id>")
@blueprint.response(200, Message)
def delete_connection(connection_id: str) -> dict[str, str]:
    """Delete a connection that no job uses"""
    row = services().connections.get(actor(), connection_id)
    services().connections.delete(actor(), connection_id, used_by=services().directory.names_using(row["name"]))
    return {"message": "Connection deleted"}


@blueprint.post("/<connection_id>/test")
@blueprint.response(200, ProbeOut)
def test_connection(connection_id: str) -> dict[str, Any]:
    """Test a connection: open it once, and read what answered"""
    works, message = services().connections.probe(actor(), connection_id)
    return {"ok": works, "message": message}

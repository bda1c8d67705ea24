"""Requests and answers of connections."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import record_json
from app.mongo import Document


class ConnectionBody(RequestSchema):
    name = ma.String(required=True)
    kind = ma.String(metadata={"description": "Only for a new connection; it cannot be changed"})
    settings = ma.Dict(
        required=True, metadata={"description": 'What the connection needs, by its kind; send {"$secret": "set"} to keep a stored secret'}
    )


class NewConnectionBody(ConnectionBody):
    kind = ma.String(required=True)


class HealthOut(AnswerSchema):
    works = ma.Boolean(required=True)
    since = ma.String(required=True, metadata=INSTANT)
    probed_at = ma.String(required=True, metadata=INSTANT)
    message = ma.String(metadata={"description": "What the server answered; only super-admins see it"})


class ConnectionOut(RecordOut):
    name = ma.String(required=True)
    kind = ma.String(required=True)
    health = ma.Nested(
        HealthOut,
        allow_none=True,
        metadata={"description": "In lists: its last probe; null if there was none"},
    )
    settings = ma.Dict(metadata={"description": "What the connection needs, by its kind; secrets are masked"})
    version = ma.Integer()


class ConnectionEnvelope(AnswerSchema):
    connection = ma.Nested(ConnectionOut, required=True)
    message = ma.String()


class ConnectionList(AnswerSchema):
    connections = ma.List(ma.Nested(ConnectionOut), required=True)


class ProbeOut(AnswerSchema):
    ok = ma.Boolean(required=True)
    message = ma.String(required=True)


def connection_json(row: Document) -> dict[str, Any]:
    """Returns a connection as its service shows it, secrets masked."""
    return record_json(row)

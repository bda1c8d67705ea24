"""Requests and answers of connections."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, RequestSchema
from app.api.present import jsonable
from app.mongo import Document


class ConnectionBody(RequestSchema):
    name = ma.String(required=True)
    kind = ma.String(metadata={"description": "On create only"})
    settings = ma.Dict(required=True, metadata={"description": 'A secret given as {"$secret": "set"} stays as it is'})


class NewConnectionBody(ConnectionBody):
    kind = ma.String(required=True)


class HealthOut(AnswerSchema):
    works = ma.Boolean(required=True)
    since = ma.String(required=True, metadata=INSTANT)
    probed_at = ma.String(required=True, metadata=INSTANT)
    message = ma.String(metadata={"description": "What it answered; only super-admins see it"})


class ConnectionOut(AnswerSchema):
    _id = ma.String(required=True)
    name = ma.String(required=True)
    kind = ma.String(required=True)
    health = ma.Nested(HealthOut, allow_none=True, metadata={"description": "In lists: whether it answered at the last probe"})
    settings = ma.Dict()
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
    answer: dict[str, Any] = jsonable(row)
    return answer

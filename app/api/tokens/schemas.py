"""Requests and answers of tokens."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut


class TokenOut(RecordOut):
    owner = ma.String(allow_none=True)
    user_id = ma.String(required=True)
    name = ma.String(required=True)
    prefix = ma.String(required=True)
    scopes = ma.List(ma.String(), required=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    expires_at = ma.String(allow_none=True, metadata=INSTANT)
    last_used_at = ma.String(metadata=INSTANT)
    revoked_at = ma.String(allow_none=True, metadata=INSTANT)


class TokenList(AnswerSchema):
    tokens = ma.List(ma.Nested(TokenOut), required=True)


class TokenEnvelope(AnswerSchema):
    text = ma.String(required=True, metadata={"description": "The token; only this answer shows it"})
    token = ma.Nested(TokenOut, required=True)

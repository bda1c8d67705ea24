"""Requests and answers of accounts."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.accounts.model import User
from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut
from app.api.present import jsonable


class UserOut(RecordOut):
    email = ma.String(required=True)
    name = ma.String(required=True)
    role = ma.String(required=True)
    groups = ma.List(ma.String(), required=True, metadata={"description": "The groups whose jobs an admin sees; empty: all jobs"})
    kind = ma.String(required=True, metadata={"description": "person or service"})
    disabled = ma.Boolean(required=True)
    second_factor = ma.Boolean(required=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    last_seen_at = ma.String(allow_none=True, metadata=INSTANT)
    version = ma.Integer(required=True)


class UserList(AnswerSchema):
    users = ma.List(ma.Nested(UserOut), required=True)


class UserEnvelope(AnswerSchema):
    user = ma.Nested(UserOut, required=True)
    message = ma.String()
    reset = ma.String(metadata={"description": "Path of the page where the person sets a password; only this answer shows it"})


class ResetOut(AnswerSchema):
    reset = ma.String(required=True)


def user_json(user: User) -> dict[str, Any]:
    """Returns an account without anything secret."""
    answer: dict[str, Any] = jsonable(
        {
            "id": user.id,
            "_id": user.id,
            "email": user.email,
            "name": user.name,
            "role": user.role.value,
            "kind": user.kind.value,
            "groups": list(user.groups),
            "disabled": user.disabled,
            "second_factor": user.totp is not None,
            "created_at": user.created_at,
            "last_seen_at": user.last_seen_at,
            "version": user.version,
        }
    )
    return answer

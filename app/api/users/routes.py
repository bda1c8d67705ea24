"""/api/admin/users and /api/admin/tokens"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.accounts.model import User
from app.accounts.service import CHANGE_SCHEMA, NEW_SCHEMA
from app.accounts.tokens import SCHEMA as TOKEN_SCHEMA
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.current import actor, services
from app.api.present import jsonable
from app.api.tokens.schemas import TokenEnvelope, TokenList
from app.api.users.schemas import ResetOut, UserEnvelope, UserList

blueprint = ApiBlueprint("users", __name__, url_prefix="/api/admin/users", description="People and services, and what they may")

IF_MATCH = {"in": "header", "name": "If-Match", "schema": {"type": "string"}}


def _takes(schema: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def user_json(user: User) -> dict[str, Any]:
    """An account without anything secret."""
    shown: dict[str, Any] = jsonable(
        {
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
    return shown


def _tagged(user: User, **more: Any) -> Response:
    response: Response = jsonify({"user": user_json(user), **more})
    response.headers["ETag"] = f'"{user.version}"'
    return response


@blueprint.get("")
@blueprint.response(200, UserList)
def list_users() -> dict[str, Any]:
    """List accounts"""
    return {"users": [user_json(user) for user in services().accounts.all(actor())]}


@blueprint.post("")
@blueprint.doc(requestBody=_takes(NEW_SCHEMA))
@blueprint.response(201, UserEnvelope)
def create_user() -> Any:
    """Create an account; `reset` is the end of the link on which a person sets the password, good once and for a day"""
    user, secret = services().accounts.add(actor(), json_body(request))
    return _tagged(user, message="Account created", **({"reset": f"/reset/{secret}"} if secret else {})), 201


@blueprint.get("/<user_id>")
@blueprint.response(200, UserEnvelope)
def get_user(user_id: str) -> Any:
    """Read an account"""
    return _tagged(services().accounts.get(actor(), user_id))


@blueprint.patch("/<user_id>")
@blueprint.doc(requestBody=_takes(CHANGE_SCHEMA), parameters=[IF_MATCH])
@blueprint.response(200, UserEnvelope)
def change_user(user_id: str) -> Any:
    """Change an account: name, role, or whether it is closed; holds from the next request on"""
    return _tagged(services().accounts.change(actor(), user_id, json_body(request), version=if_match(request)), message="Account changed")


@blueprint.post("/<user_id>/reset")
@blueprint.response(200, ResetOut)
def reset_password(user_id: str) -> dict[str, str]:
    """Make a link on which the person sets another password, good once and for a day"""
    return {"reset": f"/reset/{services().accounts.start_reset(actor(), user_id)}"}


@blueprint.delete("/<user_id>/second-factor")
@blueprint.response(200, Message)
def remove_second_factor(user_id: str) -> dict[str, str]:
    """Remove the second factor of someone who lost it; their sessions end"""
    services().accounts.remove_second_factor(actor(), user_id)
    return {"message": "Second factor removed"}


@blueprint.get("/<user_id>/tokens")
@blueprint.response(200, TokenList)
def list_tokens_of(user_id: str) -> dict[str, Any]:
    """List the tokens of an account"""
    return {"tokens": [jsonable(row) for row in services().tokens.all(actor(), user_id)]}


@blueprint.post("/<user_id>/tokens")
@blueprint.doc(requestBody=_takes(TOKEN_SCHEMA))
@blueprint.response(201, TokenEnvelope)
def create_token(user_id: str) -> dict[str, Any]:
    """Make a token; its text is in this answer and nowhere else"""
    text, row = services().tokens.request(actor(), user_id, json_body(request))
    return {"text": text, "token": jsonable(row)}

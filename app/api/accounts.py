"""/api/admin/users and /api/admin/tokens"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.accounts.model import User
from app.accounts.service import CHANGE_SCHEMA, NEW_SCHEMA
from app.accounts.tokens import SCHEMA as TOKEN_SCHEMA
from app.api.auth import actor, services
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body
from app.api.present import jsonable
from app.api.schemas import Message, ResetOut, TokenEnvelope, TokenList, UserEnvelope, UserList

users = ApiBlueprint("users", __name__, url_prefix="/api/admin/users", description="People and services, and what they may")
tokens = ApiBlueprint("tokens", __name__, url_prefix="/api/admin/tokens", description="What programs prove themselves with")

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


@users.get("")
@users.response(200, UserList)
def list_users() -> dict[str, Any]:
    """List accounts"""
    return {"users": [user_json(user) for user in services().accounts.all(actor())]}


@users.post("")
@users.doc(requestBody=_takes(NEW_SCHEMA))
@users.response(201, UserEnvelope)
def create_user() -> Any:
    """Create an account; `reset` is the end of the link on which a person sets the password, good once and for a day"""
    user, secret = services().accounts.add(actor(), json_body(request))
    return _tagged(user, message="Account created", **({"reset": f"/reset/{secret}"} if secret else {})), 201


@users.get("/<user_id>")
@users.response(200, UserEnvelope)
def get_user(user_id: str) -> Any:
    """Read an account"""
    return _tagged(services().accounts.get(actor(), user_id))


@users.patch("/<user_id>")
@users.doc(requestBody=_takes(CHANGE_SCHEMA), parameters=[IF_MATCH])
@users.response(200, UserEnvelope)
def change_user(user_id: str) -> Any:
    """Change an account: name, role, or whether it is closed; holds from the next request on"""
    return _tagged(services().accounts.change(actor(), user_id, json_body(request), version=if_match(request)), message="Account changed")


@users.post("/<user_id>/reset")
@users.response(200, ResetOut)
def reset_password(user_id: str) -> dict[str, str]:
    """Make a link on which the person sets another password, good once and for a day"""
    return {"reset": f"/reset/{services().accounts.start_reset(actor(), user_id)}"}


@users.delete("/<user_id>/second-factor")
@users.response(200, Message)
def remove_second_factor(user_id: str) -> dict[str, str]:
    """Remove the second factor of someone who lost it; their sessions end"""
    services().accounts.remove_second_factor(actor(), user_id)
    return {"message": "Second factor removed"}


@users.get("/<user_id>/tokens")
@users.response(200, TokenList)
def list_tokens_of(user_id: str) -> dict[str, Any]:
    """List the tokens of an account"""
    return {"tokens": [jsonable(row) for row in services().tokens.all(actor(), user_id)]}


@users.post("/<user_id>/tokens")
@users.doc(requestBody=_takes(TOKEN_SCHEMA))
@users.response(201, TokenEnvelope)
def create_token(user_id: str) -> dict[str, Any]:
    """Make a token; its text is in this answer and nowhere else"""
    text, row = services().tokens.request(actor(), user_id, json_body(request))
    return {"text": text, "token": jsonable(row)}


@tokens.get("")
@tokens.response(200, TokenList)
def list_tokens() -> dict[str, Any]:
    """List everybody's tokens, newest first"""
    return {"tokens": [jsonable(row) for row in services().tokens.all(actor())]}


@tokens.post("/<token_id>/rotate")
@tokens.response(200, TokenEnvelope)
def rotate_token(token_id: str) -> dict[str, Any]:
    """Give a token another text; the old one is good no longer"""
    text, row = services().tokens.rotate(actor(), token_id)
    return {"text": text, "token": jsonable(row)}


@tokens.delete("/<token_id>")
@tokens.response(200, Message)
def revoke_token(token_id: str) -> dict[str, str]:
    """Revoke a token for ever"""
    services().tokens.revoke(actor(), token_id)
    return {"message": "Token revoked"}

"""/api/admin/users"""

from __future__ import annotations

from typing import Any

from app.accounts.service import CHANGE_SCHEMA, NEW_SCHEMA
from app.accounts.tokens import SCHEMA as TOKEN_SCHEMA
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.present import record_json
from app.api.tokens.schemas import TokenEnvelope, TokenList
from app.api.users.schemas import ResetOut, UserEnvelope, UserList, user_json

blueprint = ApiBlueprint("Users", __name__, url_prefix="/api/admin/users", description="Accounts of people and services, and their rights")


@blueprint.get("")
@blueprint.response(200, UserList)
def list_users() -> dict[str, Any]:
    """List accounts"""
    return {"users": [user_json(user) for user in services().accounts.all(actor())]}


@blueprint.post("")
@blueprint.body(NEW_SCHEMA, validate=False)
@blueprint.response(201, UserEnvelope)
@blueprint.etag()
def create_user(body: Any) -> Versioned:
    """Create an account; `reset` is the path of the page where the person sets a password. It works once, within a day"""
    user, secret = services().accounts.add(actor(), body)
    answer = {"user": user_json(user), "message": "Account created", **({"reset": f"/reset/{secret}"} if secret else {})}
    return Versioned(body=answer, version=user.version, status=201)


@blueprint.get("/<user_id>")
@blueprint.response(200, UserEnvelope)
@blueprint.etag()
def get_user(user_id: str) -> Versioned:
    """Read an account"""
    user = services().accounts.get(actor(), user_id)
    return Versioned(body={"user": user_json(user)}, version=user.version)


@blueprint.patch("/<user_id>")
@blueprint.body(CHANGE_SCHEMA, validate=False)
@blueprint.response(200, UserEnvelope)
@blueprint.etag(if_match=True)
def update_user(user_id: str, body: Any, version: int | None) -> Versioned:
    """Change an account: its name, role, groups or whether it is disabled; the change takes effect with its next request"""
    user = services().accounts.change(actor(), user_id, body, version=version)
    return Versioned(body={"user": user_json(user), "message": "Account changed"}, version=user.version)


@blueprint.post("/<user_id>/reset")
@blueprint.response(200, ResetOut)
def reset_password(user_id: str) -> dict[str, str]:
    """Create a link to the page where the person sets another password. It works once, within a day"""
    return {"reset": f"/reset/{services().accounts.start_reset(actor(), user_id)}"}


@blueprint.delete("/<user_id>/second-factor")
@blueprint.response(200, Message)
def remove_second_factor(user_id: str) -> dict[str, str]:
    """Remove the second factor of someone who lost it; their sessions end"""
    services().accounts.remove_second_factor(actor(), user_id)
    return {"message": "Second factor removed"}


@blueprint.get("/<user_id>/tokens")
@blueprint.response(200, TokenList)
def list_user_tokens(user_id: str) -> dict[str, Any]:
    """List the tokens of an account"""
    return {"tokens": [record_json(row) for row in services().tokens.all(actor(), user_id)]}


@blueprint.post("/<user_id>/tokens")
@blueprint.body(TOKEN_SCHEMA, validate=False)
@blueprint.response(201, TokenEnvelope)
def create_user_token(user_id: str, body: Any) -> dict[str, Any]:
    """Create a token; its text is only in this answer"""
    text, row = services().tokens.request(actor(), user_id, body)
    return {"text": text, "token": record_json(row)}

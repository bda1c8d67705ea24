"""/api/admin/tokens"""

from __future__ import annotations

from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.present import jsonable
from app.api.tokens.schemas import TokenEnvelope, TokenList

blueprint = ApiBlueprint("tokens", __name__, url_prefix="/api/admin/tokens", description="What programs prove themselves with")


@blueprint.get("")
@blueprint.response(200, TokenList)
def list_tokens() -> dict[str, Any]:
    """List everybody's tokens, newest first"""
    return {"tokens": [jsonable(row) for row in services().tokens.all(actor())]}


@blueprint.post("/<token_id>/rotate")
@blueprint.response(200, TokenEnvelope)
def rotate_token(token_id: str) -> dict[str, Any]:
    """Give a token another text; the old one is good no longer"""
    text, row = services().tokens.rotate(actor(), token_id)
    return {"text": text, "token": jsonable(row)}


@blueprint.delete("/<token_id>")
@blueprint.response(200, Message)
def revoke_token(token_id: str) -> dict[str, str]:
    """Revoke a token for ever"""
    services().tokens.revoke(actor(), token_id)
    return {"message": "Token revoked"}

"""/api/admin/tokens"""

from __future__ import annotations

from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.present import record_json
from app.api.tokens.schemas import TokenEnvelope, TokenList

blueprint = ApiBlueprint("Tokens", __name__, url_prefix="/api/admin/tokens", description="The tokens that programs send to sign in")


@blueprint.get("")
@blueprint.response(200, TokenList)
def list_tokens() -> dict[str, Any]:
    """List the tokens of all accounts, newest first"""
    return {"tokens": [record_json(row) for row in services().tokens.all(actor())]}


@blueprint.post("/<token_id>/rotate")
@blueprint.response(200, TokenEnvelope)
def rotate_token(token_id: str) -> dict[str, Any]:
    """Replace the text of a token; the old text is no longer valid"""
    text, row = services().tokens.rotate(actor(), token_id)
    return {"text": text, "token": record_json(row)}


@blueprint.delete("/<token_id>")
@blueprint.response(200, Message)
def revoke_token(token_id: str) -> dict[str, str]:
    """Revoke a token for good"""
    services().tokens.revoke(actor(), token_id)
    return {"message": "Token revoked"}

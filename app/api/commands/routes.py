"""/api/asyncapi.json: what the bus takes and sends"""

from __future__ import annotations

from typing import Any

from flask import current_app

from app.api.blueprint import OpenBlueprint
from app.api.commands.document import asyncapi_document
from app.api.commands.schemas import AsyncApiOut
from app.api.current import services

blueprint = OpenBlueprint("Bus", __name__, description="Commands and events over NATS, described by an AsyncAPI document")

_MADE = "jobwright.asyncapi"  # in Flask's `app.extensions`, once it was asked for


@blueprint.get("/api/asyncapi.json")
@blueprint.response(200, AsyncApiOut)
def get_asyncapi() -> dict[str, Any]:
    """Read the AsyncAPI document: the commands that the bus takes, and the events that it sends"""
    prefix = services().settings.nats_prefix
    made: dict[str, dict[str, Any]] = current_app.extensions.setdefault(_MADE, {})
    if prefix not in made:
        openapi = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
        made[prefix] = asyncapi_document(openapi, prefix=prefix)
    return made[prefix]

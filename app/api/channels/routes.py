"""/api/admin/channels"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.channels.schemas import (
    ChannelBody,
    ChannelEnvelope,
    ChannelList,
    ChannelTypeList,
    NewChannelBody,
    TryOut,
    channel_json,
    try_json,
    type_json,
)
from app.api.current import actor, services
from app.api.etag import Versioned
from app.errors import FieldError
from app.mongo import Document

blueprint = ApiBlueprint("Channels", __name__, url_prefix="/api/admin/channels", description="Ways to reach people")


def _answer(row: Document, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"channel": channel_json(row), **({"message": message} if message else {})}
    return Versioned(body=body, version=row["version"], status=status)


@blueprint.get("")
@blueprint.response(200, ChannelList)
def list_channels() -> dict[str, Any]:
    """List channels; an admin sees their names and types"""
    return {"channels": [channel_json(row) for row in services().channels.all(actor())]}


@blueprint.get("/types")
@blueprint.response(200, ChannelTypeList)
def list_channel_types() -> dict[str, Any]:
    """List the types of channels, each with the schema of its settings"""
    require(actor(), May.SEE_CHANNELS)
    return {"types": [type_json(channel) for channel in services().channels.types]}


def _errors_of_new(body: Any, errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """Returns what else is wrong with an invalid body. Raises Forbidden first: without the right, nothing is said of the body."""
    if not errors:
        return ()
    require(actor(), May.MANAGE_CHANNELS)
    return (
        services().channels.problems(body.get("name"), body.get("type"), body.get("settings"), quiet=body.get("quiet"))
        if isinstance(body, dict)
        else ()
    )


@blueprint.post("")
@blueprint.body(NewChannelBody, further_errors=_errors_of_new)
@blueprint.response(201, ChannelEnvelope)
@blueprint.etag()
def create_channel(body: dict[str, Any]) -> Versioned:
    """Create a channel"""
    return _answer(services().channels.create(actor(), **body), "Channel created", status=201)


@blueprint.get("/<channel_id>")
@blueprint.response(200, ChannelEnvelope)
@blueprint.etag()
def get_channel(channel_id: str) -> Versioned:
    """Read a channel, its secrets masked"""
    return _answer(services().channels.get(actor(), channel_id))


def _errors_of_change(body: Any, errors: Sequence[FieldError], channel_id: str) -> Sequence[FieldError]:
    """Returns what else is wrong with an invalid body. Raises Forbidden or NotFound first."""
    if not errors:
        return ()
    row = services().channels.get(actor(), channel_id)
    if not isinstance(body, dict):
        return ()
    return services().channels.problems(body.get("name"), row["type"], body.get("settings"), quiet=body.get("quiet"), old=row)


@blueprint.put("/<channel_id>")
@blueprint.body(ChannelBody, further_errors=_errors_of_change)
@blueprint.response(200, ChannelEnvelope)
@blueprint.etag(if_match=True)
def update_channel(channel_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Change a channel; its type cannot be changed"""
    changes = {name: value for name, value in body.items() if name != "type"}
    return _answer(services().channels.update(actor(), channel_id, version=version, **changes), "Channel updated")


@blueprint.delete("/<channel_id>")
@blueprint.response(200, Message)
def delete_channel(channel_id: str) -> dict[str, str]:
    """Delete a channel that no job and no other channel names"""
    services().channels.delete(actor(), channel_id)
    return {"message": "Channel deleted"}


@blueprint.post("/<channel_id>/test")
@blueprint.response(200, TryOut)
def test_channel(channel_id: str) -> dict[str, Any]:
    """Send a test message through a channel, and read what the receiver answered"""
    return try_json(services().channels.test(actor(), channel_id))

"""/api/admin/mutes"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.mutes.schemas import PREVIEW_SCHEMA, MuteEnvelope, MuteList, MutePreview, mute_json, preview_json
from app.errors import FieldError
from app.notification.quiet.mutes import SCHEMA
from app.notification.quiet.muting import Mute

blueprint = ApiBlueprint("Mutes", __name__, url_prefix="/api/admin/mutes", description="Alerts that are held back for some time")


def _answer(mute: Mute, message: str | None = None, *, status: int = 200) -> Versioned:
    ended = mute.ends_at <= services().clock.now()
    body = {"mute": mute_json(mute, ended=ended), **({"message": message} if message else {})}
    return Versioned(body=body, version=mute.version, status=status)


@blueprint.get("")
@blueprint.response(200, MuteList)
def list_mutes() -> dict[str, Any]:
    """List mutes"""
    mutes = services().mutes
    active = [mute_json(mute, ended=False) for mute in mutes.active(actor())]
    return {"mutes": active, "ended": [mute_json(mute, ended=True) for mute in mutes.ended(actor())]}


def _errors(body: Any, errors: Sequence[FieldError], mute_id: str = "") -> Sequence[FieldError]:  # noqa: ARG001 - the id of the address
    """Returns what else is wrong with an invalid body. Raises Forbidden first: without the right, nothing is said of the body."""
    if not errors:
        return ()
    require(actor(), May.MUTE)
    return services().mutes.problems(actor(), body)


@blueprint.post("")
@blueprint.body(SCHEMA, further_errors=_errors)
@blueprint.response(201, MuteEnvelope)
@blueprint.etag()
def create_mute(body: dict[str, Any]) -> Versioned:
    """Create a mute"""
    return _answer(services().mutes.create(actor(), body), "Mute created", status=201)


def _errors_of_preview(_body: Any, errors: Sequence[FieldError]) -> Sequence[FieldError]:
    if errors:
        require(actor(), May.MUTE)
    return ()


@blueprint.post("/preview")
@blueprint.body(PREVIEW_SCHEMA, further_errors=_errors_of_preview)
@blueprint.response(200, MutePreview)
def preview_mute(body: dict[str, Any]) -> dict[str, Any]:
    """Read which alerts a mute would hold now, and would have held in the last 7 days"""
    return preview_json(services().mutes.preview(actor(), body))


@blueprint.get("/<mute_id>")
@blueprint.response(200, MuteEnvelope)
@blueprint.etag()
def get_mute(mute_id: str) -> Versioned:
    """Read a mute"""
    return _answer(services().mutes.get(actor(), mute_id))


@blueprint.put("/<mute_id>")
@blueprint.body(SCHEMA, further_errors=_errors)
@blueprint.response(200, MuteEnvelope)
@blueprint.etag(if_match=True)
def update_mute(mute_id: str, body: dict[str, Any], version: int | None) -> Versioned:
    """Change a mute that has not ended"""
    return _answer(services().mutes.update(actor(), mute_id, body, version=version), "Mute updated")


@blueprint.delete("/<mute_id>")
@blueprint.response(200, MuteEnvelope)
def end_mute(mute_id: str) -> dict[str, Any]:
    """End a mute; what it holds and still fires is sent"""
    return {"mute": mute_json(services().mutes.end(actor(), mute_id), ended=True), "message": "Mute ended"}

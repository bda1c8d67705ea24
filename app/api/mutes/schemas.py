"""Answers of mutes."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.announcements.schemas import AnnouncementOut, announcement_json
from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut
from app.api.present import jsonable
from app.notification.quiet.mutes import SCHEMA, Preview
from app.notification.quiet.muting import MATCHED, Mute

# Of a preview: what is muted. A reason and an end may be sent, and do not matter.
PREVIEW_SCHEMA: dict[str, Any] = {**SCHEMA, "required": []}


class MuteOut(RecordOut):
    reason = ma.String(required=True)
    author = ma.String(required=True, metadata={"description": "The mail address of the person who has created it"})
    created_at = ma.String(required=True, metadata=INSTANT)
    ends_at = ma.String(required=True, metadata=INSTANT)
    ended = ma.Boolean(required=True)
    version = ma.Integer(required=True)
    rules = ma.List(ma.String(), required=True)
    jobs = ma.List(ma.String(), required=True)
    tags = ma.List(ma.String(), required=True)
    groups = ma.List(ma.String(), required=True)
    templates = ma.List(ma.String(), required=True)
    severities = ma.List(ma.String(), required=True)


class MuteEnvelope(AnswerSchema):
    mute = ma.Nested(MuteOut, required=True)
    message = ma.String()


class MuteList(AnswerSchema):
    mutes = ma.List(
        ma.Nested(MuteOut), required=True, metadata={"description": "The active ones, the one that ends first before the others"}
    )
    ended = ma.List(ma.Nested(MuteOut), required=True, metadata={"description": "The last ones that have ended"})


class MutePreview(AnswerSchema):
    firing = ma.Integer(required=True, metadata={"description": "Alerts that fire now and would be held"})
    lately = ma.Integer(required=True, metadata={"description": "Alerts of the last 7 days that would have been held"})
    newest = ma.List(ma.Nested(AnnouncementOut), required=True)


def mute_json(mute: Mute, *, ended: bool) -> dict[str, Any]:
    """Returns a mute."""
    same = {name: getattr(mute, name) for name in ("id", "reason", "author", "created_at", "ends_at", "version")}
    matched = {name: list(getattr(mute.matcher, name)) for name in MATCHED}
    answer: dict[str, Any] = jsonable({**same, "_id": mute.id, "ended": ended, **matched})
    return answer


def preview_json(preview: Preview) -> dict[str, Any]:
    """Returns what a mute would hold."""
    newest = [announcement_json(entry) for entry in preview.newest]
    return {"firing": preview.firing, "lately": preview.lately, "newest": newest}

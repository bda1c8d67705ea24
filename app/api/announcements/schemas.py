"""Requests and answers of announcements."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import jsonable
from app.notification.quiet.entry import Entry, EntryStatus, Why
from app.validation.fields import Instant

STATUSES, REASONS = [status.value for status in EntryStatus], [why.value for why in Why]


class AnnouncementQuery(RequestSchema):
    status = ma.String(load_default="", validate=OneOf(["", *STATUSES]))
    reason = ma.String(load_default="", validate=OneOf(["", *REASONS]), metadata={"description": "Why it is or was held back"})
    mute = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Id of a mute that holds it, or has held it"})
    channel = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Id of a channel; mail for plain addresses"})
    batch = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Id of the message that it is in"})
    incident = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Id of an incident"})
    begin = Instant(load_default=None, metadata={"description": "Announced at this time or later"})
    end = Instant(load_default=None, metadata={"description": "Announced before this time"})
    after = ma.String(load_default="", validate=Length(max=200), metadata={"description": "The text in `next` of the page before"})
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=200))


class HoldOut(AnswerSchema):
    why = ma.String(required=True, metadata={"description": ", ".join(REASONS)})
    by = ma.String(required=True, metadata={"description": "Id of the mute, the channel or the incident that holds it; may be empty"})
    name = ma.String(
        required=True, metadata={"description": "The reason of a mute or of maintenance, or the name of the channel or the cause"}
    )
    at = ma.String(required=True, metadata=INSTANT)
    until = ma.String(allow_none=True, required=True, metadata=INSTANT)
    final = ma.Boolean(required=True, metadata={"description": "It will not be sent"})


class AnnouncedSubjectOut(AnswerSchema):
    kind = ma.String(required=True, metadata={"description": "job, node, connection, service, token, approval or installation"})
    id = ma.String(required=True)
    name = ma.String(required=True)
    group = ma.String(required=True)


class AnnouncementOut(RecordOut):
    status = ma.String(required=True, metadata={"description": ", ".join(STATUSES)})
    kind = ma.String(required=True, metadata={"description": "firing, reminder, recovery or notice"})
    severity = ma.String(required=True, metadata={"description": "info, warning or critical"})
    title = ma.String(required=True)
    rule = ma.String(required=True, metadata={"description": "The name that the rule had; empty for what a job tells by itself"})
    incident_id = ma.String(required=True, metadata={"description": "Empty for what a job tells by itself"})
    subject = ma.Nested(AnnouncedSubjectOut, required=True)
    at = ma.String(required=True, metadata=INSTANT)
    channel_id = ma.String(required=True)
    channel = ma.String(required=True, metadata={"description": "The name that the channel had"})
    recipients = ma.List(ma.String(), required=True, metadata={"description": "Mail addresses, if it goes to some"})
    created_at = ma.String(required=True, metadata=INSTANT)
    due_at = ma.String(required=True, allow_none=True, metadata={**INSTANT, "description": "Null once nothing more is decided about it"})
    settled_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    batch = ma.String(required=True, allow_none=True, metadata={"description": "Id of the message that it is in; others may share it"})
    hold = ma.Nested(
        HoldOut, required=True, allow_none=True, metadata={"description": "The last hold; an announcement that was sent late has one too"}
    )


class AnnouncementList(AnswerSchema):
    announcements = ma.List(ma.Nested(AnnouncementOut), required=True)
    held = ma.Dict(
        keys=ma.String(),
        values=ma.Integer(),
        required=True,
        metadata={"description": "How many announcements of the last 7 days are held back, by reason"},
    )
    next = ma.String(allow_none=True, metadata={"description": "Send it as `after` to go on; null at the end"})


def announcement_json(entry: Entry) -> dict[str, Any]:
    """Returns an announcement for one channel, and what became of it."""
    item, hold, target = entry.announcement, entry.hold, entry.target
    answer: dict[str, Any] = jsonable(
        {
            "id": entry.id,
            "_id": entry.id,
            "status": entry.status.value,
            "kind": item.kind.value,
            "severity": item.severity.value,
            "title": item.title,
            "rule": item.rule,
            "incident_id": "" if item.is_own else item.incident_id,
            "subject": {"kind": item.subject.kind.value, "id": item.subject.id, "name": item.subject.name, "group": item.subject.group},
            "at": item.at,
            "channel_id": target.channel_id,
            "channel": target.channel,
            "recipients": target.recipients,
            **{name: getattr(entry, name) for name in ("created_at", "due_at", "settled_at", "batch")},
            "hold": None
            if hold is None
            else {"why": hold.why.value, **{name: getattr(hold, name) for name in ("by", "name", "at", "until", "final")}},
        }
    )
    return answer

"""Requests and answers of the log of notifications."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.channels.schemas import TryOut, try_json
from app.api.present import jsonable
from app.notification.delivery import Delivery, DeliveryStatus
from app.validation.fields import Instant

SHOWN = (
    "channel_id",
    "channel",
    "type",
    "execution_id",
    "job_id",
    "job_name",
    "created_at",
    "due_at",
    "settled_at",
    "failures",
    "key",
)


class NotificationQuery(RequestSchema):
    channel = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Id of a channel; mail for plain addresses"})
    status = ma.String(load_default="", validate=OneOf(["", *(status.value for status in DeliveryStatus)]))
    job_id = ma.String(load_default="", validate=Length(max=200))
    execution_id = ma.String(load_default="", validate=Length(max=200))
    begin = Instant(load_default=None, metadata={"description": "Written at this time or later"})
    end = Instant(load_default=None, metadata={"description": "Written before this time"})
    after = ma.String(load_default="", validate=Length(max=200), metadata={"description": "The text in `next` of the page before"})
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=100))


class MessageOut(AnswerSchema):
    title = ma.String(required=True)
    text = ma.String(required=True, metadata={"description": "The whole message as plain text"})
    kind = ma.String(required=True, metadata={"description": "firing, recovery, reminder, notice or test"})
    language = ma.String(required=True)


class NotificationOut(RecordOut):
    channel_id = ma.String(required=True)
    channel = ma.String(required=True, metadata={"description": "The name that the channel had"})
    type = ma.String(required=True)
    recipients = ma.List(ma.String(), required=True, metadata={"description": "The mail addresses of a job that names addresses"})
    execution_id = ma.String(allow_none=True)
    job_id = ma.String(allow_none=True)
    job_name = ma.String()
    status = ma.String(required=True, metadata={"description": ", ".join(status.value for status in DeliveryStatus)})
    created_at = ma.String(required=True, metadata=INSTANT)
    due_at = ma.String(required=True, metadata={**INSTANT, "description": "While it waits: the next try"})
    settled_at = ma.String(allow_none=True, metadata=INSTANT)
    failures = ma.Integer(required=True)
    instead_of = ma.List(ma.String(), required=True, metadata={"description": "The channels that did not deliver this message before"})
    key = ma.String(required=True, metadata={"description": "What the receiver recognises a repetition by"})
    message = ma.Nested(MessageOut, required=True)
    attempts = ma.List(ma.Nested(TryOut), required=True)


class NotificationEnvelope(AnswerSchema):
    delivery = ma.Nested(NotificationOut, required=True)
    message = ma.String()


class NotificationList(AnswerSchema):
    deliveries = ma.List(ma.Nested(NotificationOut), required=True)
    next = ma.String(allow_none=True, metadata={"description": "Send it as `after` to go on; null at the end"})


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Returns a delivery with its text and its tries."""
    shown: dict[str, Any] = jsonable({name: getattr(delivery, name) for name in SHOWN})
    message = delivery.message
    return {
        "id": delivery.id,
        "_id": delivery.id,
        **shown,
        "status": delivery.status.value,
        "recipients": list(delivery.recipients),
        "instead_of": list(delivery.instead_of),
        "message": {"title": message.title, "text": message.as_text(), "kind": message.kind.value, "language": message.language},
        "attempts": [try_json(attempt) for attempt in delivery.attempts],
    }

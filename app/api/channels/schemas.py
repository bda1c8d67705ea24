"""Requests and answers of channels."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.accounts.preferences import LANGUAGES
from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import record_json
from app.instants import as_text
from app.mongo import Document
from app.notification.announcing import AlertSeverity
from app.notification.channels.base import Channel
from app.notification.delivery import Try
from app.notification.quiet.hours import DAYS
from app.validation.fields import TrueFalse

SEVERITIES = [item.value for item in AlertSeverity]


class QuietBody(RequestSchema):
    class Meta(RequestSchema.Meta):
        include: ClassVar = {
            "pass": ma.List(
                ma.String(validate=OneOf(SEVERITIES)),
                metadata={"description": "Severities that are sent all the same; critical if missing"},
            )
        }

    zone = ma.String(required=True, metadata={"description": "A time zone, such as Europe/Berlin"})
    days = ma.List(ma.String(validate=OneOf(DAYS)), required=True, metadata={"description": "On which they begin"})
    begin = ma.String(required=True, metadata={"description": "HH:MM"})
    end = ma.String(required=True, metadata={"description": "HH:MM; of the next day, if it is not after `begin`"})


class QuietOut(AnswerSchema):
    class Meta(AnswerSchema.Meta):
        include: ClassVar = {"pass": ma.List(ma.String(validate=OneOf(SEVERITIES)), required=True)}

    zone = ma.String(required=True)
    days = ma.List(ma.String(validate=OneOf(DAYS)), required=True)
    begin = ma.String(required=True)
    end = ma.String(required=True)


class ChannelBody(RequestSchema):
    name = ma.String(required=True)
    type = ma.String(metadata={"description": "Only for a new channel; it cannot be changed"})
    settings = ma.Dict(
        required=True, metadata={"description": 'By the schema of its type; send {"$secret": "set"} to keep a stored secret'}
    )
    enabled = TrueFalse(metadata={"description": "A disabled channel sends nothing; its messages are held. A new one is enabled"})
    language = ma.String(validate=OneOf(["", *LANGUAGES]), metadata={"description": "The language of its messages; empty: English"})
    fallback = ma.String(
        validate=Length(max=80), metadata={"description": "The name of the channel that gets what this one did not deliver; empty: none"}
    )
    quiet = ma.Nested(
        QuietBody,
        allow_none=True,
        metadata={"description": "Quiet hours: alerts wait until they end. null means none. A change that does not name them keeps them"},
    )


class NewChannelBody(ChannelBody):
    type = ma.String(required=True)


class BrokenOut(AnswerSchema):
    since = ma.String(required=True, metadata=INSTANT)
    reason = ma.String(required=True, metadata={"description": "What the receiver said last"})


class ChannelOut(RecordOut):
    name = ma.String(required=True)
    type = ma.String(required=True)
    enabled = ma.Boolean(required=True)
    language = ma.String(required=True)
    fallback = ma.String(required=True)
    version = ma.Integer(required=True)
    unreachable_since = ma.String(
        allow_none=True, metadata={**INSTANT, "description": "When read: since when it cannot be reached; null if it can"}
    )
    broken = ma.Nested(
        BrokenOut, allow_none=True, metadata={"description": "When read: set if it refused a message and has taken none since"}
    )
    settings = ma.Dict(metadata={"description": "By the schema of its type; secrets are masked. Only super-admins see them"})
    quiet = ma.Nested(QuietOut, allow_none=True, metadata={"description": "Quiet hours, or null. Only super-admins see them"})


class ChannelEnvelope(AnswerSchema):
    channel = ma.Nested(ChannelOut, required=True)
    message = ma.String()


class ChannelList(AnswerSchema):
    channels = ma.List(ma.Nested(ChannelOut), required=True)


class ChannelTypeOut(AnswerSchema):
    type = ma.String(required=True)
    title = ma.String(required=True)
    description = ma.String(required=True)
    settings_schema = ma.Dict(required=True, metadata={"description": "JSON Schema 2020-12; members with writeOnly are secrets"})


class ChannelTypeList(AnswerSchema):
    types = ma.List(ma.Nested(ChannelTypeOut), required=True)


class TryOut(AnswerSchema):
    at = ma.String(required=True, metadata=INSTANT)
    took_ms = ma.Integer(required=True)
    result = ma.String(required=True, metadata={"description": "sent, unreachable, unknown, refused or held"})
    reason = ma.String(required=True, metadata={"description": "What the receiver answered, or why there is no answer"})
    by = ma.String(required=True, metadata={"description": "The host that has tried"})


def channel_json(row: Document) -> dict[str, Any]:
    """Returns a channel as its service shows it, secrets masked."""
    return record_json(row)


def type_json(channel: Channel) -> dict[str, Any]:
    """Returns a type of channel."""
    return {
        "type": channel.type,
        "title": channel.title,
        "description": channel.description,
        "settings_schema": channel.settings_schema(),
    }


def try_json(attempt: Try) -> dict[str, Any]:
    """Returns one try to send."""
    return {"at": as_text(attempt.at), "took_ms": attempt.took_ms, "result": attempt.result, "reason": attempt.reason, "by": attempt.by}

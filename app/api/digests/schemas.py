"""Answers of digests; requests follow app.notification.digests.schema."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut
from app.api.present import record_json
from app.instants import as_text
from app.notification.digests.model import Digest
from app.notification.digests.service import DECIDED, Preview


class DigestOut(RecordOut):
    name = ma.String(required=True)
    to = ma.List(ma.String(), required=True, metadata={"description": "Mail addresses, and channels as channel:NAME"})
    every = ma.String(required=True, metadata={"description": "daily or weekly"})
    weekday = ma.String(required=True, metadata={"description": "monday to sunday; for weekly digests"})
    at = ma.String(required=True, metadata={"description": "Time of the day, such as 07:00"})
    timezone = ma.String(required=True)
    groups = ma.List(ma.String(), required=True, metadata={"description": "Groups of the jobs; empty: all"})
    tags = ma.List(ma.String(), required=True, metadata={"description": "Jobs have one of these tags; empty: all"})
    language = ma.String(required=True)
    only_if_any = ma.Boolean(required=True, metadata={"description": "Sent only if there is something to say"})
    enabled = ma.Boolean(required=True)
    next_at = ma.String(allow_none=True, required=True, metadata={**INSTANT, "description": "When the next one is due"})
    last_day = ma.String(required=True, metadata={"description": "Local day of the last one; empty before the first"})
    version = ma.Integer(required=True)


class DigestEnvelope(AnswerSchema):
    digest = ma.Nested(DigestOut, required=True)
    message = ma.String()


class DigestList(AnswerSchema):
    digests = ma.List(ma.Nested(DigestOut), required=True)


class DigestLineOut(AnswerSchema):
    words = ma.String(required=True)
    detail = ma.String(required=True)
    path = ma.String(required=True, metadata={"description": "Path of the page that shows it"})


class DigestPartOut(AnswerSchema):
    key = ma.String(required=True)
    title = ma.String(required=True)
    count = ma.Integer(required=True)
    lines = ma.List(ma.Nested(DigestLineOut), required=True, metadata={"description": "The first 20"})


class DigestPreviewOut(AnswerSchema):
    title = ma.String(required=True)
    begin = ma.String(required=True, metadata=INSTANT)
    end = ma.String(required=True, metadata=INSTANT)
    would_send = ma.Boolean(required=True, metadata={"description": "Whether it would be sent: false if there is nothing to say"})
    runs = ma.Integer(required=True)
    failed_runs = ma.Integer(required=True)
    parts = ma.List(ma.Nested(DigestPartOut), required=True)


def digest_json(digest: Digest) -> dict[str, Any]:
    """Returns a digest."""
    row = digest.as_document()
    shown = (*DECIDED, "next_at", "last_day", "version", "created_at", "created_by", "updated_at", "updated_by")
    return record_json({"_id": digest.id, **{name: row[name] for name in shown}})


def preview_json(digest: Digest, preview: Preview) -> dict[str, Any]:
    """Returns a digest as it would be now."""
    contents = preview.contents
    return {
        "title": preview.message.title,
        "begin": as_text(contents.reading.begin),
        "end": as_text(contents.reading.end),
        "would_send": contents.has_news or not digest.only_if_any,
        "runs": contents.runs,
        "failed_runs": contents.failures,
        "parts": [
            {
                "key": section.key,
                "title": section.title,
                "count": section.count,
                "lines": [{"words": line.words, "detail": line.detail, "path": line.path} for line in section.lines],
            }
            for section in contents.sections
        ],
    }

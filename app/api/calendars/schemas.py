"""Requests and answers of calendars."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs
from app.api.present import jsonable
from app.instants import as_text
from app.mongo import Document
from app.scheduling.calendars import SCHEMA, Blackout

# Of a new calendar: its rules, and the name that it keeps.
NEW_SCHEMA: dict[str, Any] = {
    **SCHEMA,
    "required": ["name", *SCHEMA["required"]],
    "properties": {"name": {"type": "string"}, **SCHEMA["properties"]},
}


class BlackoutOut(AnswerSchema):
    start = ma.String(required=True, metadata=INSTANT)
    end = ma.String(required=True, metadata=INSTANT)


class DaysOut(AnswerSchema):
    class Meta(AnswerSchema.Meta):
        include: ClassVar = {"from": ma.String(required=True, metadata={"format": "date"})}

    to = ma.String(metadata={"format": "date", "description": "The last day; the same as `from` if missing"})
    note = ma.String()


class WindowOut(AnswerSchema):
    class Meta(AnswerSchema.Meta):
        include: ClassVar = {"from": ma.String(required=True)}

    days = ma.List(ma.String(), required=True)
    to = ma.String(required=True)


class CalendarOut(AnswerSchema):
    id = ma.String(required=True, metadata={"description": "The same as `name`"})
    name = ma.String(required=True)
    description = ma.String()
    timezone = ma.String(required=True)
    dates = ma.List(AsIs(DaysOut))
    weekly = ma.List(AsIs(WindowOut))
    ical = ma.String()
    version = ma.Integer(required=True)
    updated_by = ma.String(required=True)
    updated_at = ma.String(required=True, metadata=INSTANT)


class CalendarEnvelope(AnswerSchema):
    calendar = ma.Nested(CalendarOut, required=True)
    upcoming = ma.List(ma.Nested(BlackoutOut), required=True)
    message = ma.String()


class CalendarList(AnswerSchema):
    calendars = ma.List(ma.Nested(CalendarOut), required=True)


def calendar_json(row: Document) -> dict[str, Any]:
    answer: dict[str, Any] = jsonable({"id": row["_id"], "name": row["_id"], **{key: value for key, value in row.items() if key != "_id"}})
    return answer


def blackout_json(blackout: Blackout) -> dict[str, str]:
    return {"start": as_text(blackout.start), "end": as_text(blackout.end)}

"""Requests and answers of calendars."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema


class BlackoutOut(AnswerSchema):
    start = ma.String(required=True, metadata=INSTANT)
    end = ma.String(required=True, metadata=INSTANT)


class CalendarOut(AnswerSchema):
    name = ma.String(required=True)
    description = ma.String()
    timezone = ma.String(required=True)
    dates = ma.List(ma.Dict())
    weekly = ma.List(ma.Dict())
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

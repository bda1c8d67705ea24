"""Requests and answers of the maintenance switch."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema


class MaintenanceOut(AnswerSchema):
    on = ma.Boolean(required=True)
    reason = ma.String()
    by = ma.String()
    at = ma.String(metadata=INSTANT)

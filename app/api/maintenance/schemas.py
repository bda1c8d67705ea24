"""Requests and answers of the maintenance switch."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema
from app.api.present import jsonable
from app.mongo import Document


class MaintenanceOut(AnswerSchema):
    on = ma.Boolean(required=True)
    reason = ma.String()
    by = ma.String()
    at = ma.String(metadata=INSTANT)
    until = ma.String(allow_none=True, metadata={**INSTANT, "description": "When it ends by itself; null if someone ends it"})


def maintenance_json(row: Document | None) -> dict[str, Any]:
    """Returns the switch as an answer; `row` is None while it is off."""
    answer: dict[str, Any] = jsonable({"on": row is not None, **{name: row.get(name) for name in ("reason", "by", "at", "until") if row}})
    return answer

"""What people were told of an execution, in answers."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import AnswerSchema
from app.notification.incidents.explaining import Explained


class ExplainedOut(AnswerSchema):
    rule_id = ma.String(required=True)
    rule = ma.String(required=True, metadata={"description": "Its name"})
    outcome = ma.String(
        required=True,
        metadata={"description": "told, noted (people knew already), waiting, over, not_met or not_applied"},
    )
    why = ma.String(required=True, metadata={"description": "The reason: the first condition that is not met, or what was found"})
    incident_id = ma.String(required=True, allow_none=True)
    to = ma.List(ma.String(), required=True, metadata={"description": "Whom the rule tells"})


class ExplainedList(AnswerSchema):
    rules = ma.List(ma.Nested(ExplainedOut), required=True)


def explained_json(line: Explained) -> dict[str, Any]:
    """Returns what one rule said of an execution."""
    return {
        "rule_id": line.rule.id,
        "rule": line.rule.name,
        "outcome": line.outcome.value,
        "why": line.why[:],
        "incident_id": line.incident_id,
        "to": list(line.rule.to),
    }

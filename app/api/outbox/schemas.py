"""Answers about what ends of executions and other events owe."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema
from app.api.present import jsonable
from app.execution.given_up import GivenUpItem


class GivenUpOut(AnswerSchema):
    what = ma.String(required=True, metadata={"description": "notify (to write notifications), alert, followers, self_pause or regroup"})
    tries = ma.Integer(required=True)
    error = ma.String(required=True, metadata={"description": "What the last try failed with"})
    given_up_at = ma.String(required=True, metadata=INSTANT)
    execution_id = ma.String(allow_none=True, metadata={"description": "The execution whose end owes it; null where an event does"})
    job_id = ma.String(allow_none=True)
    job_name = ma.String()
    event_id = ma.String(allow_none=True)
    event = ma.String(metadata={"description": "The type of the event that owes it"})


class GivenUpList(AnswerSchema):
    items = ma.List(ma.Nested(GivenUpOut), required=True)


def given_up_json(item: GivenUpItem) -> dict[str, Any]:
    """Returns an item as part of an answer."""
    answer: dict[str, Any] = jsonable(asdict(item))
    return answer

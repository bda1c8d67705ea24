"""Requests and answers of the migration from the old scheduler."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.api.base_schemas import INSTANT, AnswerSchema, RequestSchema
from app.api.present import jsonable
from app.handover.comparison import Row
from app.handover.model import HandOver
from app.handover.old_jobs import CRON, TICKET_SCHEDULES
from app.handover.service import Comparison, PlannedJob

_CONNECTION = {"description": "The name of the MongoDB connection to the database of the old scheduler", "example": "old-scheduler"}
_TICKETS = {"description": "The schedule of auto_delete_resolved_tickets: at 19:00, or the old interval"}


class MigrationQuery(RequestSchema):
    connection = ma.String(load_default="", validate=Length(max=80), metadata=_CONNECTION)
    tickets = ma.String(load_default=CRON, validate=OneOf(TICKET_SCHEDULES), metadata=_TICKETS)


class MigrationBody(RequestSchema):
    connection = ma.String(required=True, validate=Length(min=1, max=80), metadata=_CONNECTION)
    tickets = ma.String(validate=OneOf(TICKET_SCHEDULES), metadata=_TICKETS)


class RollBackBody(RequestSchema):
    remove = ma.Boolean(metadata={"description": "Also delete the job, and forget its migration"})


class ComparisonQuery(RequestSchema):
    since = ma.AwareDateTime(format="iso", metadata={"description": "Default: when parallel operation began"})


class HandOverOut(AnswerSchema):
    name = ma.String(required=True, metadata={"description": "The name of the job in the old scheduler"})
    stage = ma.String(required=True, metadata={"description": "making, shadow, moving, moved or returning; removed after a roll-back"})
    job_id = ma.String(required=True)
    connection = ma.String(required=True)
    by = ma.String(required=True)
    since = ma.String(required=True, metadata={"description": "When parallel operation began", **INSTANT})
    at = ma.String(required=True, metadata={"description": "When the stage began", **INSTANT})


class HandOverEnvelope(AnswerSchema):
    migration = ma.Nested(HandOverOut, required=True, allow_none=True, metadata={"description": "null after it was removed"})


class PlannedJobOut(AnswerSchema):
    name = ma.String(required=True)
    owner = ma.String(required=True, metadata={"description": "Who runs it now: old, moving or jobwright"})
    interval_seconds = ma.Integer(required=True)
    next_due_at = ma.String(required=True, metadata={"description": "When the old scheduler would run it next", **INSTANT})
    job = ma.Dict(required=True, allow_none=True, metadata={"description": "What it becomes; null if Jobwright does not know it"})
    differences = ma.List(ma.String(), required=True)
    stage = ma.String(required=True, allow_none=True)


class MigrationPlan(AnswerSchema):
    jobs = ma.List(ma.Nested(PlannedJobOut), required=True)
    old_is_alive = ma.Boolean(required=True, metadata={"description": "Whether the old scheduler has given a sign of life lately"})


class ComparedOut(AnswerSchema):
    match = ma.String(required=True, metadata={"description": "matched, only old, only ours or double"})
    old = ma.String(required=True, allow_none=True, metadata=INSTANT)
    ours = ma.String(required=True, allow_none=True, metadata=INSTANT)
    ran = ma.Boolean(required=True, metadata={"description": "Whether Jobwright has really run it"})
    seconds = ma.Float(required=True, allow_none=True, metadata={"description": "By how much Jobwright is later"})


class ComparisonOut(AnswerSchema):
    name = ma.String(required=True)
    since = ma.String(required=True, metadata=INSTANT)
    until = ma.String(required=True, metadata=INSTANT)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)
    rows = ma.List(ma.Nested(ComparedOut), required=True)


def hand_over_json(hand_over: HandOver | None) -> dict[str, Any]:
    """Returns the envelope of a migration."""
    if hand_over is None:
        return {"migration": None}
    names = ("stage", "job_id", "connection", "by", "since", "at")
    return {"migration": jsonable({"name": hand_over.id, **{name: getattr(hand_over, name) for name in names}})}


def planned_json(planned: PlannedJob) -> dict[str, Any]:
    """Returns what becomes of a job of the old scheduler."""
    answer: dict[str, Any] = jsonable(
        {
            **{name: getattr(planned, name) for name in ("name", "owner", "interval_seconds", "next_due_at", "differences")},
            "job": planned.body,
            "stage": planned.hand_over.stage if planned.hand_over else None,
        }
    )
    return answer


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Returns a comparison, with how many rows there are of each kind."""
    counts: dict[str, int] = {}
    for row in comparison.rows:
        counts[row.match.value] = counts.get(row.match.value, 0) + 1
    head = jsonable({"name": comparison.name, "since": comparison.since, "until": comparison.until})
    return {**head, "counts": counts, "rows": [_row_json(row) for row in comparison.rows]}


def _row_json(row: Row) -> dict[str, Any]:
    answer: dict[str, Any] = jsonable({"match": row.match.value, "old": row.old, "ours": row.ours, "ran": row.ran, "seconds": row.seconds})
    return answer

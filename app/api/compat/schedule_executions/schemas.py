"""Requests and answers of executions of schedules."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, RequestSchema
from app.api.compat.schedules.schemas import PartQuery
from app.api.compat.schedules.states import EXECUTION_WORDS
from app.api.executions.schemas import ResultOut


class ExecutionQuery(PartQuery):
    status = ma.String(validate=OneOf(sorted(EXECUTION_WORDS)))


class AllExecutionsQuery(ExecutionQuery):
    schedule_id = ma.String(validate=Length(max=64))


class ScheduleStatsQuery(RequestSchema):
    days = ma.Integer(load_default=30, validate=Range(min=1, max=365))


class ScheduleExecutionOut(AnswerSchema):
    id = ma.String(required=True)
    execution_id = ma.String(required=True, metadata={"description": "The same as `id`"})
    schedule_id = ma.String(required=True)
    schedule_name = ma.String(required=True)
    status = ma.String(required=True, validate=OneOf(sorted(EXECUTION_WORDS)))
    reason = ma.String(required=True, allow_none=True)
    scheduled_for = ma.String(required=True, allow_none=True, metadata=INSTANT)
    created_at = ma.String(required=True, metadata=INSTANT)
    started_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    completed_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    duration_seconds = ma.Float(required=True, allow_none=True)
    attempts = ma.Integer(required=True)
    retry_count = ma.Integer(required=True)
    result = AsIs(ResultOut, required=True, allow_none=True)
    error = ma.String(required=True, allow_none=True)
    triggered_by = ma.String(required=True)
    triggered_by_user = ma.String(required=True, allow_none=True)


class ScheduleExecutionList(AnswerSchema):
    executions = ma.List(ma.Nested(ScheduleExecutionOut), required=True)
    total = ma.Integer(required=True)
    page = ma.Integer(required=True)
    limit = ma.Integer(required=True)


class ScheduleStatsOut(AnswerSchema):
    """Figures of the executions of a period; null if there are too many to count them."""

    schedule_id = ma.String(required=True)
    days = ma.Integer(required=True)
    total_executions = ma.Integer(required=True, allow_none=True)
    successful_executions = ma.Integer(required=True, allow_none=True)
    failed_executions = ma.Integer(required=True, allow_none=True)
    misfires = ma.Integer(required=True, allow_none=True, metadata={"description": "Due times without a run: skipped or missed"})
    success_rate = ma.Float(required=True, allow_none=True, metadata={"description": "0 to 1"})
    average_duration_seconds = ma.Float(required=True, allow_none=True)
    by_status = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True, allow_none=True)

"""Requests and answers of jobs that are addressed by their names."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, RequestSchema
from app.api.compat.job_types.schemas import JobResultOut, TypedExecutionOut
from app.api.compat.words import STATUSES
from app.jobs.schema import LONGEST_NAME

MOST_LISTED = 1000
UNCOUNTED = {"description": "null if there are too many runs to count them, or if the token may not see executions"}


class JobsQuery(RequestSchema):
    """With `type`, `status` or `page`, the list is one of executions; else it is one of jobs."""

    type = ma.String(validate=Length(max=LONGEST_NAME), metadata={"description": "Of executions: the job type, which is the name of a job"})
    status = ma.String(validate=OneOf(sorted(STATUSES)), metadata={"description": "Of executions"})
    page = ma.Integer(validate=Range(min=1, max=100_000), metadata={"description": "Of executions: from 1"})
    limit = ma.Integer(validate=Range(min=1, max=MOST_LISTED), metadata={"description": "50 executions or 200 jobs by default"})
    offset = ma.Integer(load_default=0, validate=Range(min=0, max=10_000_000), metadata={"description": "Of jobs: how many to leave out"})


class HistoryQuery(RequestSchema):
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=200))
    page = ma.Integer(load_default=1, validate=Range(min=1, max=100_000))
    offset = ma.Integer(
        validate=Range(min=0, max=10_000_000), metadata={"description": "How many executions to leave out, in place of `page`"}
    )
    status = ma.String(validate=OneOf(sorted(STATUSES)))


class StatsQuery(RequestSchema):
    days = ma.Integer(load_default=30, validate=Range(min=1, max=365))


TRIGGER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "userId": {
            "type": ["string", "null"],
            "maxLength": 320,
            "description": "The person for whom a service starts the job: an id or e-mail address of an account, or a name that only the "
            "service knows. Only the token of a service account is believed.",
        }
    },
}
CRON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["cronExpression"],
    "properties": {"cronExpression": {"type": "string", "minLength": 1, "maxLength": 200, "examples": ["0 9 * * TUE"]}},
}


class NamedJobOut(AnswerSchema):
    """A job with the fields of the table `job_schedules`, each in both spellings."""

    name = ma.String(required=True)
    job_name = ma.String(required=True)
    display_name = ma.String(required=True)
    description = ma.String(required=True)
    cron_expression = ma.String(required=True, allow_none=True, metadata={"description": "null for other types of schedules"})
    schedule = ma.String(required=True, metadata={"description": "The schedule in words"})
    timezone = ma.String(required=True)
    enabled = ma.Boolean(required=True)
    is_running = ma.Boolean(required=True)
    job_type = ma.String(required=True)
    service = ma.String(required=True, allow_none=True)
    endpoint = ma.String(required=True, allow_none=True, metadata={"description": "The path or address that a run calls"})
    config = ma.Dict(required=True)
    last_run_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    last_run_status = ma.String(required=True, allow_none=True)
    next_run_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    total_runs = ma.Integer(required=True, allow_none=True, metadata=UNCOUNTED)
    successful_runs = ma.Integer(required=True, allow_none=True)
    failed_runs = ma.Integer(required=True, allow_none=True)
    success_rate = ma.Float(required=True, allow_none=True, metadata={"description": "0 to 1; null before the first run"})
    average_duration_ms = ma.Float(required=True, allow_none=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    updated_at = ma.String(required=True, metadata=INSTANT)


# With `type`, `status` or `page`, a list holds executions; else it holds jobs.
JOBS_OUT: dict[str, Any] = {
    "type": "object",
    "required": ["jobs", "total", "limit"],
    "properties": {
        "jobs": {"type": "array", "items": {"anyOf": [NamedJobOut, TypedExecutionOut]}},
        "total": {"type": "integer"},
        "limit": {"type": "integer"},
        "page": {"type": "integer", "description": "Of executions"},
        "offset": {"type": "integer", "description": "Of jobs"},
    },
}
# If no job has the name, the execution with that id.
JOB_OR_EXECUTION_OUT: dict[str, Any] = {"anyOf": [NamedJobOut, TypedExecutionOut]}


class NamedExecutionOut(AnswerSchema):
    """An execution with the fields of the table `scheduled_jobs`, each in both spellings."""

    id = ma.String(required=True)
    job_name = ma.String(required=True)
    job_type = ma.String(required=True)
    status = ma.String(required=True, validate=OneOf(sorted(STATUSES)))
    created_at = ma.String(required=True, metadata=INSTANT)
    started_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    completed_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    duration_ms = ma.Integer(required=True, allow_none=True)
    items_processed = ma.Integer(required=True)
    items_succeeded = ma.Integer(required=True)
    items_failed = ma.Integer(required=True)
    error_message = ma.String(required=True, allow_none=True)
    metadata = ma.Dict(required=True)
    triggered_by = ma.String(required=True, metadata={"description": "scheduler, admin (a person on a page) or manual (a program)"})
    triggered_by_user = ma.String(required=True, allow_none=True)


class PaginationOut(AnswerSchema):
    limit = ma.Integer(required=True)
    offset = ma.Integer(required=True)
    total = ma.Integer(required=True)
    hasMore = ma.Boolean(required=True)


class HistoryOut(AnswerSchema):
    executions = ma.List(AsIs(NamedExecutionOut), required=True)
    pagination = ma.Nested(PaginationOut, required=True)
    total = ma.Integer(required=True)
    page = ma.Integer(required=True)
    limit = ma.Integer(required=True)


class NamedStatsOut(AnswerSchema):
    """Figures of the executions of a period, each in both spellings; null if there are too many to count them."""

    total_runs = ma.Integer(required=True, allow_none=True)
    successful_runs = ma.Integer(required=True, allow_none=True)
    failed_runs = ma.Integer(required=True, allow_none=True)
    success_rate = ma.Float(required=True, allow_none=True, metadata={"description": "0 to 1"})
    average_duration_ms = ma.Float(required=True, allow_none=True)
    items_processed = ma.Integer(required=True, allow_none=True)
    items_succeeded = ma.Integer(required=True, allow_none=True)
    items_failed = ma.Integer(required=True, allow_none=True)


class PeriodOut(AnswerSchema):
    days = ma.Integer(required=True)
    begin = ma.String(data_key="from", attribute="from", required=True, metadata=INSTANT)
    to = ma.String(required=True, metadata=INSTANT)


class StatsEnvelope(AnswerSchema):
    job_name = ma.String(required=True)
    stats = AsIs(NamedStatsOut, required=True)
    period = ma.Nested(PeriodOut, required=True)


class TriggeredOut(AnswerSchema):
    message = ma.String(required=True)
    executionId = ma.String(required=True)
    status = ma.String(required=True, validate=OneOf(sorted(STATUSES)))
    result = AsIs(JobResultOut, allow_none=True, metadata={"description": "null until the run has ended (`wait`)"})


class SwitchedOut(AnswerSchema):
    message = ma.String(required=True)
    job = AsIs(NamedJobOut, required=True)


class CronOut(AnswerSchema):
    message = ma.String(required=True)
    cronExpression = ma.String(required=True)
    previousCronExpression = ma.String(required=True, allow_none=True, metadata={"description": "null if it had another type of schedule"})
    schedule = ma.String(required=True, metadata={"description": "The schedule in words"})
    nextRunAt = ma.String(required=True, allow_none=True, metadata=INSTANT)

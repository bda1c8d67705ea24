"""Requests and answers of job types. A job type is the job of that name."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import INSTANT, AnswerSchema
from app.api.compat.words import STATUSES
from app.jobs.schema import LONGEST_NAME

TRIGGER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["jobType"],
    "properties": {
        "jobType": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "examples": ["crawl_pending"]},
        "triggeredBy": {
            "type": ["string", "null"],
            "maxLength": 320,
            "description": "The person for whom a service starts the job: an id or e-mail address of an account, a subject of single "
            "sign-on, or a name that only the service knows. Only the token of a service account is believed.",
            "examples": ["user_2abc123"],
        },
    },
}


FREE_MEMBERS = {"description": "What the result says besides its counts"}


class JobResultOut(AnswerSchema):
    """What a run has come to. `errors` and `details` are `error` and `metadata` as other clients name them."""

    success = ma.Boolean(required=True)
    itemsProcessed = ma.Integer(required=True)
    itemsSucceeded = ma.Integer(required=True)
    itemsFailed = ma.Integer(required=True)
    error = ma.String(required=True, allow_none=True)
    errors = ma.List(ma.String(), required=True)
    metadata = ma.Dict(required=True, metadata=FREE_MEMBERS)
    details = ma.Dict(required=True, metadata=FREE_MEMBERS)


class TypedExecutionOut(AnswerSchema):
    """An execution with the fields of the table `scheduled_jobs`, each in both spellings."""

    id = ma.String(required=True)
    jobType = ma.String(required=True, metadata={"description": "The name of the job"})
    status = ma.String(required=True, validate=OneOf(sorted(STATUSES)))
    startedAt = ma.String(required=True, allow_none=True, metadata=INSTANT)
    completedAt = ma.String(required=True, allow_none=True, metadata=INSTANT)
    startedBy = ma.String(required=True, allow_none=True)
    error = ma.String(required=True, allow_none=True)
    result = ma.Nested(JobResultOut, required=True, allow_none=True)
    createdAt = ma.String(required=True, metadata=INSTANT)
    updatedAt = ma.String(required=True, metadata=INSTANT)


class TypeTriggeredOut(AnswerSchema):
    jobId = ma.String(required=True, metadata={"description": "The id of the execution"})
    id = ma.String(required=True, metadata={"description": "The same as `jobId`"})
    jobType = ma.String(required=True)
    status = ma.String(required=True, metadata={"description": "running, also while the run waits to start"})
    startedAt = ma.String(required=True, metadata=INSTANT)

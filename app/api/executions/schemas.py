"""Requests and answers of executions."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, RequestSchema
from app.api.paging import PageQuery, page_schema
from app.execution.attention import LONGEST_NOTE
from app.queue.model import Status


class ExecutionQuery(PageQuery):
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=200))
    status = ma.String(validate=OneOf([status.value for status in Status]))


class AllExecutionsQuery(ExecutionQuery):
    job_id = ma.String(validate=Length(max=64))


ACKNOWLEDGEMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "note": {"type": "string", "maxLength": LONGEST_NOTE, "default": "", "description": "What people should know about the failure"},
        "dismiss": {"type": "boolean", "default": False, "description": "Do not show the failure any more"},
    },
}


class AcknowledgementOut(AnswerSchema):
    execution_id = ma.String(required=True)
    by = ma.String(required=True, metadata={"description": "E-mail address of who acknowledged the failure"})
    at = ma.String(required=True, metadata=INSTANT)
    note = ma.String(required=True)
    dismissed = ma.Boolean(required=True)


class AcknowledgementEnvelope(AnswerSchema):
    acknowledgement = ma.Nested(AcknowledgementOut, required=True)


class LogQuery(RequestSchema):
    after = ma.String(load_default="", validate=Length(max=64), metadata={"description": "`next` of the previous answer"})
    limit = ma.Integer(load_default=1000, validate=Range(min=1, max=10_000))


class LogLineOut(AnswerSchema):
    timestamp = ma.String(metadata=INSTANT)
    level = ma.String()
    message = ma.String()
    attempt = ma.Integer()


class ExecutionOut(AnswerSchema):
    _id = ma.String(required=True)
    job_id = ma.String(required=True)
    job_name = ma.String()
    job_version = ma.Integer()
    group = ma.String(metadata={"description": "The group that its job has by now"})
    template_type = ma.String()
    template_version = ma.Integer()
    code_version = ma.Integer(allow_none=True, metadata={"description": "Of the template's code that the parameters are written for"})
    parameters = ma.Dict()
    status = ma.String(required=True, validate=OneOf([status.value for status in Status]))
    reason = ma.String(allow_none=True)
    scheduled_for = ma.String(allow_none=True, metadata=INSTANT)
    stands_for = ma.String(metadata={**INSTANT, "description": "Of a backfill: the due time in the past that it stands for"})
    queued_at = ma.String(metadata=INSTANT)
    started_at = ma.String(allow_none=True, metadata=INSTANT)
    completed_at = ma.String(allow_none=True, metadata=INSTANT)
    duration_seconds = ma.Float(allow_none=True)
    attempts = ma.List(ma.Dict())
    result = ma.Raw(allow_none=True)
    error = ma.Dict(allow_none=True)
    progress = ma.Dict(allow_none=True)
    priority = ma.Integer()
    timeout_seconds = ma.Integer()
    triggered_by = ma.String()
    triggered_by_user = ma.String(allow_none=True)
    retry_of = ma.String(allow_none=True)
    caused_by = ma.List(ma.String(), metadata={"description": "The executions whose ends triggered it, if triggered_by is dependency"})
    execution_host = ma.String(allow_none=True)
    notifications = ma.Dict(metadata={"description": "Whom its end tells"})
    owed = ma.List(
        ma.Dict(), metadata={"description": "What its end still owes: what, at, tries, error, given_up_at; missing where it owes nothing"}
    )
    due_times = ma.Dict(metadata={"description": "first, last and count of the due times that one `missed` or `skipped` record stands for"})


class ExecutionEnvelope(AnswerSchema):
    execution = ma.Nested(ExecutionOut, required=True)
    logs = ma.List(ma.Nested(LogLineOut))
    message = ma.String()


ExecutionList = page_schema("ExecutionList", "executions", ExecutionOut)


class LogPage(AnswerSchema):
    logs = ma.List(ma.Nested(LogLineOut), required=True)
    next = ma.String(required=True, metadata={"description": "Send it as `after` to go on"})

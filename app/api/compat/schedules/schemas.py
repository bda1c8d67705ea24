"""Requests and answers of schedules and their executions."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, FieldErrorOut, RequestSchema
from app.api.compat.schedules.states import SCHEDULE_STATES
from app.api.compat.schedules.translation import TYPE_NAMES
from app.jobs.schema import LONGEST_NAME
from app.triggers.recurrence import LONGEST as LONGEST_RULE

MOST_CREATED = 500  # schedules in one request
MOST_CHANGED = 1000

FIELDS: dict[str, Any] = {
    "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "description": "Unique"},
    "description": {"type": ["string", "null"], "maxLength": 2000},
    "schedule_type": {
        "anyOf": [{"enum": sorted(TYPE_NAMES.values())}, {"const": "one-time", "description": "The same as one_time"}],
        "description": "cron, calendar, interval, one_time, or immediate: the command is sent once, at once",
    },
    "cron_expression": {"type": ["string", "null"], "maxLength": 200, "description": "Required for cron"},
    "recurrence_rule": {
        "type": ["string", "null"],
        "maxLength": LONGEST_RULE,
        "description": "Required for calendar: RFC 5545, with BYHOUR",
    },
    "counted_from": {"type": ["string", "null"], "description": "For calendar: the day (YYYY-MM-DD) that an INTERVAL is counted from"},
    "interval_seconds": {"type": ["integer", "null"], "description": "Required for interval"},
    "run_at": {"type": ["string", "null"], "description": "Required for one_time: the instant (RFC 3339)"},
    "timezone": {"type": ["string", "null"], "maxLength": 64, "description": "IANA name of the time zone, for cron"},
    "start_at": {"type": ["string", "null"], "description": "No run is due before this time"},
    "end_at": {"type": ["string", "null"], "description": "No run is due at or after this time"},
    "target_command": {
        "type": "string",
        "minLength": 1,
        "maxLength": 250,
        "description": "The NATS subject that the command is sent to",
        "examples": ["cmd.notification.send.bulk"],
    },
    "command_payload": {"description": "Sent as JSON"},
    "connection": {
        "type": "string",
        "minLength": 1,
        "maxLength": 80,
        "description": "The NATS connection that sends the command. Without it, the connection named `default` is used",
    },
    "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 50}, "maxItems": 20},
    "priority": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Runs with priority 10 start first"},
    "max_retries": {"type": "integer", "minimum": 0, "maximum": 100, "description": "DEFAULT_MAX_RETRIES by default"},
    "retry_delay_seconds": {"type": "integer", "minimum": 0, "maximum": 86_400, "description": "DEFAULT_RETRY_DELAY by default"},
    "enabled": {"type": "boolean", "description": "true by default"},
}
CREATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "schedule_type", "target_command"],
    "properties": FIELDS,
}
UPDATE_SCHEMA: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": FIELDS}
_MANY: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": MOST_CREATED, "items": {"type": "object"}}
BULK_CREATE_SCHEMA: dict[str, Any] = {
    "description": "A list of schedules, or an object with such a list",
    "if": {"type": "array"},
    "then": _MANY,
    "else": {"type": "object", "additionalProperties": False, "required": ["schedules"], "properties": {"schedules": _MANY}},
}
BULK_OPERATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schedule_ids", "operation"],
    "properties": {
        "schedule_ids": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_CHANGED,
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
        },
        "operation": {"enum": ["pause", "resume", "delete"]},
        "reason": {"type": ["string", "null"], "maxLength": 500, "description": "Kept with the pause and in the audit trail"},
    },
}
PAUSE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "reason": {"type": ["string", "null"], "maxLength": 500},
        "until": {
            "type": ["string", "null"],
            "description": "The end of the pause (RFC 3339). Without it, someone must resume the schedule",
        },
    },
}
TRIGGER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"command_payload": {"description": "Sent in this run in place of the payload of the schedule"}},
}


class PartQuery(RequestSchema):
    page = ma.Integer(load_default=1, validate=Range(min=1, max=100_000))
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=200))
    offset = ma.Integer(
        validate=Range(min=0, max=10_000_000), metadata={"description": "How many records to leave out, in place of `page`"}
    )


class ScheduleQuery(PartQuery):
    status = ma.String(validate=OneOf(SCHEDULE_STATES))
    name = ma.String(validate=Length(max=LONGEST_NAME), metadata={"description": "Its whole name"})
    tag = ma.String(validate=Length(max=50))
    created_by = ma.String(validate=Length(max=320))
    search = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Text in names, descriptions and tags"})


class CommandScheduleOut(AnswerSchema):
    id = ma.String(required=True)
    name = ma.String(required=True)
    description = ma.String(required=True)
    schedule_type = ma.String(required=True, validate=OneOf(sorted(TYPE_NAMES.values())))
    cron_expression = ma.String(required=True, allow_none=True)
    recurrence_rule = ma.String(required=True, allow_none=True)
    counted_from = ma.String(required=True, allow_none=True)
    interval_seconds = ma.Integer(required=True, allow_none=True)
    run_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    timezone = ma.String(required=True)
    start_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    end_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    target_command = ma.String(required=True, allow_none=True, metadata={"description": "null for a job that sends no command"})
    command_payload = ma.Raw(required=True, allow_none=True)
    connection = ma.String(required=True, allow_none=True)
    template_type = ma.String(required=True)
    tags = ma.List(ma.String(), required=True)
    priority = ma.Integer(required=True)
    max_retries = ma.Integer(required=True)
    retry_delay_seconds = ma.Integer(required=True)
    enabled = ma.Boolean(required=True)
    status = ma.String(required=True, validate=OneOf(SCHEDULE_STATES))
    status_reason = ma.String(required=True, allow_none=True, metadata={"description": "Why it is paused or disabled, if that is known"})
    created_by = ma.String(required=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    updated_by = ma.String(required=True)
    updated_at = ma.String(required=True, metadata=INSTANT)
    last_run_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    next_run_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    version = ma.Integer(required=True)
    execution_id = ma.String(metadata={"description": "Of a new immediate schedule: its execution"})


class CommandScheduleList(AnswerSchema):
    schedules = ma.List(ma.Nested(CommandScheduleOut), required=True)
    total = ma.Integer(required=True)
    page = ma.Integer(required=True)
    limit = ma.Integer(required=True)


class ScheduleTriggeredOut(AnswerSchema):
    schedule_id = ma.String(required=True)
    execution_id = ma.String(required=True)
    status = ma.String(required=True)
    triggered_by = ma.String(required=True)
    message = ma.String(required=True)


class ScheduleResultOut(AnswerSchema):
    index = ma.Integer(metadata={"description": "Of bulk create: the place in the list, from 0"})
    name = ma.String()
    schedule_id = ma.String(allow_none=True)
    success = ma.Boolean(required=True)
    status = ma.String(required=True, metadata={"description": "created, done, unchanged, waits_for_approval or failed"})
    error = ma.String(metadata={"description": "Why it failed"})
    errors = ma.List(ma.Nested(FieldErrorOut))
    approval_id = ma.String()
    execution_id = ma.String(metadata={"description": "Of a new immediate schedule: its execution"})


class ScheduleReportOut(AnswerSchema):
    operation = ma.String(required=True)
    reason = ma.String(allow_none=True)
    total = ma.Integer(required=True)
    succeeded = ma.Integer(required=True)
    failed = ma.Integer(required=True)
    results = ma.List(ma.Nested(ScheduleResultOut), required=True)

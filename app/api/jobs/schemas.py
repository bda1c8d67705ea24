"""Requests and answers of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, missing
from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.api.approvals.schemas import ApprovalOut
from app.api.base_schemas import INSTANT, AnswerSchema, FieldErrorOut, RequestSchema
from app.api.paging import PageQuery, page_schema
from app.jobs.filters import DECLARED, EVERY_JOB, NEVER, SORTS
from app.jobs.schema import ConcurrencySchema, JobDefinitionSchema, MisfireSchema, NameField, RetryPolicySchema
from app.triggers import FIELDS

LAST_STATUSES = ["success", "failed", "timeout", "cancelled", NEVER]


def _query_field(name: str, declared: Mapping[str, Any]) -> ma.Field[Any]:
    """Returns the parameter of a filter (app.jobs.filters)."""
    metadata = {"description": declared["description"]} if declared["description"] else {}
    if declared["type"] is bool:
        return ma.Boolean(metadata=metadata)
    check = OneOf(LAST_STATUSES) if name == "last_status" else Length(max=declared["longest"])
    default = getattr(EVERY_JOB, name)
    return ma.String(validate=check, metadata=metadata, load_default=missing if default is None else default)


class JobFilterQuery(RequestSchema):
    class Meta(RequestSchema.Meta):
        include: ClassVar = {name: _query_field(name, declared) for name, declared in DECLARED.items()}


class JobQuery(PageQuery, JobFilterQuery):
    sort = ma.String(load_default="name", validate=OneOf(sorted(SORTS)))


class JobChanges(JobDefinitionSchema):
    """Any of a job's fields."""

    name = NameField()
    template_type = ma.String()


# A schedule as it was sent, with the default time zone. Fields without a value are left out.
ScheduleOut = AnswerSchema.from_dict(
    {
        "type": ma.String(required=True),
        "timezone": ma.String(required=True),
        **{name: field.answer() for name, field in FIELDS.items()},
        "jitter_seconds": ma.Integer(),
        "calendars": ma.List(ma.String()),
        "start_at": ma.String(metadata=INSTANT),
        "end_at": ma.String(metadata=INSTANT),
    },
    name="ScheduleOut",
)


class PauseOut(AnswerSchema):
    cause = ma.String(required=True, metadata={"description": "person, calendar (reason is its name) or maintenance"})
    reason = ma.String(required=True)
    until = ma.String(allow_none=True, metadata=INSTANT)
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)


class ShadowOut(AnswerSchema):
    reason = ma.String(required=True)
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    held_by = ma.String(required=True, metadata={"description": "What alone may end it, such as `migration`; empty where people may"})


class OverrideOut(AnswerSchema):
    field = ma.String(required=True, metadata={"description": "JSON Pointer of a field of the job, such as `/schedule/expression`"})
    value = ma.Raw(allow_none=True, metadata={"description": "What applies"})
    declared = ma.Raw(allow_none=True, metadata={"description": "What the code declared when the admin decided"})
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)


class DriftOut(OverrideOut):
    before = ma.Raw(allow_none=True, metadata={"description": "What the code declared when the admin decided"})
    declared = ma.Raw(allow_none=True, metadata={"description": "What the code declares now"})


class RegisteredOut(AnswerSchema):
    service = ma.String(required=True)
    display_name = ma.String(required=True)
    job_type = ma.String(required=True)
    retired_at = ma.String(allow_none=True, metadata={"description": "When the service stopped declaring the job", **INSTANT})
    overrides = ma.List(ma.Nested(OverrideOut), required=True, metadata={"description": "Values that admins put in place of declared ones"})
    drift = ma.List(ma.Nested(DriftOut), required=True, metadata={"description": "Those of which the code has changed its own value since"})


class SettleBody(RequestSchema):
    field = ma.String(required=True, metadata={"description": "JSON Pointer of an override, such as `/schedule/expression`"})
    keep = ma.Boolean(required=True, metadata={"description": "true: the admin's value stays. false: the declared value applies again"})


class JobOut(JobDefinitionSchema):
    class Meta:
        unknown = EXCLUDE

    id = ma.String(required=True)
    _id = ma.String(required=True, metadata={"description": "The same as `id`"})
    schedule = ma.Nested(ScheduleOut)
    retry_policy = ma.Nested(RetryPolicySchema)
    misfire = ma.Nested(MisfireSchema)
    concurrency = ma.Nested(ConcurrencySchema)
    template_version = ma.Integer()
    origin = ma.String(metadata={"description": "Where the job came from: ui, api, service, import or migration"})
    created_by = ma.String()
    created_at = ma.String(metadata=INSTANT)
    updated_by = ma.String()
    updated_at = ma.String(metadata=INSTANT)
    last_run_at = ma.String(allow_none=True, metadata=INSTANT)
    next_run_at = ma.String(allow_none=True, metadata=INSTANT)
    last_status = ma.String(allow_none=True, metadata={"description": "How its last run ended; null before its first"})
    schedule_words = ma.String(metadata={"description": "The schedule in words, in the language of Accept-Language"})
    schedule_error = ma.String(allow_none=True)
    ended = ma.Boolean(metadata={"description": "Its schedule has no due time any more"})
    paused = ma.Nested(PauseOut, allow_none=True)
    shadow = ma.Nested(ShadowOut, allow_none=True, metadata={"description": "Set while its due times are recorded and nothing runs"})
    registered = ma.Nested(RegisteredOut, metadata={"description": "Only of a job that a service registers"})
    version = ma.Integer(required=True)


WARNINGS = {"description": "What will make every run fail, as far as this is known now. The job is saved all the same"}


class JobEnvelope(AnswerSchema):
    job = ma.Nested(JobOut, required=True)
    message = ma.String()
    warnings = ma.List(ma.Nested(FieldErrorOut), metadata=WARNINGS)


JobList = page_schema("JobList", "jobs", JobOut)


class Validated(AnswerSchema):
    valid = ma.Boolean(required=True)
    job = ma.Dict(metadata={"description": "The job with all defaults"})
    schedule_words = ma.String()
    next_runs = ma.List(ma.String(metadata=INSTANT))
    warnings = ma.List(ma.Nested(FieldErrorOut), metadata=WARNINGS)


class RunBody(RequestSchema):
    parameters = ma.Dict(keys=ma.String(), metadata={"description": "Replace these parameters for this run"})


class BackfillOut(AnswerSchema):
    runs = ma.Integer(metadata={"description": "How many runs are queued; missing, like the others, if the backfill waits for approval"})
    due_times = ma.List(ma.String(metadata=INSTANT))
    done = ma.Integer(metadata={"description": "How many due times are left out because they already have a run"})
    blackout = ma.Integer(metadata={"description": "How many due times are left out because they lie in a blackout"})
    approval = ma.Nested(ApprovalOut)

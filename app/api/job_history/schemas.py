"""Requests and answers of versions, dependencies, notes, figures and copies of a job, and one action on many jobs."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import OneOf, Range

from app.api.base_schemas import INSTANT, LARGEST, AnswerSchema, RequestSchema
from app.jobs.model import DependsOn


class RevisionQuery(RequestSchema):
    before = ma.Integer(validate=Range(min=1, max=LARGEST), metadata={"description": "Versions below this one"})
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=100))


class RevisionOut(AnswerSchema):
    version = ma.Integer(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)
    diff = ma.List(ma.Dict(), required=True, metadata={"description": "A row a field: field, before, after; secrets masked"})
    created = ma.Boolean(required=True)
    paused = ma.Boolean(
        required=True, allow_none=True, metadata={"description": "True where the change paused it, false where it resumed it"}
    )


class RevisionList(AnswerSchema):
    revisions = ma.List(ma.Nested(RevisionOut), required=True)


class LinkOut(AnswerSchema):
    job = ma.String(required=True, metadata={"description": "Id of the other job"})
    when = ma.String(required=True, validate=OneOf([item.value for item in DependsOn]), metadata={"description": "Which of its ends count"})
    name = ma.String(required=True, allow_none=True, metadata={"description": "null where you do not see it, or it is gone"})
    last_status = ma.String(required=True, allow_none=True)


class UpstreamOut(LinkOut):
    execution = ma.String(
        required=True, allow_none=True, metadata={"description": "The one that ended so and waits for those of the other jobs"}
    )


class DependenciesOut(AnswerSchema):
    depends_on = ma.List(ma.Nested(UpstreamOut), required=True)
    dependants = ma.List(ma.Nested(LinkOut), required=True)


class NoteOut(AnswerSchema):
    _id = ma.String(required=True)
    text = ma.String(required=True)
    by = ma.String(required=True, metadata={"description": "E-mail address of who wrote it"})
    at = ma.String(required=True, metadata=INSTANT)


class NoteList(AnswerSchema):
    notes = ma.List(ma.Nested(NoteOut), required=True)


class NoteEnvelope(AnswerSchema):
    note = ma.Nested(NoteOut, required=True)


class StatsOut(AnswerSchema):
    executions = ma.Integer(required=True)
    by_status = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)
    success = ma.Float(required=True, allow_none=True, metadata={"description": "Share of those that ran to an end, 0 to 1"})
    median_seconds = ma.Float(required=True, allow_none=True)
    p95_seconds = ma.Float(required=True, allow_none=True, metadata={"description": "From 20 successes on"})


class BulkItem(AnswerSchema):
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    version = ma.Integer(required=True)
    effect = ma.String(required=True, metadata={"description": "What is expected: changes, stays, asks, cannot"})
    result = ma.String(required=True, allow_none=True, metadata={"description": "What became of it: done, stayed, waits, failed"})
    detail = ma.String(required=True, metadata={"description": "Why; of one that waits, the id of the approval"})


class BulkOut(AnswerSchema):
    items = ma.List(ma.Nested(BulkItem), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)

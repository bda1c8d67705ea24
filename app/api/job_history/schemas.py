"""Requests and answers of versions, dependencies, notes, figures and copies of a job, and one action on many jobs."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import OneOf, Range

from app.api.base_schemas import INSTANT, LARGEST, AnswerSchema, AsIs, DifferenceOut, RecordOut, RequestSchema
from app.api.present import jsonable
from app.bulk.service import BulkReport
from app.jobs.dependencies import Link
from app.jobs.model import DependsOn
from app.jobs.notes import LONGEST, Note
from app.jobs.records import ShadowRun
from app.jobs.revisions import Revision
from app.jobs.shadowing import MOST_LISTED

CLONE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}, "enabled": {"type": "boolean", "default": False}},
}
NOTE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1, "maxLength": LONGEST}},
}


class RevisionQuery(RequestSchema):
    before = ma.Integer(validate=Range(min=1, max=LARGEST), metadata={"description": "Only versions before this one"})
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=100))


class RevisionOut(AnswerSchema):
    version = ma.Integer(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)
    diff = ma.List(AsIs(DifferenceOut), required=True, metadata={"description": "One entry for each changed value; secrets are masked"})
    created = ma.Boolean(required=True)
    paused = ma.Boolean(
        required=True, allow_none=True, metadata={"description": "True where the change paused it, false where it resumed it"}
    )


class RevisionList(AnswerSchema):
    revisions = ma.List(ma.Nested(RevisionOut), required=True)


def revision_json(revision: Revision) -> dict[str, Any]:
    return {
        "version": revision.version,
        "at": jsonable(revision.at),
        "by": revision.by,
        "diff": jsonable(revision.diff),
        "created": revision.first,
        "paused": revision.paused,
    }


class LinkOut(AnswerSchema):
    job = ma.String(required=True, metadata={"description": "Id of the other job"})
    when = ma.String(
        required=True, validate=OneOf([item.value for item in DependsOn]), metadata={"description": "The ends of the other job that count"}
    )
    name = ma.String(required=True, allow_none=True, metadata={"description": "null if you may not see the job, or it is gone"})
    last_status = ma.String(required=True, allow_none=True)


class UpstreamOut(LinkOut):
    execution = ma.String(
        required=True, allow_none=True, metadata={"description": "Its execution that ended this way and waits for those of the other jobs"}
    )


class DependenciesOut(AnswerSchema):
    depends_on = ma.List(ma.Nested(UpstreamOut), required=True)
    dependants = ma.List(ma.Nested(LinkOut), required=True)


def link_json(link: Link) -> dict[str, Any]:
    return {"job": link.job_id, "when": link.when, "name": link.name, "last_status": link.last_status}


class ShadowQuery(RequestSchema):
    limit = ma.Integer(load_default=100, validate=Range(min=1, max=MOST_LISTED))


class ShadowRunOut(RecordOut):
    outcome = ma.String(
        required=True, metadata={"description": "run: the job would have run. missed, skipped: it would not, for the reason"}
    )
    reason = ma.String(required=True, allow_none=True)
    due_at = ma.String(required=True, metadata=INSTANT)
    last_due_at = ma.String(required=True, metadata={"description": "The last of the due times that it stands for", **INSTANT})
    count = ma.Integer(required=True, metadata={"description": "How many due times it stands for"})
    triggered_by = ma.String(required=True, metadata={"description": "schedule or dependency"})
    at = ma.String(required=True, metadata={"description": "When it was recorded", **INSTANT})


class ShadowRunList(AnswerSchema):
    shadow_runs = ma.List(ma.Nested(ShadowRunOut), required=True)
    would_have_run = ma.Integer(required=True, metadata={"description": "How many runs there would have been since shadow mode began"})


def shadow_run_json(run: ShadowRun) -> dict[str, Any]:
    """Returns a shadow run as an answer."""
    names = ("outcome", "reason", "due_at", "last_due_at", "count", "triggered_by", "at")
    answer: dict[str, Any] = jsonable({"id": run.id, "_id": run.id, **{name: getattr(run, name) for name in names}})
    return answer


class NoteOut(RecordOut):
    text = ma.String(required=True)
    by = ma.String(required=True, metadata={"description": "E-mail address of who wrote it"})
    at = ma.String(required=True, metadata=INSTANT)


class NoteList(AnswerSchema):
    notes = ma.List(ma.Nested(NoteOut), required=True)


class NoteEnvelope(AnswerSchema):
    note = ma.Nested(NoteOut, required=True)


def note_json(note: Note) -> dict[str, Any]:
    return {"id": note.id, "_id": note.id, "text": note.text, "by": note.by, "at": jsonable(note.at)}


class ItemsOut(AnswerSchema):
    processed = ma.Integer(required=True)
    succeeded = ma.Integer(required=True)
    failed = ma.Integer(required=True)


class StatsOut(AnswerSchema):
    executions = ma.Integer(required=True)
    by_status = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)
    success = ma.Float(
        required=True, allow_none=True, metadata={"description": "Share of the successes among those that ran to an end, 0 to 1"}
    )
    median_seconds = ma.Float(required=True, allow_none=True)
    p95_seconds = ma.Float(required=True, allow_none=True, metadata={"description": "null with fewer than 20 successes"})
    items = ma.Nested(ItemsOut, required=True, allow_none=True, metadata={"description": "Of all of them together; null if none counts"})


class BulkItem(AnswerSchema):
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    version = ma.Integer(required=True)
    effect = ma.String(required=True, metadata={"description": "What is expected: changes, stays, asks, cannot"})
    result = ma.String(required=True, allow_none=True, metadata={"description": "What became of it: done, stayed, waits, failed"})
    detail = ma.String(required=True, metadata={"description": "The reason; for a job that waits, the id of the request for approval"})


class BulkOut(AnswerSchema):
    items = ma.List(ma.Nested(BulkItem), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)


def bulk_json(outcome: BulkReport) -> dict[str, Any]:
    items = [
        {
            "job_id": item.job_id,
            "name": item.name,
            "version": item.version,
            "effect": item.effect.value,
            "result": item.result.value if item.result else None,
            "detail": item.detail,
        }
        for item in outcome.items
    ]
    return {"items": items, "counts": outcome.counts}

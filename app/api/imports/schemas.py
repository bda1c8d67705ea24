"""Requests and answers of imports."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import jsonable
from app.imports.service import Imported


class ImportQuery(RequestSchema):
    source = ma.String(
        load_default=None,
        validate=Length(min=1, max=500),
        metadata={"description": "The name of a source in its plan. Default: all sources", "example": "crontab:web1:/etc/crontab"},
    )


class ImportBody(RequestSchema):
    source = ma.String(required=True, validate=Length(min=1, max=500), metadata={"example": "crontab:web1:/etc/crontab"})
    entry = ma.String(required=True, validate=Length(min=1, max=200), metadata={"description": "The id of the entry in the plan"})
    plan = ma.String(required=True, validate=Length(min=1, max=100), metadata={"description": "The hash of the plan"})
    job = ma.Dict(keys=ma.String(), required=True, metadata={"description": "The job, as for creating one"})
    disabled = ma.Boolean(metadata={"description": "Whether the old scheduler had disabled the entry"})
    shadow = ma.Boolean(metadata={"description": "Whether the job begins in shadow mode and not paused"})


class ImportOut(RecordOut):
    source = ma.String(required=True)
    entry = ma.String(required=True)
    plan = ma.String(required=True)
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    standing = ma.String(required=True, metadata={"description": "making, as imported, changed or deleted"})
    paused = ma.Boolean(required=True, metadata={"description": "Whether the job is paused"})
    shadow = ma.Boolean(required=True, metadata={"description": "Whether the job is in shadow mode"})
    schedule = ma.String(required=True, metadata={"description": "The cron expression of the job now, or its type of schedule"})
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    created = ma.Boolean(metadata={"description": "After POST: whether this request has created the job"})


class ImportEnvelope(AnswerSchema):
    import_ = ma.Nested(ImportOut, required=True, data_key="import", attribute="import")


class ImportList(AnswerSchema):
    imports = ma.List(ma.Nested(ImportOut), required=True)


def import_json(imported: Imported) -> dict[str, Any]:
    """Returns an imported entry as an answer."""
    record, job = imported.record, imported.job
    trigger = job.definition.schedule.trigger if job else None
    answer: dict[str, Any] = jsonable(
        {
            "id": record.id,
            "_id": record.id,
            **{name: getattr(record, name) for name in ("source", "entry", "plan", "job_id", "by", "at")},
            "name": job.definition.name if job else record.name,
            "standing": imported.standing.value,
            "paused": job is not None and job.paused is not None,
            "shadow": job is not None and job.shadow is not None,
            "schedule": (trigger.notation or trigger.type) if trigger else "",
            "created": imported.created,
        }
    )
    return answer

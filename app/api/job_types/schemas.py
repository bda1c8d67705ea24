"""Requests and answers of job types."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import AnswerSchema
from app.integrations.job_types.service import Installation, Installed, TypeStanding

INSTALL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "names": {
            "type": "array",
            "maxItems": 100,
            "items": {"type": "string", "maxLength": 120},
            "description": "The job types to install. Without it, all of them",
        }
    },
}


class JobTypeOut(AnswerSchema):
    name = ma.String(required=True)
    description = ma.String(required=True)
    template_type = ma.String(required=True)
    service = ma.String(required=True, allow_none=True, metadata={"description": "The service that a run calls"})
    path = ma.String(required=True, allow_none=True)
    cron = ma.String(required=True, allow_none=True, metadata={"description": "The schedule of the job, which is disabled at first"})
    job_id = ma.String(required=True, allow_none=True, metadata={"description": "The job of this type; null if it is not installed"})
    missing = ma.String(metadata={"description": "What is to be done before it can be installed; left out if nothing is"})


class JobTypeList(AnswerSchema):
    job_types = ma.List(ma.Nested(JobTypeOut), required=True)


class InstalledOut(AnswerSchema):
    name = ma.String(required=True)
    result = ma.String(required=True, validate=OneOf([result.value for result in Installation]))
    job_id = ma.String(allow_none=True)
    detail = ma.String(metadata={"description": "Why it failed"})


class InstalledList(AnswerSchema):
    results = ma.List(ma.Nested(InstalledOut), required=True)


def type_json(standing: TypeStanding) -> dict[str, Any]:
    """Returns a job type as a member of an answer."""
    kind = standing.type
    return {
        "name": kind.name,
        "description": kind.description,
        "template_type": kind.template_type,
        "service": kind.service or None,
        "path": kind.path or None,
        "cron": kind.cron or None,
        "job_id": standing.job.id if standing.job else None,
        **({"missing": standing.missing} if standing.missing else {}),
    }


def installed_json(installed: Installed) -> dict[str, Any]:
    """Returns the result for one job type."""
    words = {"detail": installed.detail} if installed.detail else {}
    return {"name": installed.name, "result": installed.result.value, "job_id": installed.job_id, **words}

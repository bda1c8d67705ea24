"""Answers about sample data."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema
from app.api.present import jsonable
from app.samples.service import SampleStanding


class SampleOut(AnswerSchema):
    exists = ma.Boolean(required=True)
    state = ma.String(metadata={"description": "making, ready or removing; left out if there is no sample data"})
    by = ma.String()
    at = ma.String(metadata=INSTANT)
    jobs = ma.List(ma.String(), required=True, metadata={"description": "Ids of the sample jobs"})
    users = ma.List(
        ma.String(), required=True, metadata={"description": "Ids of other jobs on the sample data; removing it deletes them too"}
    )
    unavailable = ma.String(metadata={"description": "Why sample data cannot be created here; left out if it can"})


def sample_json(standing: SampleStanding) -> dict[str, Any]:
    """Returns what there is as an answer."""
    sample = standing.sample
    answer: dict[str, Any] = {
        "exists": sample is not None,
        "jobs": [job.id for job in standing.jobs],
        "users": [job.id for job in standing.users],
    }
    if sample is not None:
        answer |= {"state": sample.state, "by": sample.by, "at": sample.at}
    if standing.unavailable is not None:
        answer["unavailable"] = standing.unavailable
    shown: dict[str, Any] = jsonable(answer)
    return shown

"""Requests and answers of jobs as a file."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import AnswerSchema, RequestSchema
from app.api.jobs.schemas import JobFilterQuery


class ExportQuery(JobFilterQuery):
    format = ma.String(load_default="yaml", validate=OneOf(["yaml", "json"]))


class PlanQuery(RequestSchema):
    prune = ma.Boolean(load_default=False, metadata={"description": "Delete jobs that came out of a file and are in it no more"})
    only_new = ma.Boolean(load_default=False, metadata={"description": "Jobs that are there stay as they are"})


class StepOut(AnswerSchema):
    name = ma.String(required=True)
    action = ma.String(required=True, metadata={"description": "create, update, unchanged, delete, invalid"})
    job_id = ma.String(allow_none=True)
    place = ma.Integer(allow_none=True, metadata={"description": "Of the job in the file, from 0"})
    diff = ma.List(ma.Dict(), metadata={"description": "field, before, after; secrets masked"})
    errors = ma.List(ma.Dict(), metadata={"description": "pointer into the job, detail"})
    warnings = ma.List(ma.Dict(), metadata={"description": "What will fail each run: pointer into the job, detail"})
    result = ma.String(allow_none=True, metadata={"description": "Of apply: done, approval (a super-admin is to approve it), failed"})
    detail = ma.String(metadata={"description": "Why it failed, or the id of the request for approval"})


class PlanOut(AnswerSchema):
    steps = ma.List(ma.Nested(StepOut), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer())
    valid = ma.Boolean(required=True)

"""Requests and answers of jobs as a file."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import AnswerSchema, AsIs, DifferenceOut, FieldErrorOut, RequestSchema
from app.api.jobs.schemas import JobFilterQuery
from app.api.present import errors_json, jsonable
from app.exchange.service import ExchangePlan


class ExportQuery(JobFilterQuery):
    format = ma.String(load_default="yaml", validate=OneOf(["yaml", "json"]))


class PlanQuery(RequestSchema):
    prune = ma.Boolean(load_default=False, metadata={"description": "Delete jobs that came from a file and are no longer in it"})
    only_new = ma.Boolean(load_default=False, metadata={"description": "Jobs that already exist stay as they are"})


class StepOut(AnswerSchema):
    name = ma.String(required=True)
    action = ma.String(required=True, metadata={"description": "create, update, unchanged, delete, invalid"})
    job_id = ma.String(allow_none=True)
    place = ma.Integer(allow_none=True, metadata={"description": "Index of the job in the file, from 0"})
    diff = ma.List(AsIs(DifferenceOut), metadata={"description": "What the step changes; secrets are masked"})
    errors = ma.List(ma.Nested(FieldErrorOut), metadata={"description": "What is wrong with the job; pointers begin at the job"})
    warnings = ma.List(ma.Nested(FieldErrorOut), metadata={"description": "What will make every run fail"})
    result = ma.String(allow_none=True, metadata={"description": "After apply: done, approval (it waits for a super-admin), failed"})
    detail = ma.String(metadata={"description": "Why it failed, or the id of the request for approval"})


class PlanOut(AnswerSchema):
    steps = ma.List(ma.Nested(StepOut), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer())
    valid = ma.Boolean(required=True)


def plan_json(plan: ExchangePlan) -> dict[str, Any]:
    """Returns a plan; of one that was carried out, also what became of each step."""
    steps = [
        {
            "name": step.name,
            "action": step.action.value,
            "job_id": step.job_id,
            "place": step.index,
            "diff": step.diff,
            "errors": errors_json(step.errors),
            "warnings": errors_json(step.warnings),
            "result": step.result.value if step.result else None,
            "detail": step.detail,
        }
        for step in plan.steps
    ]
    counts = {action.value: plan.count(action) for action in {step.action for step in plan.steps}}
    answer: dict[str, Any] = jsonable({"steps": steps, "counts": counts, "valid": plan.valid})
    return answer

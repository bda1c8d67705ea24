"""Requests and answers of requests for approval."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.api.base_schemas import INSTANT, AnswerSchema, RequestSchema
from app.api.paging import PageQuery, page_schema
from app.approvals.service import STATES


class ApprovalQuery(PageQuery):
    state = ma.String(validate=OneOf(STATES))


class DecisionBody(RequestSchema):
    note = ma.String(validate=Length(max=1000))


class ApprovalOut(AnswerSchema):
    _id = ma.String(required=True)
    operation = ma.String(required=True, metadata={"description": "job.create, job.update, job.run …"})
    state = ma.String(required=True)
    job_id = ma.String(required=True, metadata={"description": "For job.create, the id that the job will have"})
    job_name = ma.String(required=True)
    requested_by = ma.Dict(required=True)
    requested_at = ma.String(required=True, metadata=INSTANT)
    expires_at = ma.String(required=True, metadata=INSTANT)
    decided_by = ma.String(allow_none=True)
    decided_at = ma.String(allow_none=True, metadata=INSTANT)
    note = ma.String()
    diff = ma.List(ma.Dict())
    preview = ma.Dict(allow_none=True, metadata={"description": "state running or done; then status, result, error"})
    result = ma.Dict(allow_none=True, metadata={"description": "kind and id of what was created, or the error"})


class ApprovalEnvelope(AnswerSchema):
    approval = ma.Nested(ApprovalOut, required=True)
    message = ma.String()


ApprovalList = page_schema("ApprovalList", "approvals", ApprovalOut)

"""Requests and answers of requests for approval."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, DifferenceOut, RecordOut, RequestSchema
from app.api.paging import PageQuery, page_schema
from app.approvals.service import STATES


class ApprovalQuery(PageQuery):
    state = ma.String(validate=OneOf(STATES))


class DecisionBody(RequestSchema):
    note = ma.String(validate=Length(max=1000))


class RequesterOut(AnswerSchema):
    id = ma.String(required=True)
    email = ma.String(required=True)


class PreviewErrorOut(AnswerSchema):
    type = ma.String(required=True)
    message = ma.String(required=True)


class PreviewOut(AnswerSchema):
    state = ma.String(required=True, metadata={"description": "running or done"})
    status = ma.String(metadata={"description": "How the preview ended"})
    result = ma.Dict(allow_none=True, metadata={"description": "What the run would do"})
    error = AsIs(PreviewErrorOut, allow_none=True)


class DecisionOut(AnswerSchema):
    kind = ma.String(metadata={"description": "What was created or changed, such as a job or an execution"})
    id = ma.String(metadata={"description": "Its identifier"})
    error = ma.String(metadata={"description": "Why the approved request could not be carried out"})


class ApprovalOut(RecordOut):
    operation = ma.String(required=True, metadata={"description": "job.create, job.update, job.run …"})
    state = ma.String(required=True)
    job_id = ma.String(required=True, metadata={"description": "For job.create, the identifier that the job will have"})
    job_name = ma.String(required=True)
    requested_by = AsIs(RequesterOut, required=True)
    requested_at = ma.String(required=True, metadata=INSTANT)
    expires_at = ma.String(required=True, metadata=INSTANT)
    decided_by = ma.String(allow_none=True)
    decided_at = ma.String(allow_none=True, metadata=INSTANT)
    note = ma.String()
    diff = ma.List(AsIs(DifferenceOut), metadata={"description": "What the request would change"})
    preview = AsIs(PreviewOut, allow_none=True, metadata={"description": "What the run would do; null if the template has no preview"})
    result = AsIs(DecisionOut, allow_none=True)
    template_type = ma.String()
    version = ma.Integer(metadata={"description": "The version of the job that the request is about"})
    parameters = ma.Dict(allow_none=True)
    via = ma.String(metadata={"description": "web or api"})


class ApprovalEnvelope(AnswerSchema):
    approval = ma.Nested(ApprovalOut, required=True)
    message = ma.String()


ApprovalList = page_schema("ApprovalList", "approvals", ApprovalOut)

"""Requests and answers of audit events."""

from __future__ import annotations

from marshmallow import RAISE
from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, LARGEST, AnswerSchema, AsIs, DifferenceOut, RequestSchema
from app.validation.fields import Bound


class AuditExportQuery(RequestSchema):
    actor = ma.String(load_default="", validate=Length(max=320), metadata={"description": "Part of an e-mail address"})
    action = ma.String(load_default="", validate=Length(max=100), metadata={"description": "`job.run`, or `job` for all that begin so"})
    kind = ma.String(load_default="", validate=Length(max=50), metadata={"description": "Type of target: job, connection, user …"})
    target_id = ma.String(load_default="", validate=Length(max=200))
    outcome = ma.String(load_default="", validate=OneOf(["", "done", "failed", "refused"]))
    correlation_id = ma.String(load_default="", validate=Length(max=100))
    begin = Bound(load_default=None, metadata={"description": "Inclusive"})
    end = Bound(load_default=None, metadata={"description": "Exclusive"})
    format = ma.String(load_default="jsonl", validate=OneOf(["jsonl", "csv"]))


class AuditQuery(AuditExportQuery):
    class Meta:
        exclude = ("format",)
        unknown = RAISE

    before = ma.Integer(load_default=None, validate=Range(min=1, max=LARGEST), metadata={"description": "`older` of the previous answer"})
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=500))


class AuditActorOut(AnswerSchema):
    id = ma.String(required=True)
    email = ma.String(required=True)
    role = ma.String(required=True)


class AuditTargetOut(AnswerSchema):
    kind = ma.String(required=True)
    id = ma.String(required=True)
    name = ma.String(required=True)


class AuditEventOut(AnswerSchema):
    seq = ma.Integer(required=True, metadata={"description": "The place of the event in the trail, from 1"})
    at = ma.String(required=True, metadata=INSTANT)
    action = ma.String(required=True)
    outcome = ma.String(required=True, metadata={"description": "done, failed or refused"})
    actor = AsIs(AuditActorOut, required=True)
    approved_by = ma.String(metadata={"description": "Who approved it, if it waited for approval"})
    on_behalf_of = ma.String(metadata={"description": "The person whom the service named that acted"})
    via = ma.String(required=True, metadata={"description": "web, api, cli or system"})
    address = ma.String(required=True)
    correlation_id = ma.String(required=True)
    target = AsIs(AuditTargetOut, required=True)
    diff = ma.List(AsIs(DifferenceOut), required=True)
    reason = ma.String()
    seal = ma.String(metadata={"description": "Proves that the events before it are unchanged"})


class AuditList(AnswerSchema):
    events = ma.List(AsIs(AuditEventOut), required=True)
    older = ma.Integer(allow_none=True, metadata={"description": "Send it as `before` to go on; null at the end"})

"""Requests and answers of audit events."""

from __future__ import annotations

from marshmallow import RAISE
from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import LARGEST, AnswerSchema, RequestSchema
from app.validation.fields import Bound


class AuditExportQuery(RequestSchema):
    actor = ma.String(load_default="", validate=Length(max=320), metadata={"description": "Part of an e-mail address"})
    action = ma.String(load_default="", validate=Length(max=100), metadata={"description": "`job.run`, or `job` for all that begin so"})
    kind = ma.String(load_default="", validate=Length(max=50), metadata={"description": "Kind of target: job, connection, user …"})
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


class AuditList(AnswerSchema):
    events = ma.List(ma.Dict(), metadata={"description": "seq, at, action, outcome, actor, via, address, target, diff, reason, seal"})
    older = ma.Integer(allow_none=True)

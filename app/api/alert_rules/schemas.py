"""Requests and answers of alert rules."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import jsonable
from app.notification.rules.rule import AlertRule, body_of


class AlertRuleQuery(RequestSchema):
    enabled = ma.Boolean(load_default=None, metadata={"description": "Only the enabled rules, or only the disabled ones"})
    job_id = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Only the enabled rules that apply to this job"})


class ScopeOut(AnswerSchema):
    kind = ma.String(required=True, metadata={"description": "all, job, template, tag or group"})
    values = ma.List(ma.String(), required=True)


class RemindOut(AnswerSchema):
    every_seconds = ma.Integer(required=True)
    most = ma.Integer(required=True)


class EscalateOut(AnswerSchema):
    after_seconds = ma.Integer(required=True)
    to = ma.List(ma.String(), required=True)


class TextsOut(AnswerSchema):
    title = ma.String(required=True, metadata={"description": "Empty for the built-in title"})
    text = ma.String(required=True, metadata={"description": "Empty for the built-in text"})


class TextsFaultOut(AnswerSchema):
    field = ma.String(required=True, metadata={"description": "title or text"})
    error = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)


class AlertRuleOut(RecordOut):
    name = ma.String(required=True)
    enabled = ma.Boolean(required=True)
    scope = ma.Nested(ScopeOut, required=True)
    condition = ma.Dict(required=True, metadata={"description": "Its type, and the members that the type has"})
    where = ma.String(required=True, metadata={"description": "An expression in CEL that the event must fulfil too; empty for none"})
    to = ma.List(ma.String(), required=True)
    severity = ma.String(required=True, metadata={"description": "info, warning or critical"})
    recovery = ma.Boolean(required=True)
    wait_seconds = ma.Integer(required=True)
    remind = ma.Nested(RemindOut, required=True, allow_none=True)
    escalate = ma.Nested(EscalateOut, required=True, allow_none=True)
    texts = ma.Nested(TextsOut, required=True, allow_none=True)
    texts_fault = ma.Nested(
        TextsFaultOut,
        required=True,
        allow_none=True,
        metadata={"description": "Why a message had the built-in words last, since the rule was changed"},
    )
    version = ma.Integer(required=True)
    created_by = ma.String(required=True)
    created_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    updated_by = ma.String(required=True)
    updated_at = ma.String(required=True, allow_none=True, metadata=INSTANT)


class AlertRuleEnvelope(AnswerSchema):
    rule = ma.Nested(AlertRuleOut, required=True)
    message = ma.String()


class AlertRuleList(AnswerSchema):
    rules = ma.List(ma.Nested(AlertRuleOut), required=True)


def rule_json(rule: AlertRule) -> dict[str, Any]:
    """Returns a rule with its version, and who changed it when."""
    body = {"id": rule.id, "_id": rule.id, **body_of(rule)}
    same = ("version", "created_by", "created_at", "updated_by", "updated_at")
    fault = rule.texts_fault
    noted = None if fault is None else {"field": fault.field, "error": fault.error[:], "at": fault.at}
    answer: dict[str, Any] = jsonable({**body, "texts_fault": noted, **{name: getattr(rule, name) for name in same}})
    return answer

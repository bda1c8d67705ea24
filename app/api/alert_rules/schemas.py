"""Requests and answers of alert rules."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf

from app.accounts.preferences import LANGUAGES
from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import jsonable
from app.notification.incidents.previewing import TextPreview
from app.notification.rules.rule import AlertRule, body_of


class FaultOut(AnswerSchema):
    field = ma.String(required=True, metadata={"description": "title or text"})
    error = ma.String(required=True)


class AlertRuleQuery(RequestSchema):
    enabled = ma.Boolean(load_default=None, metadata={"description": "Only the enabled rules, or only the disabled ones"})
    job_id = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Only the enabled rules that apply to this job"})


class TextPreviewQuery(RequestSchema):
    execution_id = ma.String(
        load_default="",
        validate=Length(max=200),
        metadata={"description": "The execution that the message is about; by default the newest one that the rule applies to"},
    )
    language = ma.String(
        load_default="", validate=OneOf(["", *LANGUAGES]), metadata={"description": "By default that of the first recipient"}
    )


class TextPreviewOut(AnswerSchema):
    execution_id = ma.String(required=True, allow_none=True, metadata={"description": "null if the rule applies to no run that you see"})
    title = ma.String(required=True, metadata={"description": "The title as it would be sent"})
    text = ma.String(required=True, metadata={"description": "The text as it would be sent"})
    whole = ma.String(required=True, metadata={"description": "The whole message as plain text, with facts, links and the end of the log"})
    language = ma.String(required=True)
    fault = ma.Nested(FaultOut, required=True, allow_none=True, metadata={"description": "Why a text was replaced by the built-in words"})
    choices = ma.List(ma.String(), required=True, metadata={"description": "The ids of the newest executions that the rule applies to"})


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


class TextsFaultOut(FaultOut):
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


def preview_json(preview: TextPreview) -> dict[str, Any]:
    """Returns the message that a rule would send; empty texts if there is no run that it is about."""
    message, fault = preview.message, preview.fault
    return {
        "execution_id": None if preview.execution is None else preview.execution.id,
        "title": "" if message is None else message.title[:],
        "text": "" if message is None else message.text[:],
        "whole": "" if message is None else message.as_text(),
        "language": "" if message is None else message.language,
        "fault": None if fault is None else {"field": fault.field, "error": fault.error[:]},
        "choices": [execution.id for execution in preview.choices],
    }

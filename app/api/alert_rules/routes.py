"""/api/admin/alert-rules"""

from __future__ import annotations

from typing import Any

from app.api.alert_rules.schemas import (
    AlertRuleEnvelope,
    AlertRuleList,
    AlertRuleQuery,
    TextPreviewOut,
    TextPreviewQuery,
    preview_json,
    rule_json,
)
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.notification.rules.facts import facts_of
from app.notification.rules.rule import AlertRule
from app.notification.rules.schema import RULE_SCHEMA

blueprint = ApiBlueprint("Alert rules", __name__, url_prefix="/api/admin/alert-rules", description="When people are told of what")


def _answer(rule: AlertRule, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"rule": rule_json(rule), **({"message": message} if message else {})}
    return Versioned(body=body, version=rule.version, status=status)


@blueprint.get("")
@blueprint.arguments(AlertRuleQuery, location="query")
@blueprint.response(200, AlertRuleList)
def list_alert_rules(query: dict[str, Any]) -> dict[str, Any]:
    """List the alert rules that you see, by name; there are 200 at most"""
    rules, enabled = services().alert_rules.all(actor()), query["enabled"]
    if query["job_id"]:
        rules = services().alert_rules.of_job(actor(), facts_of(services().jobs.get(actor(), query["job_id"])))
    return {"rules": [rule_json(rule) for rule in rules if enabled is None or rule.enabled is enabled]}


@blueprint.post("")
@blueprint.body(RULE_SCHEMA, validate=False)
@blueprint.response(201, AlertRuleEnvelope)
@blueprint.etag()
def create_alert_rule(body: Any) -> Versioned:
    """Create an alert rule"""
    return _answer(services().alert_rules.create(actor(), body), "Alert rule created", status=201)


@blueprint.post("/preview")
@blueprint.body(RULE_SCHEMA, validate=False)
@blueprint.arguments(TextPreviewQuery, location="query")
@blueprint.response(200, TextPreviewOut)
def preview_alert_rule(query: dict[str, Any], body: Any) -> dict[str, Any]:
    """Read the message that an alert rule would send about a past run; nothing is saved and nothing is sent"""
    return preview_json(services().text_previews.preview(actor(), body, **query))


@blueprint.get("/<rule_id>")
@blueprint.response(200, AlertRuleEnvelope)
@blueprint.etag()
def get_alert_rule(rule_id: str) -> Versioned:
    """Read an alert rule"""
    return _answer(services().alert_rules.get(actor(), rule_id))


@blueprint.put("/<rule_id>")
@blueprint.body(RULE_SCHEMA, validate=False)
@blueprint.response(200, AlertRuleEnvelope)
@blueprint.etag(if_match=True)
def update_alert_rule(rule_id: str, body: Any, version: int | None) -> Versioned:
    """Replace an alert rule; what the body leaves out has its default"""
    return _answer(services().alert_rules.update(actor(), rule_id, body, version=version), "Alert rule changed")


@blueprint.post("/<rule_id>/enable")
@blueprint.response(200, AlertRuleEnvelope)
@blueprint.etag()
def enable_alert_rule(rule_id: str) -> Versioned:
    """Enable an alert rule"""
    return _answer(services().alert_rules.enable(actor(), rule_id, enabled=True), "Alert rule enabled")


@blueprint.post("/<rule_id>/disable")
@blueprint.response(200, AlertRuleEnvelope)
@blueprint.etag()
def disable_alert_rule(rule_id: str) -> Versioned:
    """Disable an alert rule; its open incidents are closed without a message"""
    return _answer(services().alert_rules.enable(actor(), rule_id, enabled=False), "Alert rule disabled")


@blueprint.delete("/<rule_id>")
@blueprint.response(200, Message)
def delete_alert_rule(rule_id: str) -> dict[str, str]:
    """Delete an alert rule; its open incidents are closed without a message"""
    services().alert_rules.delete(actor(), rule_id)
    return {"message": "Alert rule deleted"}

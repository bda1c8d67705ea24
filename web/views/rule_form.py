"""The form of an alert rule: the schema of a rule, arranged for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.accounts.permissions import May, lacks
from app.audit.model import Actor
from app.notification.rules.conditions import SCHEMAS
from app.notification.rules.rule import ScopeKind
from app.notification.rules.schema import MOST_VALUES, RULE_SCHEMA
from app.notification.rules.service import DEFAULTS
from templates_lib.messages import say
from web.current import actor
from web.filters.alerts import TITLES
from web.filters.states import REASONS
from web.forms import Form
from web.views.common import form_of, live_options

_LATER = say("Waiting, reminders, escalation")  # the part of the form that is folded while it is empty
_RECIPIENTS = {"x-widget": "tokens", "x-options": {"from": "recipients", "free": True}, "x-placeholder": "anna@example.com, channel:ops"}
_ORDER = ("name", "condition", "scope", "where", "to", "severity", "recovery", "enabled", "wait_seconds", "remind", "escalate", "texts")
_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "name": {"x-pattern-words": say("a short name in one line")},
    "condition": {"x-choice-title": say("When")},
    "to": _RECIPIENTS,
    "severity": {"x-widget": "radio"},
    "wait_seconds": {"x-section": _LATER},
    "remind": {"x-section": _LATER, "x-add-text": say("Send reminders")},
    "escalate": {"x-section": _LATER, "x-add-text": say("Tell further people")},
    "texts": {"x-section": say("Texts of messages"), "x-add-text": say("Write own texts")},
}
_KINDS: Mapping[ScopeKind, tuple[str, Mapping[str, Any]]] = {
    ScopeKind.ALL: (say("All jobs"), {}),
    ScopeKind.JOB: (say("Some jobs"), {"x-item-title": say("Job"), "items": {"x-options": {"from": "job_ids"}}}),
    ScopeKind.TEMPLATE: (
        say("The jobs of some templates"),
        {"x-item-title": say("Template"), "items": {"x-options": {"from": "templates"}}},
    ),
    ScopeKind.TAG: (say("The jobs with some tags"), {"x-widget": "tokens", "x-options": {"from": "tags", "free": True}}),
    ScopeKind.GROUP: (say("The jobs of some groups"), {"x-widget": "tokens", "x-options": {"from": "groups", "free": True}}),
}
_VALUE_TITLES = {
    ScopeKind.JOB: say("Jobs"),
    ScopeKind.TEMPLATE: say("Templates"),
    ScopeKind.TAG: say("Tags"),
    ScopeKind.GROUP: say("Groups"),
}


def rule_form(kinds: tuple[ScopeKind, ...]) -> Form:
    """Returns the form of a rule that applies to jobs of one of these kinds."""
    members = RULE_SCHEMA["properties"]
    shown = {name: members[name] for name in (*_ORDER, *members) if name in members}
    shown["scope"] = {"title": say("Which jobs"), "x-choice-title": say("Applies to"), "oneOf": [_scope(kind) for kind in kinds]}
    shown["condition"] = {"title": say("Condition"), "oneOf": [_condition(schema) for schema in SCHEMAS.values()]}
    for name in ("remind", "escalate", "texts"):
        shown[name] = _optional(shown[name])
    arranged = {name: {**schema, **_LOOKS.get(name, {}), "x-order": place} for place, (name, schema) in enumerate(shown.items())}
    arranged["wait_seconds"] |= _duration("wait_seconds")
    required = [name for name in arranged if name not in {"wait_seconds", "remind", "escalate", "where", "texts"}]
    return form_of({**RULE_SCHEMA, "properties": arranged, "required": required}, options=live_options)


def kinds_for(person: Actor) -> tuple[ScopeKind, ...]:
    """Returns the kinds of jobs for which a person may make rules, those that are likely first."""
    if lacks(person, May.MANAGE_ALL_RULES) is None:
        return tuple(ScopeKind)
    return (ScopeKind.GROUP, ScopeKind.JOB) if person.groups is not None else (ScopeKind.JOB, ScopeKind.TAG, ScopeKind.GROUP)


def new_rule(kind: ScopeKind, values: list[str], to: list[str]) -> dict[str, Any]:
    """Returns what the form of a new rule begins with."""
    scope = {"kind": kind.value} if kind is ScopeKind.ALL else {"kind": kind.value, "values": values}
    defaults = {name: value for name, value in DEFAULTS.items() if value}
    return {**defaults, "name": "", "condition": {"type": "failed"}, "scope": scope, "to": to}


def form_value(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of a stored rule as the form edits it."""
    scope = body["scope"]
    shown = {"kind": scope["kind"]} if scope["kind"] == ScopeKind.ALL else scope
    return {**{name: value for name, value in body.items() if value not in (None, 0) or value is False}, "scope": shown}


def offered_kinds(stored: str = "") -> tuple[ScopeKind, ...]:
    """Returns the kinds that the form offers to the viewer, with that of a stored rule."""
    kinds = kinds_for(actor())
    return kinds if not stored or stored in kinds else (*kinds, ScopeKind(stored))


def _duration(name: str) -> dict[str, Any]:
    return {"title": TITLES[name], "x-widget": "duration"}


def _scope(kind: ScopeKind) -> dict[str, Any]:
    title, looks = _KINDS[kind]
    members: dict[str, Any] = {"kind": _unseen("kind", kind.value, say("Applies to"), title)}
    if kind is not ScopeKind.ALL:
        items = {"type": "string", "minLength": 1, "maxLength": 200, **looks.get("items", {})}
        hints = {name: value for name, value in looks.items() if name != "items"}
        bounds = {"minItems": 1, "maxItems": MOST_VALUES, "uniqueItems": True}
        members["values"] = {"type": "array", "title": _VALUE_TITLES[kind], "items": items, **bounds, **hints}
    return {"type": "object", "title": title, "properties": members, "required": list(members), "additionalProperties": False}


def _condition(schema: Mapping[str, Any]) -> dict[str, Any]:
    members = {name: _member(name, member) for name, member in schema["properties"].items()}
    members["type"] = _unseen("type", schema["properties"]["type"]["const"], say("Condition"), schema["title"])
    return {**schema, "properties": members}


def _unseen(name: str, value: str, title: str, words: str) -> dict[str, Any]:
    """Returns the schema of a constant that is posted and not shown: the choice between the branches says it already."""
    return {"title": title, "const": value, "oneOf": [{"const": value, "title": words}], "x-visible-if": {name: ["-"]}}


def _member(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    if name in TITLES:
        return {**schema, **_duration(name)}
    if name == "reasons":
        titled = [{"const": reason, "title": REASONS.get(reason, reason)} for reason in schema["items"]["enum"]]
        return {**schema, "items": {"oneOf": titled}, "x-widget": "checkboxes"}
    return dict(schema)


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of a part that is left out where it is null."""
    members = {name: _part(name, member) for name, member in schema["properties"].items()}
    return {**{name: value for name, value in schema.items() if name != "default"}, "type": "object", "properties": members}


def _part(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    if name == "to":
        return {**schema, **_RECIPIENTS}
    if name == "text":
        return {**schema, "x-widget": "textarea", "x-rows": 6}
    if name == "title":
        return dict(schema)
    return {**schema, **_duration(name), "x-width": "half"} if name in TITLES else {**schema, "x-width": "half"}

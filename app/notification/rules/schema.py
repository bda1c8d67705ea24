"""The JSON Schema of a rule, from which its form is drawn."""

from __future__ import annotations

from typing import Any

from app.connections.service import NAME_SCHEMA
from app.notification.announcing import AlertSeverity
from app.notification.rules.conditions import CONDITION_SCHEMA, MOST_SECONDS
from app.notification.rules.expressions import LONGEST_WHERE
from app.notification.rules.rule import ScopeKind
from app.notification.rules.texts import LONGEST_TITLE, MOST_BYTES
from templates_lib.messages import say

MOST_VALUES, MOST_RECIPIENTS = 200, 50
SHORTEST_REMINDER_SECONDS = 60


def _recipients(title: str, *, least: int = 1) -> dict[str, Any]:
    return {
        "type": "array",
        "title": title,
        "description": say("E-mail addresses, and channels as channel:NAME."),
        "items": {"type": "string", "minLength": 1, "maxLength": 254},
        "minItems": least,
        "maxItems": MOST_RECIPIENTS,
        "uniqueItems": True,
    }


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": ["object", "null"], "default": None}


SCOPE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": say("Jobs"),
    "properties": {
        "kind": {
            "title": say("Applies to"),
            "oneOf": [
                {"const": ScopeKind.ALL.value, "title": say("All jobs")},
                {"const": ScopeKind.JOB.value, "title": say("Some jobs")},
                {"const": ScopeKind.TEMPLATE.value, "title": say("The jobs of some templates")},
                {"const": ScopeKind.TAG.value, "title": say("The jobs with some tags")},
                {"const": ScopeKind.GROUP.value, "title": say("The jobs of some groups")},
            ],
            "default": ScopeKind.ALL.value,
        },
        "values": {
            "type": "array",
            "title": say("Which ones"),
            "description": say("Jobs by their ids, templates by their types, tags and groups by their names. Leave empty for all jobs."),
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "maxItems": MOST_VALUES,
            "uniqueItems": True,
            "default": [],
        },
    },
    "required": ["kind"],
    "additionalProperties": False,
}
REMIND_SCHEMA = _optional(
    {
        "title": say("Reminders"),
        "description": say("Repeats the message until somebody acknowledges the incident, or until it is over."),
        "properties": {
            "every_seconds": {
                "type": "integer",
                "title": say("Every (seconds)"),
                "minimum": SHORTEST_REMINDER_SECONDS,
                "maximum": MOST_SECONDS,
                "default": 14_400,
            },
            "most": {"type": "integer", "title": say("At most (times)"), "minimum": 1, "maximum": 100, "default": 6},
        },
        "required": ["every_seconds", "most"],
        "additionalProperties": False,
    }
)
ESCALATE_SCHEMA = _optional(
    {
        "title": say("Escalation"),
        "description": say("Tells further people if nobody acknowledges the incident."),
        "properties": {
            "after_seconds": {
                "type": "integer",
                "title": say("After (seconds)"),
                "minimum": SHORTEST_REMINDER_SECONDS,
                "maximum": MOST_SECONDS,
                "default": 900,
            },
            "to": _recipients(say("Recipients")),
        },
        "required": ["after_seconds", "to"],
        "additionalProperties": False,
    }
)
TEXTS_SCHEMA = _optional(
    {
        "title": say("Texts of messages"),
        "description": say("Own words instead of the built-in ones. They can contain values, such as {{ job.name }}."),
        "properties": {
            "title": {
                "type": "string",
                "title": say("Title"),
                "description": say("Leave empty to use the built-in title."),
                "examples": ["{{ job.name }}: {{ execution.error_type }}"],
                "maxLength": LONGEST_TITLE,
                "default": "",
            },
            "text": {
                "type": "string",
                "title": say("Text"),
                "description": say("Leave empty to use the built-in text. At most 4 kB."),
                "examples": ['{{ why }}\n{{ link | default: "" }}'],
                "maxLength": MOST_BYTES,
                "default": "",
            },
        },
        "additionalProperties": False,
    }
)
RULE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {**NAME_SCHEMA, "title": say("Name")},
        "enabled": {"type": "boolean", "title": say("Enabled"), "default": True},
        "scope": SCOPE_SCHEMA,
        "condition": CONDITION_SCHEMA,
        "where": {
            "type": "string",
            "title": say("Only if"),
            "description": say("An expression in CEL about the end of a run. Leave empty to be notified of each."),
            "examples": ['execution.error_type == "Timeout"', 'job.template in ["sql_query", "command"]'],
            "maxLength": LONGEST_WHERE,
            "default": "",
        },
        "to": _recipients(say("Recipients")),
        "severity": {
            "title": say("Severity"),
            "oneOf": [
                {"const": AlertSeverity.INFO.value, "title": say("Info")},
                {"const": AlertSeverity.WARNING.value, "title": say("Warning")},
                {"const": AlertSeverity.CRITICAL.value, "title": say("Critical")},
            ],
            "default": AlertSeverity.WARNING.value,
        },
        "recovery": {"type": "boolean", "title": say("Send a message when it is over"), "default": True},
        "wait_seconds": {
            "type": "integer",
            "title": say("Wait (seconds)"),
            "description": say("Sends the message only if the condition still holds after this time."),
            "minimum": 0,
            "maximum": 86_400,
            "default": 0,
        },
        "remind": REMIND_SCHEMA,
        "escalate": ESCALATE_SCHEMA,
        "texts": TEXTS_SCHEMA,
    },
    "required": ["name", "condition", "to"],
    "additionalProperties": False,
}

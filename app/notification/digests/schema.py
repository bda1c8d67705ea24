"""What people decide about digests, as JSON Schema: forms, REST and checks follow from it."""

from __future__ import annotations

from typing import Any

from app.accounts.preferences import LANGUAGES
from app.notification.digests.model import DAYS
from templates_lib.messages import say

_TITLES = (say("Monday"), say("Tuesday"), say("Wednesday"), say("Thursday"), say("Friday"), say("Saturday"), say("Sunday"))
DAY_TITLES = dict(zip(DAYS, _TITLES, strict=True))
_LANGUAGE_TITLES = {"en": say("English"), "de": say("German")}
_DAILY = {"const": "daily", "title": say("Every day")}
_WEEKLY = {"const": "weekly", "title": say("Every week")}
_TIME: dict[str, Any] = {
    "weekday": {
        "title": say("Day"),
        "oneOf": [{"const": day, "title": title} for day, title in DAY_TITLES.items()],
        "default": "monday",
        "x-visible-if": {"every": ["weekly"]},
        "x-width": "half",
    },
    "at": {
        "type": "string",
        "title": say("Time"),
        "description": say("Hours and minutes, such as 07:00."),
        "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
        "x-pattern-words": say("must be a time such as 07:00"),
        "default": "07:00",
        "x-width": "half",
    },
}
_ONLY_IF_ANY = {
    "type": "boolean",
    "title": say("Only if there is something to say"),
    "description": say("Nothing is sent if nothing failed, no run was missed, and nothing needs attention."),
    "default": False,
}
_EVERY = {"title": say("How often"), "oneOf": [_DAILY, _WEEKLY], "default": "daily"}
TEAM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "to", "every", "at", "timezone"],
    "properties": {
        "name": {
            "type": "string",
            "title": say("Name"),
            "minLength": 1,
            "maxLength": 80,
            "pattern": "^[^\\u0000-\\u001f\\u007f]*\\S[^\\u0000-\\u001f\\u007f]*$",
        },
        "to": {
            "type": "array",
            "title": say("Recipients"),
            "description": say("Mail addresses, and channels as channel: and their name, separated by commas."),
            "items": {
                "type": "string",
                "title": say("Recipient"),
                "maxLength": 254,
                "anyOf": [{"format": "email"}, {"pattern": "^channel:.*\\S"}],
            },
            "minItems": 1,
            "maxItems": 20,
            "x-widget": "tokens",
            "x-options": {"from": "recipients", "free": True},
            "x-placeholder": "anna@example.com, channel:ops",
        },
        "every": _EVERY,
        **_TIME,
        "timezone": {
            "type": "string",
            "title": say("Time zone"),
            "format": "timezone",
            "x-options": {"from": "timezones", "free": True},
            "x-width": "half",
        },
        "language": {
            "title": say("Language of mail"),
            "description": say("Channels have a language of their own."),
            "oneOf": [{"const": code, "title": _LANGUAGE_TITLES.get(code, words)} for code, words in LANGUAGES.items()],
            "default": "en",
            "x-width": "half",
        },
        "groups": {
            "type": "array",
            "title": say("Groups"),
            "description": say("Leave empty for the jobs of all groups."),
            "items": {"type": "string", "title": say("Group"), "minLength": 1, "maxLength": 100},
            "maxItems": 50,
            "x-widget": "tokens",
            "x-options": {"from": "groups", "free": True},
            "x-width": "half",
        },
        "tags": {
            "type": "array",
            "title": say("Tags"),
            "description": say("Jobs that have one of these tags. Leave empty for all jobs."),
            "items": {"type": "string", "title": say("Tag"), "minLength": 1, "maxLength": 50},
            "maxItems": 50,
            "x-widget": "tokens",
            "x-options": {"from": "tags", "free": True},
            "x-width": "half",
        },
        "only_if_any": _ONLY_IF_ANY,
        "enabled": {"type": "boolean", "title": say("Enabled"), "default": True},
    },
}
MINE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["every", "at"],
    "properties": {
        "every": {
            "title": say("How often"),
            "oneOf": [{"const": "never", "title": say("Never")}, _DAILY, _WEEKLY],
            "default": "never",
        },
        **_TIME,
        "only_if_any": _ONLY_IF_ANY,
    },
}
# A form always has these fields; a request may leave them out.
TEAM_FORM: dict[str, Any] = {**TEAM, "required": [*TEAM["required"], "weekday", "language", "groups", "tags"]}
MINE_FORM: dict[str, Any] = {**MINE, "required": [*MINE["required"], "weekday"]}

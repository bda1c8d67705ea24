"""Incidents and alert rules in icons and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from app.notification.announcing import AlertSeverity, SubjectKind
from app.notification.incidents.explaining import Outcome
from app.notification.incidents.incident import Incident, IncidentState
from app.notification.rules.conditions import SCHEMAS, title_of
from templates_lib.messages import say
from web.filters.states import REASONS, icon
from web.filters.times import span_words
from web.language import gettext, translated

# State → (icon, colour, words). The colours are those of the states of executions.
INCIDENT_STATES: dict[str, tuple[str, str, str]] = {
    IncidentState.FIRING: ("circle-x", "failed", say("Firing")),
    IncidentState.ACKNOWLEDGED: ("user-check", "retrying", say("Acknowledged")),
    IncidentState.PENDING: ("clock", "queued", say("Pending")),
    IncidentState.RESOLVED: ("circle-check", "success", say("Resolved")),
}
SEVERITIES: dict[str, tuple[str, str, str]] = {
    AlertSeverity.CRITICAL: ("circle-alert", "failed", say("Critical")),
    AlertSeverity.WARNING: ("triangle-alert", "timeout", say("Warning")),
    AlertSeverity.INFO: ("info", "queued", say("Info")),
}
# What came of a rule at the end of an execution.
OUTCOME_WORDS: dict[str, tuple[str, str, str]] = {
    Outcome.TOLD: ("bell", "failed", say("Sent a message")),
    Outcome.NOTED: ("circle-check", "queued", say("Already announced")),
    Outcome.WAITING: ("clock", "retrying", say("Waits")),
    Outcome.OVER: ("circle-check", "success", say("Incident over")),
    Outcome.NOT_MET: ("circle", "queued", say("No message")),
    Outcome.NOT_APPLIED: ("ban", "queued", say("Not applied")),
}
SUBJECTS: dict[str, str] = {
    SubjectKind.JOB: say("Job"),
    SubjectKind.NODE: say("Node"),
    SubjectKind.CONNECTION: say("Connection"),
    SubjectKind.SERVICE: say("Service"),
    SubjectKind.TOKEN: say("Token"),
    SubjectKind.APPROVAL: say("Approval"),
    SubjectKind.INSTALLATION: say("Installation"),
}
VIA_WORDS = {"web": say("on a page"), "api": say("over REST"), "link": say("with the link of a message")}


def _state(table: Mapping[str, tuple[str, str, str]], name: str) -> Markup:
    icon_name, colour, words = table[name]
    return Markup('<span class="state state-{}">{}{}</span>').format(colour, icon(icon_name), translated(words))


def incident_state(incident: Incident) -> Markup:
    """Returns the icon and the word of the state of an incident."""
    return _state(INCIDENT_STATES, incident.state)


def severity(name: str) -> Markup:
    """Returns the icon and the word of a severity."""
    return _state(SEVERITIES, name)


def outcome(name: str) -> Markup:
    """Returns the icon and the words for what came of a rule at the end of an execution."""
    return _state(OUTCOME_WORDS, name)


def condition_title(condition: Mapping[str, Any]) -> str:
    """Returns what the condition of a rule looks for, in a few words."""
    return translated(title_of(str(condition.get("type", ""))))


def condition_details(condition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the title and the value of each further member of a condition."""
    members = SCHEMAS.get(str(condition.get("type", "")), {}).get("properties", {})
    return [
        (translated(str(members[name].get("title", name)) if name not in TITLES else TITLES[name]), _words(name, value))
        for name, value in condition.items()
        if name != "type" and name in members
    ]


# In place of the titles of schemas, which name a unit that pages put into words.
TITLES: dict[str, str] = {
    "under_seconds": say("Less than"),
    "over_seconds": say("Longer than"),
    "after_seconds": say("After"),
    "grace_seconds": say("After"),
    "before_seconds": say("Before"),
    "within_seconds": say("Within"),
    "every_seconds": say("Every"),
    "wait_seconds": say("Wait"),
}


def _words(name: str, value: Any) -> str:
    if name.endswith("_seconds") and isinstance(value, int):
        return span_words(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(translated(REASONS.get(item, item))) for item in map(str, value))
    return gettext("yes") if value is True else gettext("no") if value is False else str(value)

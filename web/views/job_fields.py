"""The fields of a job beside its template's parameters and its schedule: their titles, help and layout, and the forms made of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from app.jobs.reading import json_schema
from app.jobs.registered import LOCKED_FIELDS
from app.jobs.schema import JobDefinitionSchema
from templates_lib.messages import Said, say
from web.filters.job_words import VALUE_WORDS, title_of
from web.forms import Form
from web.views.common import form_of, live_options

DETAIL_FIELDS = ("name", "description", "tags", "group")
AFTER_FIELDS = ("depends_on",)
NOTIFY_FIELDS = ("notifications",)
POLICY_FIELDS = (
    "timeout_seconds",
    "priority",
    "needs",
    "pause_after_failures",
    "overlap",
    "retry_policy",
    "misfire",
    "concurrency",
    "run_limit",
)
_HELP: Mapping[str, Said] = {
    "name": say("Must be unique. Choose a name that tells you at 3 a.m. what failed."),
    "tags": say("Separate tags with commas. You can filter the list of jobs by them."),
    "group": say("People who are limited to groups see only the jobs of their groups. Leave empty if you do not use groups."),
    "timeout_seconds": say("A run that takes longer is stopped, with all its processes."),
    "priority": say("If many runs wait, 10 starts first and 1 last."),
    "needs": say("The job runs only on nodes that have all of these labels. Leave empty to run it on any node."),
    "pause_after_failures": say("0 means that the job never pauses itself."),
    "retry_delay_seconds": say("Before the first retry."),
    "max_delay_seconds": say("The longest wait between two retries."),
    "policy": say("Applies to runs that no node could start in time."),
    "max_catch_up": say("Only if every missed time is run."),
    "max_instances": say("More than 1 is possible only with “Run both at the same time”."),
    "depends_on": say("The job also runs each time all of these jobs have finished with the chosen outcome."),
    "notifications": say(
        "Mail addresses, and channels as channel: and their name, separated by commas. A failure is a failed, timed-out or missed run."
    ),
}
_INNER_HELP: Mapping[tuple[str, str], Said] = {
    ("concurrency", "group"): say("Jobs of the same group run one after the other."),
    ("run_limit", "runs"): say("0 means that there is no limit. All runs count, whatever triggers them; retries do not count."),
    ("run_limit", "seconds"): say("The limit holds for every period of this length."),
}
_ITEMS: Mapping[str, Said] = {
    "depends_on": say("Job"),
    "tags": say("Tag"),
    "needs": say("Node label"),
    "retry_on": say("Ending"),
    "on_success": say("Recipient"),
    "on_failure": say("Recipient"),
}
_LABELS = say("Description, tags and group")  # the part of the form that is folded while it is empty
_RECIPIENTS = {"from": "recipients", "free": True}
_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "description": {"x-widget": "textarea", "x-rows": 3, "x-section": _LABELS},
    "tags": {"x-widget": "tokens", "x-options": {"from": "tags", "free": True}, "x-section": _LABELS, "x-width": "half"},
    "timeout_seconds": {"x-widget": "duration", "x-width": "third"},
    "priority": {"x-width": "third"},
    "pause_after_failures": {"x-width": "third"},
    "needs": {"x-widget": "tokens", "x-options": {"from": "labels", "free": True}, "x-placeholder": "gpu, site=berlin"},
    "max_retries": {"x-order": 1, "x-width": "third"},
    "retry_delay_seconds": {"x-order": 2, "x-widget": "duration", "x-width": "third"},
    "max_delay_seconds": {"x-order": 3, "x-widget": "duration", "x-width": "third"},
    "backoff": {"x-order": 4, "x-width": "half"},
    "retry_on": {"x-order": 5, "x-width": "half", "x-widget": "checkboxes", "uniqueItems": True},
    "policy": {"x-width": "full"},
    "grace_seconds": {"x-widget": "duration", "x-width": "half"},
    "max_catch_up": {"x-width": "half"},
    "max_instances": {"x-width": "half"},
    "runs": {"x-width": "third"},
    "seconds": {"x-widget": "duration", "x-width": "third"},
    "excess": {"x-width": "third"},
    "on_success": {"x-widget": "tokens", "x-options": _RECIPIENTS, "x-placeholder": "anna@example.com, channel:ops", "x-width": "half"},
    "on_failure": {"x-widget": "tokens", "x-options": _RECIPIENTS, "x-placeholder": "anna@example.com, channel:ops", "x-width": "half"},
    "job": {"x-options": {"from": "jobs", "free": True}, "x-width": "half"},
    "when": {"x-width": "half"},
}
_GROUPS = {"from": "groups", "free": True}  # offered for both kinds of group
_INNER_LOOKS: Mapping[str, Mapping[str, Any]] = {"group": {"x-options": _GROUPS, "x-width": "half"}}
_OUTER_LOOKS: Mapping[str, Mapping[str, Any]] = {"group": {"x-options": _GROUPS, "x-width": "half", "x-section": _LABELS}}
_OPTIONAL = {"description", "tags", "group", "depends_on", "needs"}


def details_form(*, locked: bool = False) -> Form:
    """Returns the form of the name, the description, the tags and the group; with `locked` only of those that the code of a service does
    not decide."""
    return form_of(_part(_open(DETAIL_FIELDS) if locked else DETAIL_FIELDS), options=live_options)


def after_form() -> Form:
    """Returns the form of the jobs that a job runs after."""
    return form_of(_part(AFTER_FIELDS), options=live_options)


def notifications_form() -> Form:
    """Returns the form of who is notified."""
    return form_of(_part(NOTIFY_FIELDS)["properties"]["notifications"], options=live_options)


def policies_form(*, locked: bool = False) -> Form:
    """Returns the form of the policies; with `locked` only of those that the code of a service does not decide."""
    return form_of(_part(_open(POLICY_FIELDS) if locked else POLICY_FIELDS), options=live_options)


def _open(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in LOCKED_FIELDS)


@cache
def _definition_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a job's body, made from the marshmallow schema that REST uses."""
    return json_schema(JobDefinitionSchema())


@cache
def _part(names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the schema of the form of some fields."""
    properties = _definition_schema()["properties"]
    return {
        "type": "object",
        "properties": {name: _worded(name, properties[name]) for name in names},
        "required": [name for name in names if name not in _OPTIONAL],
        "additionalProperties": False,
    }


def _worded(name: str, schema: Mapping[str, Any], *, of: str = "") -> dict[str, Any]:
    """Returns the schema of one field with the words and the layout of the form. `of` is the group of fields that the field belongs to."""
    worded = {key: value for key, value in schema.items() if key != "description"}
    worded |= {**_LOOKS.get(name, {}), **(_INNER_LOOKS if of else _OUTER_LOOKS).get(name, {})}
    title = title_of(name, of=of)
    help_text = _INNER_HELP.get((of, name)) or _HELP.get(name)
    worded |= {"title": title} if title else {}
    worded |= {"description": help_text} if help_text else {}
    if "enum" in worded and name in VALUE_WORDS:
        worded["oneOf"] = [{"const": value, "title": VALUE_WORDS[name].get(value, value)} for value in worded.pop("enum")]
        worded.pop("type", None)
    if "properties" in worded:
        worded["properties"] = {key: _worded(key, value, of=name) for key, value in worded["properties"].items()}
        worded["required"] = list(worded["properties"])
    if "items" in worded:
        worded["items"] = {**_worded(name, worded["items"]), "title": _ITEMS[name]}
        for key in ("x-widget", "x-section", "x-options", "description", "uniqueItems"):
            worded["items"].pop(key, None)
    if name == "depends_on":
        worded["x-item-title"] = _ITEMS[name]
    return worded

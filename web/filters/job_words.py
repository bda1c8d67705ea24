"""The words for the fields of a job and for their values: the form, errors, versions, approvals and imports all use these."""

from __future__ import annotations

from collections.abc import Mapping

from app.triggers import FIELDS
from app.validation.pointer import keys_of
from templates_lib.messages import Said, joined, say
from web.filters.states import ENDS, MISSED, OVERLAP
from web.forms.values import from_name

TITLES: Mapping[str, str] = {
    "name": say("Name"),
    "description": say("Description"),
    "tags": say("Tags"),
    "group": say("Group"),
    "timeout_seconds": say("Timeout"),
    "priority": say("Priority"),
    "pause_after_failures": say("Pause after failures in a row"),
    "overlap": say("If the job is due while it still runs"),
    "retry_policy": say("Retries"),
    "max_retries": say("Number of retries"),
    "retry_delay_seconds": say("First delay"),
    "max_delay_seconds": say("Longest delay"),
    "backoff": say("Delays"),
    "retry_on": say("Retry after"),
    "misfire": say("Missed runs"),
    "policy": say("What happens to missed runs"),
    "grace_seconds": say("Missed if late by"),
    "max_catch_up": say("Maximum number of runs to catch up"),
    "concurrency": say("Concurrency"),
    "max_instances": say("Simultaneous runs"),
    "notifications": say("Notifications"),
    "on_failure": say("E-mail after failure"),
    "on_success": say("E-mail after success"),
    "depends_on": say("Run after other jobs"),
    "job": say("Job"),
    "when": say("Required outcome"),
    "template_type": say("Template"),
    "template_version": say("Version of the template"),
    "parameters": say("Parameters"),
    "enabled": say("Enabled"),
    "schedule": say("Schedule"),
    "type": say("Type"),
    **{name: field.title for name, field in FIELDS.items()},
    "timezone": say("Time zone"),
    "start_at": say("Start on"),
    "end_at": say("End on"),
    "jitter_seconds": say("Spread starts over"),
    "calendars": say("Blackout calendars"),
}
# Titles where a field inside a group has the name of another field.
_INNER_TITLES: Mapping[str, str] = {"group": say("Concurrency group")}
# The words of values that are codes, by the name of the field.
VALUE_WORDS: Mapping[str, Mapping[str, str]] = {
    "overlap": OVERLAP,
    "policy": MISSED,
    "backoff": {"exponential": say("Random, and longer each time"), "fixed": say("Always the same")},
    "when": {end.value: words for end, words in ENDS.items()},
    "retry_on": {"error": say("An error"), "timeout": say("A timeout"), "lost_worker": say("A lost worker")},
}


def title_of(name: str, *, inner: bool = False) -> str | None:
    """Returns the title of a field; None if it has none. `inner`: the field belongs to a group of fields."""
    return (_INNER_TITLES.get(name) if inner else None) or TITLES.get(name)


def titles_on_the_way(pointer: str) -> Said:
    """Returns the titles on the way to a field: "Retries › First delay" for `/retry_policy/retry_delay_seconds`. Entries of lists count
    from 1, and a field without a title gets one made of its name. The whole is "Job"."""
    if not pointer:
        return say("Job")
    return joined((_step(key, inner=depth > 0) for depth, key in enumerate(keys_of(pointer))), " › ")


def _step(key: str, *, inner: bool) -> str:
    return str(int(key) + 1) if key.isdecimal() else title_of(key, inner=inner) or from_name(key)

"""The words for the fields of a job and for their values: the form, errors, versions, approvals and imports all use these."""

from __future__ import annotations

from collections.abc import Mapping

from app.triggers import FIELDS
from app.validation.pointer import keys_of
from templates_lib.messages import Said, joined, say
from web.filters.states import ENDS, EXCESS, MISSED, OVERLAP
from web.forms.values import from_name

TITLES: Mapping[str, str] = {
    "name": say("Name"),
    "description": say("Description"),
    "tags": say("Tags"),
    "group": say("Group"),
    "timeout_seconds": say("Timeout"),
    "priority": say("Priority"),
    "needs": say("Labels of nodes"),
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
    "run_limit": say("Limit of runs"),
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
    "declared": say("Declared in the code"),
}
# Titles of fields inside a group whose names mean something else elsewhere, by the group and the field.
_INNER_TITLES: Mapping[tuple[str, str], str] = {
    ("concurrency", "group"): say("Concurrency group"),
    ("run_limit", "runs"): say("Maximum number of runs"),
    ("run_limit", "seconds"): say("Within"),
    ("run_limit", "excess"): say("Runs beyond the limit"),
}
# The words of values that are codes, by the name of the field.
VALUE_WORDS: Mapping[str, Mapping[str, str]] = {
    "overlap": OVERLAP,
    "policy": MISSED,
    "excess": EXCESS,
    "backoff": {"exponential": say("Random, and longer each time"), "fixed": say("Always the same")},
    "when": {end.value: words for end, words in ENDS.items()},
    "retry_on": {"error": say("An error"), "timeout": say("A timeout"), "lost_worker": say("A lost worker")},
}


def title_of(name: str, *, of: str = "") -> str | None:
    """Returns the title of a field; None if it has none. `of` is the group of fields that the field belongs to."""
    return _INNER_TITLES.get((of, name)) or TITLES.get(name)


def titles_on_the_way(pointer: str) -> Said:
    """Returns the titles on the way to a field: "Retries › First delay" for `/retry_policy/retry_delay_seconds`. Entries of lists count
    from 1, and a field without a title gets one made of its name. The whole is "Job"."""
    if not pointer:
        return say("Job")
    keys = keys_of(pointer)
    return joined((_step(key, of=before) for before, key in zip(["", *keys], keys, strict=False)), " › ")


def _step(key: str, *, of: str) -> str:
    return str(int(key) + 1) if key.isdecimal() else title_of(key, of=of) or from_name(key)

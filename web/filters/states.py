"""The states of executions in icons and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from app.jobs.model import DependsOn
from app.queue.model import Status
from app.shapes import DAMAGED, UNKNOWN
from templates_lib.messages import say
from web.language import translated

# Status → (icon, words). Colour, shape and word say the same, so nobody depends on colour alone.
STATES: dict[str, tuple[str, str]] = {
    Status.SUCCESS: ("circle-check", say("Success")),
    Status.FAILED: ("circle-x", say("Failed")),
    Status.TIMEOUT: ("clock", say("Timed out")),
    Status.RUNNING: ("loader", say("Running")),
    Status.QUEUED: ("circle", say("Queued")),
    Status.RETRYING: ("rotate-ccw", say("Retrying")),
    Status.CANCELLED: ("ban", say("Cancelled")),
    Status.SKIPPED: ("skip-forward", say("Skipped")),
    Status.MISSED: ("triangle", say("Missed")),
    UNKNOWN: ("circle-alert", say("Unreadable")),
}


# By the handler of what an end owes: the words for an item that was given up, and for one that is tried again.
OWED_WORDS = {
    "notify": (say("Nobody was told"), say("Telling people failed; it is tried again")),
    "followers": (
        say("The jobs that run after this one were not started"),
        say("Starting the jobs that run after this one failed; it is tried again"),
    ),
    "self_pause": (
        say("Whether the job is to pause itself could not be found out"),
        say("Finding out whether the job is to pause itself failed; it is tried again"),
    ),
}


REASONS = {
    "overlap": say("the job still ran"),
    "replaced": say("a newer run took its place"),
    "misfire": say("later than its grace"),
    "paused": say("the job was paused"),
    "blackout": say("a calendar of the job keeps the time free"),
    "circle": say("the jobs depend on each other in a circle, or more than a hundred runs triggered one another"),
    "template_off": say("its template was switched off"),
    "maintenance": say("nothing was started: maintenance"),
    "disabled": say("the job was switched off"),
    "rescheduled": say("the job was given another schedule"),
    "job_gone": say("the job was deleted"),
    "lost_worker": say("its worker fell silent"),
    "handed_back": say("its worker was stopping"),
}


ENDS = {
    DependsOn.SUCCESS: say("has succeeded"),
    DependsOn.FAILURE: say("has failed"),
    DependsOn.END: say("has ended, whichever way"),
}


def state(status: str, reason: str | None = None) -> Markup:
    """Returns the icon and the word of a status; the reason is its title."""
    icon_name, words = STATES.get(status, STATES[UNKNOWN])
    hint = translated(REASONS.get(reason or "", ""))
    return Markup('<span class="state state-{}"{}>{}{}</span>').format(
        status, Markup(' title="{}"').format(hint) if hint else "", icon(icon_name), translated(words)
    )


def damage(row: Any) -> Markup:
    """Returns what is wrong with a record that could only be read in part; empty for any other record."""
    why = row.get(DAMAGED, "") if isinstance(row, Mapping) else row.damaged
    told = translated(say("Its record is damaged: {reason}", reason=why)) if why else ""
    return Markup('<span class="sub wrong-text">{}{}</span>').format(icon("circle-alert"), told) if why else Markup()


def icon(name: str) -> Markup:
    """Returns an icon of the sprite. It is decoration, so it is hidden from screen readers."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#{}"/></svg>').format(name)

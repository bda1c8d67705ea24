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
    "notify": (say("The notification could not be sent"), say("The notification could not be sent and will be retried")),
    "followers": (
        say("The jobs that run after this one could not be started"),
        say("The jobs that run after this one could not be started; this will be retried"),
    ),
    "alert": (
        say("The alert rules could not be applied to this end"),
        say("The alert rules could not be applied to this end; this will be retried"),
    ),
    "self_pause": (
        say("Jobwright could not check whether to pause the job after its failures"),
        say("Jobwright could not check whether to pause the job after its failures; this will be retried"),
    ),
}


REASONS = {
    "overlap": say("the previous run was still running"),
    "run_limit": say("the job had reached its limit of runs"),
    "replaced": say("a newer run replaced it"),
    "misfire": say("it could not start in time"),
    "paused": say("the job was paused"),
    "blackout": say("a blackout calendar of the job covers this time"),
    "circle": say("the jobs trigger each other in a circle, or more than 100 runs triggered one another"),
    "template_off": say("its template was disabled"),
    "maintenance": say("maintenance was on"),
    "disabled": say("the job was disabled"),
    "rescheduled": say("the schedule of the job was changed"),
    "job_gone": say("the job was deleted"),
    "lost_worker": say("its worker stopped responding"),
    "handed_back": say("its worker was shutting down"),
    "no_instance": say("no instance of its service offers the job now; the run waits"),
    "circuit_open": say("calls to its service failed; the run waits until the service answers again"),
    "service_busy": say("slow calls to its service take their share of this node; the run waits"),
}

# What happens if a job is due while it still runs, and with runs that were missed: the form and the page of a job say the same.
OVERLAP = {
    "skip": say("Skip the new run"),
    "queue": say("Start the new run afterwards"),
    "replace": say("Cancel the old run"),
    "allow": say("Run both at the same time"),
}
MISSED = {"skip": say("Skip them"), "once": say("Run once for all of them"), "all": say("Run every missed time, up to the limit")}

# What happens with runs that the job's own limit of runs does not allow.
EXCESS = {"skip": say("Skip them"), "queue": say("Start them as soon as the limit allows")}

ENDS = {
    DependsOn.SUCCESS: say("has succeeded"),
    DependsOn.FAILURE: say("has failed"),
    DependsOn.END: say("has ended with any outcome"),
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

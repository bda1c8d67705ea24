"""What is known of the outside monitor and of an incident in which Jobwright is stuck; and the decision whether it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from templates_lib.messages import Said, say

FOLLOW_UPS, DELIVERIES = "follow_ups", "deliveries"
PARTS = (FOLLOW_UPS, DELIVERIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptoms:
    """What moves. `follow_ups` gives, for each carrier, since when its first follow-up has been due, and `deliveries` since when the first
    message of a channel has been due of which the sender takes nothing; None if nothing waits."""

    follow_ups: Mapping[str, datetime | None]
    deliveries: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """How the calls of the outside monitor go. `pinged_at` is when it last took one. `problem` is why the last one failed; empty if it did
    not."""

    pinged_at: datetime | None = None
    failing_since: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A time in which Jobwright is stuck. `parts` are those of PARTS that did not move, and `since` is when that was noticed. `mails` is
    how many mails about it were sent. `problem` is why the last mail failed; empty if it did not."""

    id: str
    since: datetime
    parts: tuple[str, ...]
    is_open: bool
    mails: int = 0
    mailed_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """What people read. `monitored` says that an outside monitor is set, `warned` that an address for emergencies is."""

    monitored: bool
    warned: bool
    pings: Pings
    stuck: Incident | None = None


def stuck_parts(symptoms: Symptoms, now: datetime, after: timedelta) -> tuple[str, ...]:
    """Returns the parts of PARTS in which something has been due for longer than `after`.

    With 5 minutes: a follow-up that has been due for 4 minutes is late, one that has been due for 6 minutes is stuck.
    """
    oldest = {
        FOLLOW_UPS: min((since for since in symptoms.follow_ups.values() if since is not None), default=None),
        DELIVERIES: symptoms.deliveries,
    }
    return tuple(part for part in PARTS if (since := oldest[part]) is not None and now - since > after)


def part_words(part: str) -> Said:
    """Returns what does not move, as a sentence."""
    if part == FOLLOW_UPS:
        return say("Follow-ups of executions are due and nobody carries them out.")
    return say("Notifications are due and nobody sends them.")

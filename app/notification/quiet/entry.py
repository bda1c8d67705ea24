"""One announcement for one channel: what is decided about it, and why it is held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.notification.announcing import Announcement, SubjectKind
from app.notification.message import MessageKind
from app.notification.targets import Target
from templates_lib.messages import say

# Incidents about these take the announcements of the jobs that use them as a list under their own message.
ROOT_KINDS = frozenset({SubjectKind.CONNECTION, SubjectKind.SERVICE, SubjectKind.NODE, SubjectKind.INSTALLATION})
ALARMS = frozenset({MessageKind.FIRING, MessageKind.REMINDER})


class EntryStatus(StrEnum):
    """How far an entry is."""

    WAITING = "waiting"  # it becomes a message, or a part of one, when it is due
    HELD = "held"  # it is held back. It may be sent later, unless its hold is final
    SENT = "sent"  # it is in a message


class Why(StrEnum):
    """Why an entry is held back."""

    MUTE = "mute"
    MAINTENANCE = "maintenance"
    QUIET_HOURS = "quiet_hours"
    ROOT_CAUSE = "root_cause"  # the message about its cause says enough
    NOT_TOLD = "not_told"  # nobody heard of the alert, so nobody hears of its recovery
    REPEATED = "repeated"  # another message says the same
    RESTORED = "restored"  # a backup was restored before it was sent


WORDS = {
    Why.MUTE: say("Muted"),
    Why.MAINTENANCE: say("Maintenance"),
    Why.QUIET_HOURS: say("Quiet hours"),
    Why.ROOT_CAUSE: say("Same cause as another alert"),
    Why.NOT_TOLD: say("The alert was not sent, so its recovery is not sent either"),
    Why.REPEATED: say("Another message says the same"),
    Why.RESTORED: say("A backup was restored before it was sent"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why an entry is held. `by` is the id of the mute, the channel or the incident that holds it, and `name` says it to people. It is held
    `until` then, if that is known. A `final` hold does not end."""

    why: Why
    at: datetime
    by: str = ""
    name: str = ""
    until: datetime | None = None
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One announcement for one channel. It is due when a message with it may be sent, or when its hold is looked at again. `hold` is the
    last one: a sent entry with a hold was sent late. `batch` is the id of its message."""

    id: str
    announcement: Announcement
    target: Target
    created_at: datetime
    due_at: datetime | None
    status: EntryStatus = EntryStatus.WAITING
    hold: Hold | None = None
    batch: str | None = None
    settled_at: datetime | None = None
    damaged: str = ""

    @property
    def target_key(self) -> str:
        return target_key(self.target.channel_id, self.target.recipients)

    @property
    def incident(self) -> tuple[str, str]:
        """Returns the incident, as one channel knows it."""
        return self.announcement.incident_id, self.target_key

    @property
    def kind(self) -> MessageKind:
        return self.announcement.kind

    @property
    def is_alarm(self) -> bool:
        return self.kind in ALARMS

    @property
    def is_root(self) -> bool:
        return self.announcement.subject.kind in ROOT_KINDS and self.is_alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries a list shows; empty means any. `before` is an instant and an id: the last entry of the page before."""

    status: str = ""
    why: str = ""
    by: str = ""
    batch: str = ""
    incident_id: str = ""
    channel_id: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, str] | None = None


def target_key(channel_id: str, recipients: Iterable[str]) -> str:
    """Returns what tells a channel, with its recipients, from all others."""
    return digest(channel_id, *sorted(recipients))


def entry_id(announcement_key: str, channel_id: str, recipients: Iterable[str]) -> str:
    """Returns the id of an entry: an announcement that comes twice is one entry for each channel."""
    return digest(announcement_key, channel_id, *sorted(recipients))


def digest(*parts: str) -> str:
    """Returns a short text that only these parts have."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", errors="replace")).hexdigest()[:32]


def labels_of(announcement: Announcement, name: str) -> tuple[str, ...]:
    """Returns the values of a label of an announcement, sorted. Some labels hold several, joined by commas."""
    return tuple(sorted({part.strip() for part in announcement.labels.get(name, "").split(",") if part.strip()}))

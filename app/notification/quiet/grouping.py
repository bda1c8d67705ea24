"""By what entries are put into one message, and how often a group has one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.notification.announcing import Announcement, Subject, SubjectKind
from app.notification.message import MessageKind
from app.notification.quiet.entry import ROOT_KINDS, Entry, digest, labels_of

# What announcements can be grouped by, and the label that says it.
GROUP_BY = {"template": "template", "tag": "tags", "connection": "connections", "error": "error"}
# By what label jobs say that they use the subject of an incident.
_USES = {SubjectKind.CONNECTION: "connections", SubjectKind.SERVICE: "service", SubjectKind.NODE: "node"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a group waits for further entries, and how often it has a message. `repeat` is the pause between messages that remind of
    several alerts. `by` are keys of GROUP_BY. So many messages about what jobs tell by themselves go `at_once` to a channel per
    interval."""

    wait: timedelta = timedelta(seconds=30)
    interval: timedelta = timedelta(minutes=5)
    repeat: timedelta = timedelta(hours=4)
    by: tuple[str, ...] = ("connection", "template")
    at_once: int = 5

    @property
    def longest(self) -> timedelta:
        """Returns for how long the last message of a group matters."""
        return max(self.interval, self.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What shares messages: `id` tells it from all others, of all channels. `is_root` says that it is about one cause."""

    id: str
    target: str
    kind: MessageKind
    is_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An open incident about something that jobs use."""

    incident_id: str
    kind: SubjectKind
    id: str
    name: str

    @classmethod
    def of(cls, incident_id: str, subject: Subject) -> Root:
        """Returns the cause that an incident is about."""
        return cls(incident_id=incident_id, kind=subject.kind, id=subject.id, name=subject.name)

    def takes(self, announcement: Announcement) -> bool:
        """Returns whether an announcement is about something that uses this. The whole installation takes what says so itself."""
        if announcement.subject.kind in ROOT_KINDS or announcement.incident_id == self.incident_id:
            return False
        used = labels_of(announcement, _USES.get(self.kind, "installation"))
        return self.name in used or self.id in used


def group_of(entry: Entry, pace: Pace) -> Group:
    """Returns the group of an entry that has no cause of its own."""
    announcement = entry.announcement
    parts = [",".join(labels_of(announcement, GROUP_BY[name])) for name in pace.by]
    if announcement.subject.kind is not SubjectKind.JOB:
        parts = [announcement.subject.kind.value]
    return _group(entry, *parts)


def root_group(root: Entry) -> Group:
    """Returns the group of all that has one cause."""
    made = _group(root, "root", root.announcement.incident_id)
    return Group(id=made.id, target=made.target, kind=made.kind, is_root=True)


def many_of(group: Group) -> Group:
    """Returns the group of all that does not fit into the messages that a channel gets."""
    return Group(id=digest(group.target, "many", group.kind.value), target=group.target, kind=group.kind)


def _group(entry: Entry, *parts: str) -> Group:
    target, kind = entry.target_key, entry.kind
    return Group(id=digest(target, kind.value, *parts), target=target, kind=kind)

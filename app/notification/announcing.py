"""What alert rules have to say: announcements, and the plain way to tell them, one message for each recipient's channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from app.clock import Clock
from app.notification.channel_store import ChannelStore
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.message import LONGEST_TEXT, Fact, Link, Message, MessageKind, Severity
from app.notification.targets import Target, targets_of
from app.notification.texts import InWords
from app.signals import Signal
from templates_lib.messages import Said

KIND = "alert"  # of deliveries that come from announcements, beside those of ends


class AlertSeverity(StrEnum):
    """How urgent what a rule finds is."""

    INFO = "info"  # worth knowing
    WARNING = "warning"  # worth a look today
    CRITICAL = "critical"  # worth waking somebody


class SubjectKind(StrEnum):
    """What an incident can be about."""

    JOB = "job"
    NODE = "node"
    CONNECTION = "connection"
    SERVICE = "service"
    TOKEN = "token"  # noqa: S105 - the kind of a subject
    APPROVAL = "approval"
    INSTALLATION = "installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an incident is about. `group` is the group of a job, by which people see it; empty for none."""

    kind: SubjectKind
    id: str
    name: str
    group: str = ""

    @property
    def key(self) -> str:
        """Returns what tells this subject from all others."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """Something to tell people about an incident, or about an end that a job tells of by itself: then it names no rule.

    `key` is the same each time the same thing is announced. `title`, the parts of `text`, the labels of `facts` and the words of `links`
    are sentences of the catalogue (Said) or plain texts; links are whole addresses. `labels` are what announcements can be grouped by:
    `template`, `tags` (joined by commas), `connections` (too), `service`, `node`, `error`. `to` are mail addresses and `channel:NAME`.
    `event` is what programs read.
    """

    key: str
    incident_id: str
    rule_id: str
    rule: str
    subject: Subject
    kind: MessageKind
    severity: AlertSeverity
    title: str
    at: datetime
    to: tuple[str, ...]
    text: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    links: tuple[Link, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    event: Mapping[str, Any] = field(default_factory=dict)
    execution_id: str | None = None

    @property
    def is_own(self) -> bool:
        """Returns whether a job tells this by itself."""
        return not self.rule_id


class Announcer(Protocol):
    """Has people told."""

    def announce(self, announcements: Sequence[Announcement]) -> None:
        """Takes announcements. The same call may come again: what has the same key is told once."""


class PlainAnnouncer:
    """Writes one delivery for the mail addresses of an announcement, and one for each channel. `written` is sent when there is something to
    send."""

    def __init__(
        self, *, channels: ChannelStore, deliveries: NotificationDeliveryStore, clock: Clock, written: Signal, in_words: InWords
    ) -> None:
        self._channels, self._deliveries, self._clock = channels, deliveries, clock
        self._written, self._in_words = written, in_words

    def announce(self, announcements: Sequence[Announcement]) -> None:
        deliveries = [
            self._delivery(announcement, target) for announcement in announcements for target in targets_of(self._channels, announcement.to)
        ]
        self._deliveries.add(deliveries)
        if deliveries:
            self._written.send()

    def _delivery(self, announcement: Announcement, target: Target) -> Delivery:
        made_id, now = delivery_id(announcement.key, target.channel_id, target.recipients, KIND), self._clock.now()
        about_job = announcement.subject.kind is SubjectKind.JOB
        return Delivery(
            id=made_id,
            channel_id=target.channel_id,
            channel=target.channel,
            type=target.type,
            recipients=target.recipients,
            execution_id=announcement.execution_id,
            job_id=announcement.subject.id if about_job else None,
            job_name=announcement.subject.name if about_job else "",
            message=message_of(announcement, key=made_id, language=target.language, in_words=self._in_words),
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )


def message_of(announcement: Announcement, *, key: str, language: str, in_words: InWords) -> Message:
    """Returns the message that one announcement is told by, in a language. Messages about one incident are in one thread."""

    def put(text: str) -> str:
        return in_words(text, language) if isinstance(text, Said) else text  # a name may read like a sentence of the catalogue

    text = "\n\n".join(put(part) for part in announcement.text if part)
    return Message(
        key=key,
        thread=announcement.incident_id,
        kind=announcement.kind,
        severity=colour_of(announcement),
        title=put(announcement.title),
        text=text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…",
        at=announcement.at,
        facts=tuple(Fact(label=put(fact.label), value=put(fact.value)) for fact in announcement.facts),
        links=tuple(Link(words=put(link.words), url=link.url) for link in announcement.links),
        language=language,
        event=announcement.event,
    )


def colour_of(announcement: Announcement) -> Severity:
    """Returns how a message about an announcement is coloured."""
    if announcement.kind is MessageKind.RECOVERY:
        return Severity.GOOD
    if announcement.kind is MessageKind.NOTICE or announcement.severity is AlertSeverity.INFO:
        return Severity.INFO
    return Severity.BAD

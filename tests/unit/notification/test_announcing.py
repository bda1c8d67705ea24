"""Announcements are told once, each recipient in its language."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.clock import ManualClock
from app.factory import Store
from app.mongo import Document
from app.notification.announcing import AlertSeverity, Announcement, PlainAnnouncer, Subject, SubjectKind, colour_of
from app.notification.channel_store import ChannelStore
from app.notification.delivery import DeliveryFilter
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.message import Fact, Link, MessageKind, Severity
from app.signals import Signal
from templates_lib.messages import say
from web.language import translated

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def an_announcement(**fields: Any) -> Announcement:
    """An announcement that a job fails."""
    values: dict[str, Any] = {
        "key": "i1:firing:1",
        "incident_id": "i1",
        "rule_id": "r1",
        "rule": "Failures",
        "subject": Subject(kind=SubjectKind.JOB, id="j1", name="Night", group="ops"),
        "kind": MessageKind.FIRING,
        "severity": AlertSeverity.CRITICAL,
        "title": say("{job} failed", job="Night"),
        "at": NOW,
        "to": ("ops@example.com", "channel:Ops", "ada@example.com", "channel:Nobody"),
        "text": (say("The channel is disabled."), "Boom"),
        "facts": (Fact(label=say("Attempts"), value="3"),),
        "links": (Link(words=say("Show the execution"), url="https://jobs.example.com/executions/e1"),),
        "execution_id": "e1",
    }
    return Announcement(**{**values, **fields})


def test_each_recipient_gets_one_delivery_however_often_it_is_announced(store: Store) -> None:
    channels, deliveries, sent = ChannelStore(store.database), NotificationDeliveryStore(store.database), list[int]()
    channel: Document = {"_id": "c1", "name": "Ops", "type": "slack", "settings": {}, "enabled": True, "language": "de", "version": 1}
    channels.add({**channel, "created_by": "", "updated_by": "", "created_at": NOW, "updated_at": NOW})
    written = Signal()
    written.connect(lambda: sent.append(1))
    announcer = PlainAnnouncer(channels=channels, deliveries=deliveries, clock=ManualClock(NOW), written=written, in_words=translated)
    announcer.announce([])
    assert not sent
    for _ in range(2):
        announcer.announce([an_announcement()])
    announcer.announce([an_announcement(key="i1:reminder:1", kind=MessageKind.REMINDER, to=("channel:Ops",))])
    stored = deliveries.page(DeliveryFilter(), limit=10)
    assert sorted((item.channel, item.recipients, item.message.title) for item in stored) == [
        ("Nobody", (), "Night failed"),
        ("Ops", (), "Night ist fehlgeschlagen"),
        ("Ops", (), "Night ist fehlgeschlagen"),
        ("mail", ("ops@example.com", "ada@example.com"), "Night failed"),
    ]
    assert {(item.message.thread, item.job_id, item.execution_id) for item in stored} == {("i1", "j1", "e1")}
    assert len({item.message.key for item in stored}) == 4
    german = next(item.message for item in stored if item.channel == "Ops")
    assert (german.facts[0].label, german.links[0].words) == ("Versuche", "Ausführung anzeigen")
    assert german.text.endswith("\n\nBoom")


def test_an_announcement_about_a_node_names_no_job(store: Store) -> None:
    deliveries = NotificationDeliveryStore(store.database)
    announcer = PlainAnnouncer(
        channels=ChannelStore(store.database), deliveries=deliveries, clock=ManualClock(NOW), written=Signal(), in_words=translated
    )
    announcer.announce(
        [an_announcement(subject=Subject(kind=SubjectKind.NODE, id="n", name="n"), execution_id=None, to=("a@example.com",))]
    )
    (delivery,) = deliveries.page(DeliveryFilter(), limit=10)
    assert (delivery.job_id, delivery.job_name, delivery.execution_id) == (None, "", None)


@pytest.mark.parametrize(
    ("kind", "severity", "colour"),
    [
        (MessageKind.FIRING, AlertSeverity.CRITICAL, Severity.BAD),
        (MessageKind.FIRING, AlertSeverity.WARNING, Severity.BAD),
        (MessageKind.FIRING, AlertSeverity.INFO, Severity.INFO),
        (MessageKind.REMINDER, AlertSeverity.CRITICAL, Severity.BAD),
        (MessageKind.RECOVERY, AlertSeverity.CRITICAL, Severity.GOOD),
        (MessageKind.NOTICE, AlertSeverity.WARNING, Severity.INFO),
    ],
)
def test_the_colour_of_a_message(kind: MessageKind, severity: AlertSeverity, colour: Severity) -> None:
    assert colour_of(an_announcement(kind=kind, severity=severity)) is colour

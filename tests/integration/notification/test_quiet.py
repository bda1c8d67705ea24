"""Announcements on the real database: a storm becomes few messages, a broken connection one, and a node may be killed at any write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.factory.quiet import build_announcer, build_quieting
from app.factory.stores import Stores
from app.mongo import Document
from app.notification.announcing import Announcement
from app.notification.delivery import Delivery, DeliveryFilter, DeliveryStatus
from app.notification.fallback import Fallbacks
from app.notification.message import MessageKind
from app.notification.quiet.batch_store import Batch
from app.notification.quiet.entry import EntryFilter, EntryStatus, Why
from app.notification.quiet.grouping import Root
from app.notification.quiet.quieting import Quieting
from app.notification.quiet.texts import NAMED
from app.notification.texts import in_english
from app.queue.owing import Owing
from app.services import Services
from tests.builders.announcements import NOW, announcement, cause, later, root_of
from tests.builders.killed import Killed, killed_at_write
from tests.lengths import LONG

JOBS = 5000 if LONG else 1000  # that fail within a minute
CHANNELS = ("channel:Ops", "channel:Team", "a@example.com")


class House:
    """An installation with two channels, and what other parts know of incidents."""

    def __init__(self, store: Store, settings: Settings, services: Services) -> None:
        self.settings, self.clock = replace(settings, public_url="https://jobs.example.com"), ManualClock(NOW)
        self.services = build_services(self.settings, store, clock=self.clock, catalogue=services.catalogue)
        self.stores, self.database = Stores.over(store.database, Owing()), store.database
        self.announcer = build_announcer(self.settings, self.stores, self.clock)
        self.roots = list[Root]()
        for name, language in (("Ops", "de"), ("Team", "")):
            self.stores.channels.add(channel(name, language))
        self.quieting = self.another_node()

    def another_node(self) -> Quieting:
        made = build_quieting(self.settings, self.stores, self.services)
        made._outlook = replace(made._outlook, roots=lambda: self.roots, firing=self.firing)
        return made

    def firing(self, incidents: Sequence[str]) -> set[str]:
        """Returns the incidents whose recovery was not announced."""
        over = {"announcement.incident_id": {"$in": list(incidents)}, "announcement.kind": "recovery"}
        return set(incidents) - set(self.database["announcements"].distinct("announcement.incident_id", over))

    def announce(self, *items: Announcement, to: tuple[str, ...] = CHANNELS) -> None:
        self.announcer.announce([replace(item, to=to) for item in items])

    def run(self, seconds: float, *, step: float = 1) -> None:
        """Ticks until so many seconds after the beginning."""
        while (self.clock.now() - NOW).total_seconds() < seconds:
            self.clock.advance(step)
            self.quieting.tick()

    def deliveries(self) -> list[Delivery]:
        """Returns all deliveries, oldest first."""
        return self.stores.notification_deliveries.page(DeliveryFilter(), limit=10_000)[::-1]

    def by_channel(self) -> Counter[str]:
        return Counter(delivery.channel for delivery in self.deliveries())

    def statuses(self) -> Counter[str]:
        return Counter(entry.status.value for entry in self.stores.announcements.page(EntryFilter(), limit=100_000))


def channel(name: str, language: str = "") -> Document:
    times = {"created_by": "ada", "created_at": NOW, "updated_by": "ada", "updated_at": NOW}
    return {
        "_id": f"id of {name}",
        "name": name,
        "type": "webhook",
        "settings": {},
        "enabled": True,
        "language": language,
        "version": 1,
        **times,
    }


@pytest.fixture
def house(store: Store, settings: Settings, services: Services) -> House:
    return House(store, settings, services)


def test_thousands_of_jobs_that_fail_within_a_minute_are_at_most_20_messages_a_channel(house: House) -> None:
    for second in range(0, 60, 5):
        batch = range(second * JOBS // 60, (second + 5) * JOBS // 60)
        labels = [{"template": f"template {n % 7}", "connections": f"db {n % 5}", "error": f"error {n}"} for n in batch]
        house.announce(*(announcement(f"Job {n:04}", at=second, labels=label) for n, label in zip(batch, labels, strict=True)))
        house.run(second + 5, step=5)
    house.run(900, step=30)
    assert house.statuses() == {"sent": JOBS * len(CHANNELS)}
    assert set(house.by_channel()) == {"Ops", "Team", "mail"}
    assert all(count <= 20 for count in house.by_channel().values()), house.by_channel()
    team = [delivery.message for delivery in house.deliveries() if delivery.channel == "Team"]
    assert sum(message.event["alerts"] for message in team) == JOBS, "each job is counted once"
    largest = max(team, key=lambda message: message.event["alerts"])
    named = [line for line in largest.text.splitlines() if line.startswith("• Job ")]
    assert len(named) == len(largest.event["first_alerts"]) == NAMED
    assert f"… and {largest.event['alerts'] - NAMED:,} more".replace(",", "") in largest.text.replace(",", "")
    assert largest.links[-1].url.startswith("https://jobs.example.com/announcements?batch=")
    german = max((d.message for d in house.deliveries() if d.channel == "Ops"), key=lambda message: len(message.text))
    assert "weitere" in german.title


def test_500_jobs_that_use_one_broken_connection_are_one_message(house: House) -> None:
    house.announce(*(announcement(f"Job {n:03}", labels={"template": f"t{n % 9}", "connections": "db"}) for n in range(300)))
    house.run(10, step=10)
    house.announce(cause("db", at=10))
    house.roots.append(root_of(cause("db")))
    house.run(45, step=5)
    house.announce(*(announcement(f"Job {n:03}", at=45, labels={"template": f"t{n % 9}", "connections": "db"}) for n in range(300, 500)))
    house.run(600, step=20)
    assert house.by_channel() == {"Ops": 1, "Team": 1, "mail": 1}
    message = house.deliveries()[0].message
    assert message.event["alerts"] == 300
    assert house.statuses() == {"sent": 301 * 3, "held": 200 * 3}
    assert house.stores.announcements.counts_held(NOW) == {Why.ROOT_CAUSE: 600}
    house.announce(cause("db", MessageKind.RECOVERY, at=600))
    house.announce(*(announcement(f"Job {n:03}", MessageKind.RECOVERY, at=650) for n in range(500)))
    house.roots.clear()
    house.run(2000, step=50)
    assert house.by_channel() == dict.fromkeys(("Ops", "Team", "mail"), 3), "two messages more: the recoveries of the cause and of jobs"
    assert house.stores.announcements.counts_held(NOW) == {Why.ROOT_CAUSE: 600, Why.NOT_TOLD: 600}


def test_an_announcement_that_comes_twice_is_told_once_in_the_language_of_its_channel(house: House) -> None:
    for _ in range(2):
        house.announce(announcement("Nacht"))
    house.run(31)
    assert {delivery.channel: delivery.message.title for delivery in house.deliveries()} == {
        "Ops": "Nacht ist fehlgeschlagen",
        "Team": "Nacht failed",
        "mail": "Nacht failed",
    }
    assert {delivery.job_name for delivery in house.deliveries()} == {"Nacht"}
    assert "https://jobs.example.com/mutes/new?rules=Failures&jobs=Nacht" in house.deliveries()[0].message.as_text()


@pytest.mark.parametrize(
    ("status", "replaced", "kinds"),
    [
        ("sent", None, ["firing", "recovery"]),
        ("waiting", None, ["firing", "recovery"]),
        ("unknown", None, ["firing", "recovery"]),
        ("refused", None, ["firing"]),
        ("given_up", None, ["firing"]),
        ("refused", "sent", ["firing", "recovery"]),
        ("refused", "refused", ["firing"]),
    ],
)
def test_a_recovery_goes_only_to_whom_the_alert_may_have_reached(house: House, status: str, replaced: str | None, kinds: list[str]) -> None:
    house.announce(announcement("Night"), to=("channel:Team",))
    house.run(35, step=5)
    (delivery,) = house.deliveries()
    house.database["deliveries"].update_one({"_id": delivery.id}, {"$set": {"status": status}})
    if replaced is not None:
        house.database["channels"].update_one({"name": "Team"}, {"$set": {"fallback": "Ops"}})
        instead = Fallbacks(channels=house.stores.channels, clock=house.clock, in_words=in_english).instead_of(delivery)
        assert instead is not None
        house.stores.notification_deliveries.add([replace(instead, status=DeliveryStatus(replaced))])
    house.announce(announcement("Night", MessageKind.RECOVERY, at=40), to=("channel:Team",))
    house.run(700, step=20)
    assert [item.message.kind for item in house.deliveries() if item.channel == "Team"] == kinds
    held = house.stores.announcements.counts_held(NOW)
    assert held == ({} if "recovery" in kinds else {Why.NOT_TOLD: 1})


@pytest.mark.parametrize("number", range(14))
def test_a_node_that_is_killed_at_any_write_loses_and_doubles_nothing(house: House, number: int) -> None:
    house.announce(*(announcement(name, labels={"template": name[0]}) for name in ("a1", "a2", "b1", "b2")), to=("channel:Team",))
    house.announce(announcement("a3", MessageKind.RECOVERY), to=("channel:Team",))
    house.clock.advance(30)
    with killed_at_write(number):
        try:
            house.quieting.tick()
        except Killed:
            killed = True
        else:
            killed = False
    assert killed or number > 11
    house.clock.advance(60)
    house.announce(announcement("a4", labels={"template": "a"}), to=("channel:Team",))
    node = house.another_node()
    for _ in range(10):
        house.clock.advance(60)
        node.tick()
    told = Counter(line for delivery in house.deliveries() for line in _named(delivery))
    assert told == {f"{name} failed": 1 for name in ("a1", "a2", "b1", "b2", "a4")}
    assert house.statuses() == {"sent": 5, "held": 1}
    assert house.stores.announcement_batches.open() == []


def _named(delivery: Delivery) -> list[str]:
    """Returns the alerts that a message names."""
    lines = [line.removeprefix("• ") for line in delivery.message.text.splitlines() if line.startswith("• ")]
    return lines or [delivery.message.title]


def test_what_a_late_node_gives_to_a_message_that_is_written_goes_with_the_next_one(house: House) -> None:
    house.announce(announcement("a"), to=("channel:Team",))
    house.run(31)
    (first,) = house.stores.announcements.page(EntryFilter(), limit=5)
    house.announce(announcement("b", at=40), to=("channel:Team",))
    late = next(entry for entry in house.stores.announcements.page(EntryFilter(), limit=5) if entry.id != first.id)
    assert first.batch is not None
    house.stores.announcements.bind([late.id], first.batch)
    house.run(400, step=10)
    assert [delivery.message.title for delivery in house.deliveries()] == ["a failed", "b failed"]


def test_two_nodes_that_decide_the_same_write_one_message(house: House) -> None:
    house.announce(announcement("a"), announcement("b"), to=("channel:Team",))
    house.clock.advance(30)
    waiting = house.stores.announcements.waiting(house.clock.now())
    made = Batch(
        id="x", group="g", target_key=waiting[0].target_key, kind=MessageKind.FIRING, at=NOW, ids=tuple(entry.id for entry in waiting[:1])
    )
    assert [house.stores.announcement_batches.begin(made) for _ in range(2)] == [True, False]
    assert house.quieting.tick() == 2, "the open message, and the one with the other entry"
    assert house.another_node().tick() == 0
    assert sorted(delivery.message.title for delivery in house.deliveries()) == ["a failed", "b failed"]


def test_only_one_node_decides_at_a_time(house: House) -> None:
    house.announce(announcement("a"))
    assert house.stores.turns.take("quiet", "other", now=NOW, lasts=timedelta(seconds=60))
    house.clock.advance(40)
    assert house.quieting.tick() == 0
    house.clock.advance(20)
    assert house.quieting.tick() == 3


def test_what_is_settled_is_forgotten_and_what_is_held_stays(house: House, store: Store) -> None:
    house.announce(announcement("sent"), to=("channel:Team",))
    house.run(31)
    store.database["mutes"].insert_one(mute_row())
    house.announce(announcement("held", at=40), to=("channel:Team",))
    house.run(400, step=10)
    assert house.statuses() == {"sent": 1, "held": 1}
    house.clock.advance(86_400)
    house.quieting.forget(timedelta(hours=1))
    assert house.statuses() == {"held": 1}
    house.quieting.tick()
    assert house.deliveries()[-1].message.text.endswith("This was held back until now. Reason: Muted")
    assert house.stores.announcements.page(EntryFilter(), limit=5)[0].status is EntryStatus.SENT


def mute_row(**fields: Any) -> Document:
    matcher = {name: [] for name in ("jobs", "tags", "groups", "templates", "severities")}
    times = {"created_at": NOW, "ends_at": later(3600)}
    return {"_id": "m", "matcher": {**matcher, "rules": ["Failures"]}, "reason": "Move", "author": "ada", "version": 1, **times, **fields}

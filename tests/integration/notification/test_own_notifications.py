"""What jobs tell by themselves: one failure at once, many in few messages, and none that something holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.factory.handlers import build_outcome_notifier
from app.factory.quiet import build_announcer, build_quieting
from app.factory.stores import Stores
from app.jobs.model import Job, Notifications
from app.notification.delivery import Delivery, DeliveryFilter
from app.notification.quiet.entry import EntryFilter, Why
from app.notification.quiet.grouping import Root
from app.queue.execution import Execution
from app.queue.model import Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from tests.builders.announcements import NOW, cause, root_of
from tests.builders.killed import Killed, killed_at_write
from tests.builders.queue import new_execution
from tests.integration.notification.test_quiet import channel
from tests.lengths import LONG

JOBS = 5_000 if LONG else 500  # that fail within a minute
TO = ("channel:Ops", "channel:Team", "a@example.com")


class House:
    """An installation with two channels, on which ends are told."""

    def __init__(self, store: Store, settings: Settings, services: Services, actor: Actor) -> None:
        settings, self.clock = replace(settings, public_url="https://jobs.example.com"), ManualClock(NOW)
        self.services = build_services(settings, store, clock=self.clock, catalogue=services.catalogue)
        self.stores, self.database, self.actor = Stores.over(store.database, Owing()), store.database, actor
        self.notifier = build_outcome_notifier(settings, self.stores, self.services)
        self.announcer = build_announcer(settings, self.stores, self.clock)
        self.quieting = build_quieting(settings, self.stores, self.services)
        for name in ("Ops", "Team"):
            self.stores.channels.add(channel(name))
        self.job = self.services.jobs.create(actor, {"name": "Night", "template_type": "noop", "tags": ["till"]})[0]

    def ends(self, names: Iterable[str], status: Status = Status.FAILED, to: tuple[str, ...] = TO, **fields: Any) -> list[Execution]:
        """Writes an end of each of these jobs, all of which are told to `to`."""
        told = Notifications(on_failure=to, on_success=to)
        made = [self._end(self.job, name, status, notifications=told, **fields) for name in names]
        self.stores.queue.add(made)
        return made

    def _end(self, job: Job, name: str, status: Status, **fields: Any) -> Execution:
        of_job = {} if name == "Night" else {"job_id": f"id of {name}"}
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, status=status, job_name=name, **of_job, **fields)
        return replace(made, completed_at=self.clock.now())

    def tell(self, *names: str, **fields: Any) -> list[Execution]:
        made = self.ends(names, **fields)
        for execution in made:
            self.notifier.notify(execution)
        return made

    def run(self, seconds: float, *, step: float = 1) -> None:
        """Ticks for so many seconds."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.advance(step)
            self.quieting.tick()

    def causes(self, *roots: Root) -> None:
        """Has each part know these causes."""
        for quieting in (self.quieting, self.notifier._announcer._quieting):  # type: ignore[attr-defined]
            quieting._outlook = replace(quieting._outlook, roots=lambda: list(roots))

    def deliveries(self, channel_name: str = "") -> list[Delivery]:
        """Returns all deliveries, or those of a channel, oldest first."""
        found = self.stores.notification_deliveries.page(DeliveryFilter(), limit=10_000)[::-1]
        wanted = [delivery for delivery in found if channel_name in {"", delivery.channel}]
        return sorted(wanted, key=lambda delivery: (delivery.created_at, delivery.message.title))

    def titles(self, channel_name: str = "Ops") -> list[str]:
        return [delivery.message.title for delivery in self.deliveries(channel_name)]

    def statuses(self) -> Counter[str]:
        return Counter(entry.status.value for entry in self.stores.announcements.page(EntryFilter(), limit=100_000))


@pytest.fixture
def house(store: Store, settings: Settings, services: Services, super_admin: Actor) -> House:
    return House(store, settings, services, super_admin)


def test_one_failure_is_told_at_once_and_looks_as_it_always_has(house: House) -> None:
    (execution,) = house.tell("Night")
    house.notifier.notify(execution)
    assert sorted(delivery.channel for delivery in house.deliveries()) == ["Ops", "Team", "mail"]
    message = house.deliveries("Ops")[0].message
    assert (message.title, message.thread, message.event["type"]) == ("Night failed", execution.id, "execution.failed")
    assert [link.url for link in message.links] == [
        f"https://jobs.example.com/executions/{execution.id}",
        "https://jobs.example.com/mutes/new?jobs=Night",
    ]
    assert {delivery.execution_id for delivery in house.deliveries()} == {execution.id}
    house.run(600, step=30)
    house.notifier.notify(execution)
    assert len(house.deliveries()) == 3, "whatever comes again is told once"
    assert house.statuses() == {"sent": 3}


def test_thousands_of_jobs_that_fail_within_a_minute_are_at_most_20_messages_a_channel(house: House) -> None:
    for second in range(0, 60, 5):
        house.tell(*(f"Job {n:04}" for n in range(second * JOBS // 60, (second + 5) * JOBS // 60)))
        house.run(5, step=5)
    house.run(900, step=30)
    assert house.statuses() == {"sent": JOBS * len(TO)}
    counts = Counter(delivery.channel for delivery in house.deliveries())
    assert set(counts) == {"Ops", "Team", "mail"}
    assert all(count <= 20 for count in counts.values()), counts
    team = [delivery.message for delivery in house.deliveries("Team")]
    assert [message.title for message in team[:5]] == [f"Job {n:04} failed" for n in range(5)], "the first ones are told at once"
    assert sum(message.event.get("alerts", 1) for message in team) == JOBS, "each failure is counted once"
    largest = max(team, key=lambda message: message.event.get("alerts", 1))
    assert len(largest.event["first_alerts"]) == 20
    assert len([line for line in largest.text.splitlines() if line.startswith("• Job ")]) == 20


def test_what_is_beyond_the_first_is_told_together_after_the_wait(house: House) -> None:
    house.tell(*"abcdefgh", to=("channel:Ops",))
    assert house.titles() == [f"{name} failed" for name in "abcde"]
    house.run(29)
    assert len(house.titles()) == 5
    house.run(2)
    assert [title.partition(", ")[2] for title in house.titles()[5:]] == ["and 2 more alerts"]
    house.run(300, step=10)
    house.tell("i", to=("channel:Ops",))
    assert house.titles()[6:] == ["i failed"], "the next interval has room again"


def test_500_jobs_that_use_one_broken_connection_are_one_message(house: House) -> None:
    notifier = house.notifier
    notifier._labels = lambda job_id: {"template": "noop", "connections": "db"}
    house.announcer.announce([replace(cause("db"), to=TO)])
    house.causes(root_of(cause("db")))
    house.tell(*(f"Job {n:03}" for n in range(250)))
    house.run(45, step=5)
    house.tell(*(f"Job {n:03}" for n in range(250, 500)))
    house.run(600, step=30)
    assert Counter(delivery.channel for delivery in house.deliveries()) == {"Ops": 1, "Team": 1, "mail": 1}
    assert house.deliveries()[0].message.event["alerts"] == 250
    assert house.stores.announcements.counts_held(NOW) == {Why.ROOT_CAUSE: 250 * 3}


def mute(house: House, **matcher: Any) -> str:
    ends_at = (house.clock.now() + timedelta(hours=1)).isoformat()
    return house.services.mutes.create(house.actor, {"reason": "Move", "ends_at": ends_at, **matcher}).id


def test_a_mute_holds_what_jobs_tell_and_what_still_fails_is_told_once_afterwards(house: House) -> None:
    mute(house, jobs=["Night", "Recovers"])
    for _ in range(3):
        house.tell("Night", "Recovers", to=("channel:Ops",))
        house.run(60, step=10)
    house.tell("Recovers", status=Status.SUCCESS, to=())
    assert house.titles() == []
    assert house.stores.announcements.counts_held(NOW) == {Why.MUTE: 6}
    house.tell("Other", to=("channel:Ops",))
    assert house.titles() == ["Other failed"], "what the mute does not match is told at once"
    house.run(3_700, step=60)
    assert house.titles()[1:] == ["Night failed"]
    assert "This was held back until now. Reason: Muted" in house.deliveries("Ops")[-1].message.text


def test_successes_that_a_mute_holds_are_not_told_later(house: House) -> None:
    mute(house, tags=["till"])
    house.tell("Night", status=Status.SUCCESS, to=("channel:Ops",))
    house.run(7_200, step=60)
    assert house.titles() == []
    assert house.statuses() == {"held": 1}


def test_quiet_hours_and_maintenance_hold_what_jobs_tell(house: House) -> None:
    hours = {"zone": "UTC", "days": ["mon"], "begin": "11:00", "end": "13:00"}
    house.database["channels"].update_one({"name": "Ops"}, {"$set": {"quiet": hours}})
    house.tell("a", "b", to=("channel:Ops", "channel:Team"))
    assert (house.titles("Ops"), house.titles("Team")) == ([], ["a failed", "b failed"])
    house.run(3_500, step=60)
    assert house.titles("Ops") == []
    house.run(200, step=60)
    assert house.titles("Ops") in (["a failed, and 1 more alert"], ["b failed, and 1 more alert"])
    house.database["channels"].update_one({"name": "Ops"}, {"$unset": {"quiet": ""}})
    house.services.maintenance.begin(house.actor, {"reason": "Moving house"})
    house.tell("c", to=("channel:Ops",))
    house.run(600, step=60)
    assert len(house.titles("Ops")) == 1
    house.services.maintenance.end(house.actor)
    house.run(600, step=60)
    assert house.titles("Ops")[1:] == ["c failed"]


@pytest.mark.parametrize("number", range(7))
def test_a_node_that_is_killed_at_any_write_loses_and_doubles_nothing(house: House, number: int) -> None:
    made = house.ends(["a"], to=("channel:Ops",))
    with killed_at_write(number):
        try:
            house.notifier.notify(made[0])
        except Killed:
            killed = True
        else:
            killed = False
    assert killed or number > 4
    house.quieting.tick()
    house.notifier.notify(made[0])  # the outbox carries it out again
    house.run(400, step=10)
    assert house.titles() == ["a failed"]
    assert house.statuses() == {"sent": 1}
    assert house.stores.announcement_batches.open() == []

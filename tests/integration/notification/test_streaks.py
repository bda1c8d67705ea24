"""From the ends of runs to messages, through the whole house: a job that fails 100 times, one that alternates, and one whose retry helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services, owing
from app.factory.alert_upkeep import build_alert_upkeep
from app.factory.handlers import carriers
from app.factory.quiet import build_quieting
from app.factory.stores import Stores
from app.jobs.model import Job, RetryOn
from app.notification.delivery import Delivery, DeliveryFilter
from app.notification.incidents.incident import IncidentFilter, IncidentState
from app.notification.message import MessageKind
from app.queue.model import AttemptError, Outcome, Status, Trigger
from app.services import Services
from tests.builders.announcements import NOW
from tests.builders.queue import Queue, new_execution

LEASE = timedelta(seconds=30)
SUCCESS = Outcome(status=Status.SUCCESS)
FAILURE = Outcome(status=Status.FAILED, error=AttemptError(type="Boom", message="it broke", kind=RetryOn.ERROR))


class House:
    """An installation whose follow-ups, rules and planner of messages run as on a node."""

    def __init__(self, store: Store, settings: Settings, services: Services, actor: Actor) -> None:
        self.clock, self.actor, self.queue = ManualClock(NOW), actor, Queue(store.database)
        self.services = build_services(settings, store, clock=self.clock, catalogue=services.catalogue)
        self.stores = Stores.over(store.database, owing(settings))
        handlers = carriers(settings, self.stores, self.services, None)
        self.carriers = [item for item in handlers if item.name in {"notify", "alert"}]
        self.upkeep = build_alert_upkeep(self.stores, self.services)
        self.quieting = build_quieting(settings, self.stores, self.services)

    def rule(self, **fields: Any) -> None:
        body = {"name": "Failures", "condition": {"type": "failed"}, "to": ["ops@example.com"], **fields}
        self.services.alert_rules.create(self.actor, body)
        self.upkeep.tick()

    def job(self, **fields: Any) -> Job:
        return self.services.jobs.create(self.actor, {"name": "Night", "template_type": "noop", **fields})[0]

    def run(self, job: Job, *outcomes: tuple[Outcome, float | None]) -> None:
        """Runs a job: each attempt has an outcome, and the delay of the next one."""
        self.queue.queue.add([new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE)])
        for outcome, delay in outcomes:
            (attempt,) = self.queue.claim_due(owner="w", now=self.clock.now(), lease=LEASE, limit=1)
            assert self.queue.finish([(attempt, outcome, delay)], now=self.clock.now(), owner="w") == set()
            self.wait(delay or 1)

    def wait(self, seconds: float, *, step: float = 60) -> None:
        """Lets time pass on a node."""
        left = seconds
        while left > 0:
            self.clock.advance(min(step, left))
            left -= step
            for part in (*self.carriers, self.upkeep, self.quieting):
                part.tick()

    def play(self, job: Job, outcomes: Iterable[Outcome], *, every: float) -> None:
        for outcome in outcomes:
            self.run(job, (outcome, None))
            self.wait(every - 1)
        self.wait(600)

    def messages(self) -> list[Delivery]:
        found = self.stores.notification_deliveries.page(DeliveryFilter(), limit=1_000)
        return sorted(found, key=lambda delivery: (delivery.created_at, delivery.id))

    def kinds(self) -> list[MessageKind]:
        return [delivery.message.kind for delivery in self.messages()]


@pytest.fixture
def house(store: Store, settings: Settings, services: Services, super_admin: Actor) -> House:
    return House(store, settings, services, super_admin)


def test_100_failures_in_a_row_are_one_incident_with_reminders_by_policy_and_one_recovery(house: House) -> None:
    house.rule(remind={"every_seconds": 1_800, "most": 3})
    house.play(house.job(), [FAILURE] * 100 + [SUCCESS], every=60)
    (incident,) = house.stores.incidents.page(IncidentFilter(), groups=None, limit=5)
    assert (incident.state, incident.count) == (IncidentState.RESOLVED, 100)
    assert Counter(house.kinds()) == {MessageKind.FIRING: 1, MessageKind.REMINDER: 3, MessageKind.RECOVERY: 1}
    assert (house.kinds()[0], house.kinds()[-1]) == (MessageKind.FIRING, MessageKind.RECOVERY)
    reminders = [delivery.created_at for delivery in house.messages() if delivery.message.kind is MessageKind.REMINDER]
    assert all(later - earlier >= timedelta(minutes=30) for earlier, later in pairwise(reminders))


def test_100_alternating_outcomes_are_at_most_3_messages_while_they_alternate(house: House) -> None:
    house.rule()
    job = house.job()
    for _ in range(50):
        house.run(job, (FAILURE, None))
        house.wait(59)
        house.run(job, (SUCCESS, None))
        house.wait(59)
    assert 1 <= len(house.messages()) <= 3, [delivery.message.title for delivery in house.messages()]


def test_a_job_with_3_attempts_that_fails_twice_and_then_succeeds_tells_nobody(house: House) -> None:
    house.rule()
    job = house.job(
        retry_policy={"max_retries": 2, "retry_delay_seconds": 30, "backoff": "fixed"}, notifications={"on_failure": ["ada@example.com"]}
    )
    house.run(job, (FAILURE, 30.0), (FAILURE, 30.0), (SUCCESS, None))
    house.wait(600)
    assert house.messages() == []
    assert house.stores.incidents.page(IncidentFilter(), groups=None, limit=5) == []
    house.run(job, (FAILURE, 30.0), (FAILURE, 30.0), (FAILURE, None))
    house.wait(600)
    assert sorted(delivery.recipients for delivery in house.messages()) == [("ada@example.com",), ("ops@example.com",)]
    assert len(house.stores.incidents.page(IncidentFilter(), groups=None, limit=5)) == 1

"""Rules by time, on jobs and executions of a real registry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store
from app.factory.alert_upkeep import build_alert_upkeep
from app.jobs.model import Job
from app.mongo import Document
from app.notification.incidents.incident import IncidentFilter
from app.queue.model import Status, Trigger
from app.services import Services
from tests.builders.queue import new_execution
from tests.integration.notification.test_alerts import House

HOURLY = {"type": "interval", "interval_seconds": 3600}


class Watched(House):
    """A registry whose upkeep is done by hand; each step looks at all jobs."""

    def tick(self, seconds: float = 0) -> list[str]:
        """Lets time pass, and returns what was told in all."""
        self.clock.advance(seconds)
        self.upkeep._overdue._next_scan = float("-inf")
        self.upkeep.tick()
        return self.told()

    def write(self, job: Job, **fields: Any) -> str:
        """Writes an execution with these stored fields."""
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE)
        document: Document = {**made.as_document(), **fields}
        self.database["job_executions"].insert_one(document)
        return made.id

    def change(self, execution_id: str, **fields: Any) -> None:
        self.database["job_executions"].update_one({"_id": execution_id}, {"$set": fields})

    def end_of(self, execution_id: str, status: Status = Status.SUCCESS, **fields: Any) -> None:
        """Ends an execution, and applies the rules to it."""
        self.change(execution_id, status=status.value, completed_at=self.clock.now(), **fields)
        self.database["job_executions"].update_one({"_id": execution_id}, {"$unset": {"live": ""}})
        execution = self.stores.queue.get(execution_id)
        assert execution is not None
        self.another_node().carry_out(execution)

    def why(self) -> list[str]:
        return [delivery.message.text for delivery in self.deliveries()]


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> Watched:
    return Watched(store, services, settings, super_admin, clock)


def test_a_run_that_waits_is_late_until_it_starts(house: Watched) -> None:
    house.rule(condition={"type": "late", "grace_seconds": 300})
    job = house.job()
    due = house.clock.now()
    run = house.write(job, scheduled_for=due)
    assert house.tick(299) == []
    assert house.tick(1) == ["firing"]
    assert house.tick(600) == ["firing"]
    house.change(run, status=Status.RUNNING.value, started_at=house.clock.now())
    assert house.tick(1) == ["firing", "recovery"]
    house.end_of(run)
    assert house.tick(1) == ["firing", "recovery"], "its end says again that it was late"
    assert f"{due:%H:%M:%S} UTC has not started" in house.why()[0]


def test_a_due_time_that_nobody_has_planned_is_late_unless_the_job_must_not_run(house: Watched) -> None:
    house.rule(condition={"type": "late", "grace_seconds": 60})
    jobs = house.database["dynamic_jobs"]
    late, paused, off = (house.job(name, schedule=HOURLY) for name in ("Late", "Paused", "Off"))
    house.services.pausing.pause(house.actor, paused.id, {"reason": "holidays"})
    jobs.update_one({"_id": off.id}, {"$set": {"enabled": False}})
    jobs.update_many({}, {"$set": {"next_run_at": house.clock.now()}})
    assert house.tick(59) == []
    assert house.tick(1) == ["firing"]
    assert {incident.subject.name for incident in house.stores.incidents.page(IncidentFilter(), groups=None, limit=9)} == {"Late"}
    jobs.update_one({"_id": late.id}, {"$set": {"next_run_at": house.clock.now() + timedelta(hours=1)}})
    assert house.tick(1) == ["firing", "recovery"]


def test_a_due_time_in_a_blackout_is_not_late(house: Watched) -> None:
    house.rule(condition={"type": "late", "grace_seconds": 60})
    today = house.clock.now().date().isoformat()
    house.services.calendars.create(house.actor, "Off", {"timezone": "UTC", "dates": [{"from": today}]})
    house.job(schedule={**HOURLY, "calendars": ["Off"]})
    house.database["dynamic_jobs"].update_many({}, {"$set": {"next_run_at": house.clock.now()}})
    assert house.tick(3600) == []


def test_what_was_late_while_no_node_looked_is_told_with_its_end(house: Watched) -> None:
    house.rule(condition={"type": "late", "grace_seconds": 300})
    job, due = house.job(), house.clock.now()
    run = house.write(job, scheduled_for=due)
    house.clock.advance(3600)
    house.end_of(run, started_at=due + timedelta(minutes=20))
    assert house.told() == ["firing", "recovery"]
    in_time = house.write(job, scheduled_for=house.clock.now())
    house.clock.advance(7200)
    house.end_of(in_time, started_at=house.clock.now() - timedelta(seconds=7190))
    skipped = house.write(job, scheduled_for=house.clock.now() - timedelta(minutes=150))
    house.end_of(skipped, Status.SKIPPED)
    assert house.tick(1) == ["firing", "recovery"]
    missed = house.write(job, scheduled_for=house.clock.now() - timedelta(hours=1))
    house.end_of(missed, Status.MISSED)
    assert house.told() == ["firing", "recovery"] * 2


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ({"type": "queued_long", "over_seconds": 600}, {}),
        ({"type": "running_long", "over_seconds": 600}, {"status": "running"}),
        ({"type": "running_longer_than_usual"}, {"status": "running"}),
    ],
)
def test_a_run_that_takes_too_long_is_told_while_it_does(house: Watched, condition: dict[str, Any], fields: dict[str, Any]) -> None:
    house.rule(condition=condition)
    job, start = house.job(), house.clock.now()
    for number in range(20):
        past = new_execution(job, now=start - timedelta(hours=1), status=Status.SUCCESS, execution_id=f"past {number}")
        house.stores.queue.add([past])
        house.change(past.id, duration_seconds=480.0, started_at=start - timedelta(hours=2))
    run = house.write(job, **fields, **({"started_at": start} if fields else {}))
    assert house.tick(599) == []
    assert house.tick(2) == ["firing"]
    house.clock.advance(60)
    house.end_of(run, started_at=start if fields else house.clock.now())
    assert house.tick(1) == ["firing", "recovery"]


def test_a_job_that_never_ran_and_one_that_paused_itself(house: Watched) -> None:
    house.rule(name="Never", condition={"type": "never_ran", "after_seconds": 3600})
    house.rule(name="Paused", condition={"type": "paused_by_itself"})
    job, other = house.job(), house.job("Other", schedule=HOURLY)
    house.database["dynamic_jobs"].update_one({"_id": other.id}, {"$set": {"last_run_at": house.clock.now()}})
    assert house.tick(3599) == []
    assert house.tick(1) == ["firing"]
    house.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"last_run_at": house.clock.now()}})
    house.services.pausing.pause(house.actor, other.id, {"reason": "by a person"})
    assert house.tick(60) == ["firing", "recovery"]
    house.services.pausing.resume(house.actor, other.id)
    house.clock.advance(1)
    house.services.pausing.pause(SYSTEM, other.id, {"reason": "3 runs failed in a row"})
    assert house.tick(60) == ["firing", "recovery", "firing"]
    house.services.pausing.resume(house.actor, other.id)
    assert house.tick(60)[-1] == "recovery"


def test_a_deadline_is_one_message_and_is_over_with_the_next_success(house: Watched) -> None:
    house.rule(condition={"type": "deadline", "at": "06:00", "timezone": "Europe/Berlin"})
    job, begin = house.job(), house.clock.now()

    def until(day: int, hour: int) -> float:
        """Seconds until an hour of UTC, so many days after the beginning."""
        at = datetime.combine(begin.date() + timedelta(days=day), begin.timetz()).replace(hour=hour, minute=0, second=1, microsecond=0)
        return (at - house.clock.now()).total_seconds()

    assert house.tick(until(1, 12)) == [], "the job was made in the course of that day"
    assert house.tick(until(2, 12)) == ["firing"]
    assert house.tick(60) == ["firing"]
    house.end_of(house.write(job))
    assert house.told() == ["firing", "recovery"]
    assert house.tick(until(3, 12)) == ["firing", "recovery"]
    assert house.tick(until(4, 12)) == ["firing", "recovery", "firing"]
    assert house.tick(until(5, 12)) == ["firing", "recovery", "firing"], "it is the same incident"


def test_two_nodes_and_a_restart_tell_once(house: Watched) -> None:
    house.rule(condition={"type": "late", "grace_seconds": 300})
    house.write(house.job(), scheduled_for=house.clock.now())
    house.tick(400)
    again = Watched.__new__(Watched)
    again.__dict__.update(house.__dict__)
    again.upkeep = build_alert_upkeep(house.stores, house.services, house.announcer)
    assert again.tick(1) == house.tick(1) == ["firing"]

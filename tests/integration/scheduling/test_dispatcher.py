"""Due times become executions: exactly one each, whoever is killed at whichever line (design.md 5: 1 and 2)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import create_autospec

import pytest
from pymongo.errors import AutoReconnect, InvalidOperation

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict
from app.executors.base import Executor
from app.factory import Store, build_node
from app.node.listening import Arrivals
from app.scheduling.dispatcher import Dispatcher
from app.services import Services
from tests.builders.queue import Queue
from tests.builders.scheduling import at_work, dispatcher, every_second, records
from tests.conftest import START
from tests.support import eventually, seconds_of


class Killed(BaseException):
    """What a kill -9 looks like from inside: nothing after it runs."""


def test_a_due_time_is_dispatched_once_and_the_next_one_waits(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin)
    engine = dispatcher(store, services, clock)
    assert engine.tick() == 0
    clock.advance(1)
    assert [engine.tick(), engine.tick(), engine.tick()] == [1, 0, 0]
    clock.advance(1)
    assert engine.tick() == 1
    assert [row["scheduled_for"] for row in records(store, job)] == [START + timedelta(seconds=n) for n in (1, 2)]


@pytest.mark.parametrize("line", range(6))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_scheduler_killed_at_any_store_call_loses_and_doubles_nothing(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, line: int, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first scheduler dies before or after its n-th call to a store; a second one goes on a little later."""
    job = every_second(services, super_admin)
    clock.advance(3)
    calls = itertools.count()

    def deadly(method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            number = next(calls)
            if number == line and moment == "before":
                raise Killed
            result = method(*args, **kwargs)
            if number == line:
                raise Killed
            return result

        return call

    first = dispatcher(store, services, clock)
    with monkeypatch.context() as patch:
        for owner, name in (
            (first._jobs, "find_due"),
            (first._queue, "live_counts"),
            (first._jobs, "advance"),
            (first._queue, "add_planned"),
        ):
            patch.setattr(owner, name, deadly(getattr(owner, name)))
        try:
            for _ in range(3):
                first.tick()
                clock.advance(1)
        except Killed:
            pass
    second = dispatcher(store, services, clock)
    for _ in range(6):
        clock.advance(1)
        second.recover()
        second.tick()
    expected = [START + timedelta(seconds=n) for n in range(1, int((clock.now() - START).total_seconds()) + 1)]
    assert seconds_of(records(store, job)) == expected


def test_eight_schedulers_at_once_write_each_due_time_once(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    jobs = [every_second(services, super_admin, name=f"j{n}") for n in range(10)]
    stop = threading.Event()

    def run() -> None:
        engine = dispatcher(store, services, clock)
        while not stop.is_set():
            engine.tick()
            engine.recover()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        clock.advance(1)
        threading.Event().wait(0.15)
    stop.set()
    for thread in threads:
        thread.join()
    last = dispatcher(store, services, clock)
    clock.advance(4)
    for _ in range(3):
        last.recover()
        last.tick()
    for job in jobs:
        assert seconds_of(records(store, job)) == [START + timedelta(seconds=n) for n in range(1, 17)]


@pytest.mark.parametrize(("policy", "queued", "missed"), [("skip", 0, 3600), ("once", 1, 3599), ("all", 5, 3595)])
def test_an_outage_is_summarised_not_listed(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, policy: str, queued: int, missed: int
) -> None:
    job = every_second(services, super_admin, misfire={"policy": policy, "grace_seconds": 1, "max_catch_up": 5}, overlap="queue")
    clock.advance(3600)
    clock.advance(1.5)  # the newest due time is half a second late: in time
    dispatcher(store, services, clock).tick()
    rows = records(store, job)
    in_time = [row for row in rows if row["scheduled_for"] >= clock.now() - timedelta(seconds=1)]
    assert len(in_time) == 1
    late = [row for row in rows if row["status"] == "queued" and row not in in_time]
    summary = [row for row in rows if row["status"] == "missed"]
    assert len(late) == (0 if policy == "once" else queued)
    assert [row["due_times"]["count"] for row in summary] == [missed + (1 if policy == "once" else 0)]
    assert summary[0]["reason"] == "misfire"
    assert seconds_of(rows) == [START + timedelta(seconds=n) for n in range(1, 3602)]


def test_a_due_time_of_a_running_job_is_skipped_with_the_reason(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin)
    engine = dispatcher(store, services, clock)
    for _ in range(3):
        clock.advance(1)
        engine.tick()
    assert [(row["status"], row["reason"]) for row in records(store, job)] == [("queued", None), *[("skipped", "overlap")] * 2]


def test_replace_stops_the_old_run(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    job = every_second(services, super_admin, overlap="replace")
    engine, executions = dispatcher(store, services, clock), Queue(store.database)
    clock.advance(1)
    engine.tick()
    executions.claim_due(owner="w", now=clock.now(), lease=timedelta(seconds=30), limit=5)
    clock.advance(1)
    engine.tick()
    old, new = records(store, job)
    assert (old["status"], old["cancel"]["reason"], new["status"]) == ("running", "replaced", "queued")


def test_an_edit_never_fires_and_a_switched_off_job_is_never_due(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin)
    engine = dispatcher(store, services, clock)
    services.jobs.set_enabled(super_admin, job.id, enabled=False)
    clock.advance(100)
    assert engine.tick() == 0
    services.jobs.set_enabled(super_admin, job.id, enabled=True)
    services.jobs.update(super_admin, job.id, {"schedule": {"type": "cron", "expression": "0 13 * * *"}})
    assert engine.tick() == 0
    clock.advance(3600 - 100)
    assert engine.tick() == 1
    assert [row["scheduled_for"] for row in records(store, job)] == [START.replace(hour=13)]


def test_a_plan_made_before_an_edit_is_not_carried_out(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = every_second(services, super_admin)
    clock.advance(1)
    engine = dispatcher(store, services, clock)
    advance = engine._jobs.advance

    def edited_meanwhile(*args: Any, **kwargs: Any) -> Any:
        services.jobs.update(super_admin, job.id, {"schedule": {"type": "manual"}})
        return advance(*args, **kwargs)

    monkeypatch.setattr(engine._jobs, "advance", edited_meanwhile)
    assert engine.tick() == 0
    assert records(store, job) == []


def test_one_broken_schedule_does_not_stop_the_others(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    good, bad = every_second(services, super_admin, name="good"), every_second(services, super_admin, name="bad")
    store.database["dynamic_jobs"].update_one({"_id": bad.id}, {"$set": {"schedule.expression": "not cron"}})
    clock.advance(1)
    engine = dispatcher(store, services, clock)
    assert engine.tick() == 1
    assert len(records(store, good)) == 1
    found = services.jobs.get(super_admin, bad.id)
    assert "CronError" in (found.schedule_error or "")
    services.jobs.update(super_admin, bad.id, {"schedule": {"type": "cron", "expression": "* * * * * *"}})
    clock.advance(1)
    engine.tick()
    assert len(records(store, bad)) == 1


def test_a_database_that_is_away_for_one_call_delays_and_nothing_else(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = every_second(services, super_admin)
    clock.advance(1)
    engine = dispatcher(store, services, clock)
    with monkeypatch.context() as patch:
        patch.setattr(engine._queue, "add_planned", lambda documents: (_ for _ in ()).throw(AutoReconnect("away")))
        with pytest.raises(AutoReconnect):
            engine.tick()
    assert records(store, job) == []
    clock.advance(4)
    assert engine.recover() == 1
    engine.tick()
    assert seconds_of(records(store, job)) == [START + timedelta(seconds=n) for n in range(1, 6)]


def test_intervals_keep_their_phase(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    body = {"name": "i", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 90}}
    job = services.jobs.create(super_admin, body)[0]
    engine = dispatcher(store, services, clock)
    for _ in range(8):
        clock.advance(37)
        engine.tick()
    assert [row["scheduled_for"] for row in records(store, job)] == [START + timedelta(seconds=90 * n) for n in (1, 2, 3)]


def test_a_one_time_job_runs_once(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    body = {"name": "o", "template_type": "noop", "schedule": {"type": "once", "run_at": "2026-03-02T13:00:00+01:30"}}
    with pytest.raises(Exception, match="must be in the future"):
        services.jobs.create(super_admin, body)
    body["schedule"]["run_at"] = "2026-03-02T14:00:00+01:00"
    job = services.jobs.create(super_admin, body)[0]
    engine = dispatcher(store, services, clock)
    clock.advance(7200)
    engine.tick()
    engine.tick()
    assert [row["scheduled_for"] for row in records(store, job)] == [START + timedelta(hours=1)]
    assert services.jobs.get(super_admin, job.id).next_run_at is None


ENDINGS = {
    "disabled": lambda services, actor, job: services.jobs.set_enabled(actor, job.id, enabled=False),
    "rescheduled": lambda services, actor, job: services.jobs.update(
        actor, job.id, {"schedule": {"type": "cron", "expression": "0 3 * * *"}}
    ),
    "job_gone": lambda services, actor, job: services.jobs.delete(actor, job.id),
}


@pytest.mark.parametrize("reason", ENDINGS)
def test_due_times_that_nobody_planned_end_in_the_record_when_the_schedule_holds_no_more(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, reason: str
) -> None:
    job = every_second(services, super_admin, misfire={"policy": "once", "grace_seconds": 10, "max_catch_up": 5})
    engine = dispatcher(store, services, clock)
    clock.advance(2)
    assert engine.tick() == 2  # its outbox is full still: it is emptied with the next tick
    clock.advance(60)
    ENDINGS[reason](services, super_admin, job)
    for _ in range(2):
        engine.tick()
        engine.recover()
    rows = records(store, job)
    assert seconds_of(rows) == [START + timedelta(seconds=n) for n in range(1, 63)]
    late, in_time = rows[2:]
    assert (late["status"], late["reason"], late["due_times"]["count"]) == ("missed", "misfire", 49)
    assert (in_time["status"], in_time["reason"], in_time["due_times"]["count"]) == ("skipped", reason, 11)
    assert in_time["due_times"]["last"] == clock.now()
    assert store.database["dynamic_jobs"].find_one({"_id": job.id}).get("dispatch") is None


def test_an_ending_before_the_first_due_time_leaves_nothing(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin, schedule={"type": "interval", "interval_seconds": 60})
    clock.advance(59)
    ENDINGS["disabled"](services, super_admin, job)
    clock.advance(600)
    ENDINGS["job_gone"](services, super_admin, job)
    dispatcher(store, services, clock).recover()
    assert records(store, job) == []


def test_a_switch_that_races_with_dispatchers_loses_and_doubles_nothing(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    """People switch jobs off and on while three schedulers are at work; every due time of an enabled job is in the record once."""
    job = every_second(services, super_admin, misfire={"policy": "skip", "grace_seconds": 3600})
    with at_work(3, store, services, clock):
        owed = []
        for n in range(60):
            clock.advance(1)
            owed.append(clock.now())
            if n % 3 == 2:
                services.jobs.set_enabled(super_admin, job.id, enabled=False)
                clock.advance(5)  # due times of a job that is off are owed to nobody
                services.jobs.set_enabled(super_admin, job.id, enabled=True)
    last = dispatcher(store, services, clock)
    clock.advance(4)
    services.jobs.delete(super_admin, job.id)
    for _ in range(2):
        last.recover()
        last.tick()
    assert seconds_of(records(store, job)) == [*owed, *(owed[-1] + timedelta(seconds=5 + n) for n in range(1, 5))]


def test_jobs_that_are_due_together_start_apart_and_each_keeps_its_distance(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    schedule = {"type": "cron", "expression": "* * * * *", "jitter_seconds": 40}
    jobs = [every_second(services, super_admin, name=f"j{n}", schedule=schedule, overlap="skip") for n in range(20)]
    engine = dispatcher(store, services, clock)
    for _ in range(3):
        clock.advance(60)
        engine.tick()
    offsets = []
    for job in jobs:
        rows = records(store, job)
        assert [row["scheduled_for"] for row in rows] == [START + timedelta(minutes=n) for n in (1, 2, 3)]
        assert {row["status"] for row in rows} == {"queued"}, "what runs when it starts decides, not what waits now"
        (offset,) = {row["available_at"] - row["scheduled_for"] for row in rows}
        offsets.append(offset.total_seconds())
    assert 0 <= min(offsets) < 15
    assert 25 < max(offsets) <= 40
    assert len(set(offsets)) == 20


def test_a_pause_lets_due_times_go_by_and_ends_in_one_record(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin, misfire={"policy": "all", "grace_seconds": 600, "max_catch_up": 9})
    engine = dispatcher(store, services, clock)
    clock.advance(2)
    engine.tick()
    until = clock.now() + timedelta(minutes=5)
    paused = services.pausing.pause(super_admin, job.id, {"reason": "moving house", "until": until.isoformat()})
    assert (paused.paused.reason, paused.paused.until, paused.version) == ("moving house", until, 2)
    for _ in range(4):
        clock.advance(70)
        assert engine.tick() == 0
    clock.advance(21)
    assert engine.tick() == 3, "the record of the pause, and the first two runs after it"
    rows = records(store, job)
    assert seconds_of(rows) == [START + timedelta(seconds=n) for n in range(1, 304)]
    (skipped,) = [row for row in rows if row["status"] == "skipped" and row["reason"] == "paused"]
    assert skipped["due_times"] == {"first": START + timedelta(seconds=3), "last": until - timedelta(seconds=1), "count": 299}
    assert services.jobs.get(super_admin, job.id).paused is None
    actions = [event["action"] for event in services.audit.history(AuditFilter(kind="job", target_id=job.id), limit=9)]
    assert "job.pause" in actions


def test_a_pause_without_end_waits_for_someone_and_an_interval_keeps_its_phase(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin, schedule={"type": "interval", "interval_seconds": 60})
    engine = dispatcher(store, services, clock)
    clock.advance(61)
    engine.tick()
    services.pausing.pause(super_admin, job.id, {"reason": "x"})
    clock.advance(3 * 86_400 + 29)
    assert engine.tick() == 0
    assert services.jobs.get(super_admin, job.id).next_run_at is None
    resumed = services.pausing.resume(super_admin, job.id)
    assert (resumed.paused, resumed.next_run_at) == (None, START + timedelta(seconds=3 * 86_400 + 120))
    assert services.pausing.resume(super_admin, job.id).version == resumed.version
    engine.recover()
    first, skipped = records(store, job)
    assert (first["status"], skipped["reason"], skipped["due_times"]["count"]) == ("queued", "paused", 3 * 1440)


@pytest.mark.parametrize("ending", ["disabled", "job_gone"])
def test_a_paused_job_that_is_switched_off_or_deleted_leaves_its_record(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock, ending: str
) -> None:
    job = every_second(services, super_admin)
    services.pausing.pause(super_admin, job.id, {"reason": "x", "until": (clock.now() + timedelta(seconds=30)).isoformat()})
    clock.advance(40)  # over, and no scheduler has noticed
    ENDINGS[ending](services, super_admin, job)
    dispatcher(store, services, clock).recover()
    rows = records(store, job)
    assert [(row["reason"], row["due_times"]["count"]) for row in rows] == [("paused", 29), (ending, 11)]
    assert seconds_of(rows) == [START + timedelta(seconds=n) for n in range(1, 41)]
    if ending == "disabled":
        assert services.jobs.get(super_admin, job.id).paused is None


def test_a_paused_job_with_another_schedule_stays_paused(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    job = every_second(services, super_admin)
    until = clock.now() + timedelta(hours=1)
    services.pausing.pause(super_admin, job.id, {"reason": "x", "until": until.isoformat()})
    clock.advance(10)
    changed = services.jobs.update(super_admin, job.id, {"schedule": {"type": "cron", "expression": "* * * * *"}})
    assert (changed.paused.until, changed.next_run_at) == (until, until)
    services.jobs.update(super_admin, job.id, {"description": "an edit of something else"})
    clock.advance(3600)
    engine = dispatcher(store, services, clock)
    engine.recover()
    engine.tick()
    rows = records(store, job)
    assert [(row["reason"], row.get("due_times", {}).get("count")) for row in rows] == [("paused", 10), ("paused", 59), (None, None)]
    assert services.jobs.get(super_admin, job.id).paused is None


def test_a_pause_that_is_longer_than_the_schedule_ends_in_the_record_too(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    once = {"type": "once", "run_at": (clock.now() + timedelta(minutes=1)).isoformat()}
    job = every_second(services, super_admin, schedule=once)
    services.pausing.pause(super_admin, job.id, {"reason": "x", "until": (clock.now() + timedelta(minutes=2)).isoformat()})
    engine = dispatcher(store, services, clock)
    clock.advance(119)
    assert engine.tick() == 0
    clock.advance(1)
    assert engine.tick() == 1
    ((reason, count),) = [(row["reason"], row["due_times"]["count"]) for row in records(store, job)]
    assert (reason, count) == ("paused", 1)
    left = services.jobs.get(super_admin, job.id)
    assert (left.paused, left.next_run_at) == (None, None)
    with pytest.raises(Conflict, match="no scheduled runs"):
        services.pausing.pause(super_admin, job.id, {"reason": "x"})


def test_pauses_that_race_with_dispatchers_lose_and_double_nothing(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    job = every_second(services, super_admin, misfire={"policy": "skip", "grace_seconds": 3600})
    with at_work(3, store, services, clock):
        for n in range(40):
            clock.advance(1)
            until = (clock.now() + timedelta(seconds=1)).isoformat() if n % 2 else None
            services.pausing.pause(super_admin, job.id, {"reason": "x", "until": until})
            clock.advance(2)
            services.pausing.resume(super_admin, job.id)
    clock.advance(4)
    last = dispatcher(store, services, clock)
    for _ in range(2):
        last.recover()
        last.tick()
    assert seconds_of(records(store, job)) == [START + timedelta(seconds=n) for n in range(1, 125)]


def test_a_node_never_dispatches_beside_itself(
    store: Store, live_services: Services, super_admin: Actor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll and the wake-up for the next due time are one tick: two would read and plan the same jobs."""
    every_second(live_services, super_admin)
    nowhere = create_autospec(Executor, instance=True)
    nowhere.capacity.return_value, nowhere.held.return_value, nowhere.release_waiting.return_value = 0, {}, []
    node = build_node(replace(settings, tick_seconds=1.0), store, live_services, nowhere)
    inside, most, inner = [0], [0], Dispatcher.tick

    def slow(self: Dispatcher, **known: Any) -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            time.sleep(0.7)
            return inner(self, **known)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(Dispatcher, "tick", slow)
    node.start()
    found = eventually(lambda: records_after_three(store))
    node.drain(0.1)
    assert most == [1]
    assert [b - a for a, b in itertools.pairwise(one["scheduled_for"] for one in found)] == [timedelta(seconds=1)] * (len(found) - 1)


def records_after_three(store: Store) -> list[dict[str, Any]]:
    rows = list(store.database["job_executions"].find().sort("scheduled_for", 1))
    return rows if len(rows) > 3 else []


@pytest.mark.parametrize("closing", [True, False])
def test_a_stream_that_ends_by_the_stop_is_no_failure(closing: bool, caplog: pytest.LogCaptureFixture) -> None:
    listening, closed = threading.Event(), threading.Event()

    def listen(stopped: Callable[[], bool]) -> Iterator[str]:
        listening.set()
        yield "one"
        closed.wait(10)
        assert stopped() == closing
        raise InvalidOperation("Cannot use MongoClient after close")

    heard: list[None] = []
    arrivals = Arrivals(listen, lambda: heard.append(None))

    def told() -> list[str]:
        said = [(record.levelname, record.getMessage()) for record in list(caplog.records) if record.name == "app.node.guard"]
        return [level for level, words in said if "tick.failed" in words and "arrivals" in words]

    arrivals.start()
    assert listening.wait(10)
    if closing:
        arrivals.close()  # the stream still waits: it goes on without us
    closed.set()
    if not closing:
        eventually(told)
    arrivals.close()  # and its thread has ended
    assert told() == ([] if closing else ["ERROR"])
    assert heard

"""Attempts that no process runs, on the real MongoDB: their leases, deadlines, cancels and reports, and runs that are put off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Job
from app.node.deferred import DeferredWatch
from app.node.finisher import Finisher
from app.node.sweeper import Sweeper
from app.queue.deferral_store import DeferralStore, Logged
from app.queue.model import Attempt, AttemptError, Deferral, Outcome, Reason, Status
from app.queue.retry import decide_retry
from app.services import Services
from app.signals import Signal
from tests.builders.engine import make_recorder
from tests.builders.owing import OWING
from tests.builders.queue import Queue, claim, enqueue, failure, make_job, new_execution, success


class House:
    """Jobs, their runs, and what ends deferred attempts."""

    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.queue, self.deferrals, self.clock = Queue(store.database), DeferralStore(store.database), clock
        self._services, self._actor, self.written = services, actor, Signal()
        self.finisher = Finisher(
            store=self.queue.claims,
            claims=self.queue.worker("web"),
            owing=OWING,
            jobs=DispatchStore(store.database),
            clock=clock,
            written=self.written,
            owed=Signal(),
        )
        self.watch = DeferredWatch(store=self.deferrals, finisher=self.finisher, clock=clock)
        self.sweeper = Sweeper(store=self.queue.claims, finisher=self.finisher, held=dict, clock=clock, lease_seconds=30)

    def job(self, **fields: Any) -> Job:
        return make_job(self._services, self._actor, **fields)

    def attempt(self, **fields: Any) -> Attempt:
        """A claimed attempt of a new job."""
        job = self.job(**fields)
        self.job_id = job.id
        enqueue(self.queue, job, self.clock)
        return claim(self.queue, self.clock)[0]

    def deferred(self, heartbeat: float = 60.0, **fields: Any) -> Attempt:
        attempt = self.attempt(**fields)
        assert self.defer(attempt, heartbeat)
        return attempt

    def defer(self, attempt: Attempt, heartbeat: float = 60.0) -> bool:
        return self.queue.claims.defer(attempt, Deferral(heartbeat_seconds=heartbeat), attempt.started_at, now=self.clock.now())

    def row(self, attempt: Attempt) -> dict[str, Any]:
        row = self.queue.document(attempt.execution_id)
        assert row is not None
        return row


@pytest.fixture
def house(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, super_admin, clock)


MANY = {"overlap": "allow", "concurrency": {"max_instances": 3}}
RETRIES = {"retry_policy": {"max_retries": 3, "retry_delay_seconds": 10, "backoff": "fixed"}}


def test_a_deferred_attempt_runs_on_in_its_slots_and_no_worker_holds_it(house: House) -> None:
    attempt = house.deferred()
    row = house.row(attempt)
    assert (row["status"], row["slots"], row["completed_at"]) == ("running", list(attempt.slots), None)
    assert row["lease"] == {"owner": "callback", "token": attempt.token, "expires_at": house.clock.now() + timedelta(seconds=60)}
    house.clock.advance(31)  # the lease that its worker had is over
    assert house.sweeper.tick() == 0
    lost = house.queue.claims.heartbeat(owner="w1", held={attempt.execution_id: attempt.token}, expires_at=house.clock.now())
    assert lost == {attempt.execution_id}
    assert house.row(attempt)["lease"]["owner"] == "callback"


def test_heartbeats_and_progress_keep_it_and_silence_loses_it(house: House) -> None:
    attempt = house.deferred(**RETRIES)
    for step in range(5):
        house.clock.advance(50)
        assert house.deferrals.renew(attempt, now=house.clock.now(), progress={"done": step, "total": 5, "note": "$x"} if step else None)
        assert house.sweeper.tick() == 0
    assert house.row(attempt)["progress"] == {"done": 4, "total": 5, "note": "$x"}
    house.clock.advance(61)
    assert house.sweeper.tick() == 1
    row = house.row(attempt)
    assert (row["status"], row["reason"], row["error"]["message"]) == (
        "retrying",
        "lost_worker",
        "The service sent no heartbeat for 60 s",
    )
    assert "callback" not in row
    assert not house.deferrals.renew(attempt, now=house.clock.now())
    assert house.deferrals.logged(attempt) is None
    assert not house.deferrals.note_logged(attempt, Logged(), Logged(lines=1))
    assert house.deferrals.extend(attempt, house.clock.now()) is None


def test_a_deadline_ends_it_and_can_be_moved(house: House) -> None:
    attempt = house.deferred(heartbeat=5_000, timeout_seconds=100, retry_policy={"max_retries": 0})
    began = attempt.started_at
    assert house.deferrals.extend(attempt, began + timedelta(seconds=50)) == began + timedelta(seconds=100)  # never earlier
    assert house.deferrals.extend(attempt, began + timedelta(seconds=300)) == began + timedelta(seconds=300)
    house.clock.advance(299)
    assert house.watch.tick() == 0
    house.clock.advance(2)
    assert house.watch.tick() == 1
    row = house.row(attempt)
    assert (row["status"], row["error"]["message"], row["error"]["kind"]) == ("timeout", "Ran longer than 300 s", "timeout")
    assert not {"callback", "lease", "slots", "live"} & row.keys()


def test_a_deferral_that_is_written_twice_takes_back_no_extension(house: House) -> None:
    attempt = house.deferred(timeout_seconds=600)
    later = attempt.started_at + timedelta(seconds=3000)
    assert house.deferrals.extend(attempt, later) == later
    house.clock.advance(10)
    assert not house.defer(attempt)  # the answer to the first write was lost
    assert house.row(attempt)["callback"]["deadline"] == later
    house.clock.advance(51)
    assert house.sweeper.tick() == 1  # nor is silence forgotten


def test_a_cancel_is_carried_out_without_a_process(house: House) -> None:
    attempt, other = house.deferred(name="a"), house.deferred(name="b", heartbeat=10)
    assert house.queue.queue.ask_cancel(attempt.execution_id, by="u", now=house.clock.now()) is not None
    house.queue.queue.replace_running([house.row(other)["job_id"]], now=house.clock.now())
    house.clock.advance(9.9)
    assert house.watch.tick() == 0
    house.clock.advance(0.2)  # the next heartbeat of the other is due
    assert house.watch.tick() == 1
    assert (house.row(other)["status"], house.row(other)["reason"]) == ("cancelled", "replaced")
    house.clock.advance(20)  # the grace
    assert house.watch.tick() == 1
    assert house.row(attempt)["status"] == "cancelled"


def test_a_cancelled_attempt_that_reports_its_end_ends_by_its_own_word(house: House) -> None:
    done, failed = house.deferred(name="a"), house.deferred(name="b", **RETRIES)
    for attempt in (done, failed):
        house.queue.queue.ask_cancel(attempt.execution_id, by="u", now=house.clock.now())
    assert not house.finisher.finish([(done, success()), (failed, failure())])
    assert (house.row(done)["status"], house.row(failed)["status"]) == ("success", "cancelled")
    house.clock.advance(100)
    assert house.watch.tick() == 0


def test_a_report_that_ended_it_before_its_process_did_stays(house: House) -> None:
    attempt = house.attempt()
    assert not house.finisher.finish([(attempt, replace(success(), report="digest"))])
    assert not house.defer(attempt)
    row = house.row(attempt)
    assert (row["status"], row["attempts"][0]["report"]) == ("success", "digest")
    reported = house.deferrals.look_up(attempt.execution_id, attempt.number, attempt.token)
    assert reported is not None
    assert (reported.holds, reported.report, reported.status) == (False, "digest", "success")


def test_an_older_attempt_holds_nothing(house: House) -> None:
    first = house.deferred(**RETRIES)
    house.finisher.finish([(first, replace(failure(), report="first"))])
    house.clock.advance(11)
    second = claim(house.queue, house.clock)[0]
    assert (second.number, second.deferral) == (2, None)
    assert not house.deferrals.renew(first, now=house.clock.now())
    assert not house.defer(first)
    before = house.row(second)
    house.finisher.finish([(first, success())])
    assert house.row(second) == before
    reported = house.deferrals.look_up(first.execution_id, 1, first.token)
    assert reported is not None
    assert (reported.holds, reported.report, reported.status) == (False, "first", "running")
    assert house.deferrals.look_up("unknown", 1, 1) is None


def test_a_heartbeat_before_the_deferral_is_written_leaves_the_lease_to_the_worker(house: House) -> None:
    attempt = house.attempt()
    lease = house.row(attempt)["lease"]
    house.clock.advance(5)
    assert house.deferrals.renew(attempt, now=house.clock.now(), progress={"done": 1, "total": None, "note": ""})
    assert (house.row(attempt)["lease"], house.row(attempt)["progress"]["done"]) == (lease, 1)
    assert house.deferrals.extend(attempt, house.clock.now()) is None


def test_reported_lines_are_counted_once(house: House) -> None:
    attempt = house.deferred()
    nothing = house.deferrals.logged(attempt)
    assert nothing == Logged(lines=0, bytes=0)
    assert house.deferrals.note_logged(attempt, nothing, Logged(lines=2, bytes=10))
    assert not house.deferrals.note_logged(attempt, nothing, Logged(lines=1, bytes=5))
    assert house.deferrals.logged(attempt) == Logged(lines=2, bytes=10)
    with ThreadPoolExecutor(8) as pool:
        counted = pool.map(
            lambda n: house.deferrals.note_logged(attempt, Logged(lines=2, bytes=10), Logged(lines=3 + n, bytes=20)), range(8)
        )
        assert sum(counted) == 1


def test_the_recorder_defers(house: House) -> None:
    attempt = house.attempt()
    recorder = make_recorder(house.queue, house.clock, owner="w1")
    recorder.start()
    deferral = Deferral(heartbeat_seconds=20)
    recorder.ended(attempt, Outcome(status=Status.RUNNING, deferral=deferral, seconds=0.5, began_at=house.clock.now()))
    assert recorder.close()
    assert recorder.unwritten() == {}
    row = house.row(attempt)
    assert (row["lease"]["owner"], row["callback"]["heartbeat_seconds"]) == ("callback", 20)


def test_a_run_that_is_put_off_has_not_been_tried(house: House) -> None:
    attempt = house.attempt(**RETRIES)
    until = house.clock.now() + timedelta(seconds=30)
    house.queue.claims.postpone(attempt, Reason.CIRCUIT_OPEN, until, now=house.clock.now())
    row = house.row(attempt)
    assert (row["status"], row["reason"], row["attempts"], row["started_at"]) == ("queued", "circuit_open", [], None)
    assert claim(house.queue, house.clock) == []
    since = house.clock.now()
    house.clock.advance(31)
    again = claim(house.queue, house.clock)[0]
    assert (again.number, again.postponed_since, again.failed_attempts) == (1, since, 1)
    assert house.row(again)["reason"] is None
    house.queue.claims.postpone(again, Reason.NO_INSTANCE, house.clock.now(), now=house.clock.now())
    third = claim(house.queue, house.clock)[0]
    assert third.postponed_since == since  # the first time counts
    house.finisher.finish([(third, failure())])
    house.clock.advance(11)
    retried = claim(house.queue, house.clock)[0]
    assert (retried.number, retried.postponed_since) == (2, None)


@pytest.mark.parametrize("reason", [Reason.CIRCUIT_OPEN, Reason.NO_INSTANCE, Reason.SERVICE_BUSY])
def test_the_other_runs_of_the_job_are_put_off_as_well_unless_there_may_be_room_at_once(house: House, reason: Reason) -> None:
    job, other = house.job(name="job", **MANY), house.job(name="other", **MANY)
    enqueue(house.queue, job, house.clock)
    attempt, now = claim(house.queue, house.clock)[0], house.clock.now()
    runs = [new_execution(job, now=now) for _ in range(3)]
    later = new_execution(job, now=now, available_at=now + timedelta(minutes=5))
    foreign = new_execution(other, now=now)
    house.queue.queue.add([*runs, later, foreign])
    until = now + timedelta(seconds=30)
    house.queue.claims.postpone(attempt, reason, until, now=now)
    waits = {row["_id"]: (row["available_at"], row["reason"]) for row in house.queue.database["job_executions"].find({"attempts": []})}
    as_well = reason is not Reason.SERVICE_BUSY
    assert {waits[run.id] for run in runs} == {(until, reason.value) if as_well else (now, None)}
    assert (waits[later.id], waits[foreign.id]) == ((later.available_at, None), (now, None))
    house.clock.advance(31)
    taken = house.queue.worker().claim_due(now=house.clock.now(), limit=10)
    assert {item.execution_id for item in taken} & {run.id for run in runs}
    assert {house.row(item)["reason"] for item in taken} == {None}  # they wait no longer


def test_putting_runs_off_reads_neither_ended_runs_nor_those_of_other_jobs(house: House) -> None:
    job, other, now = house.job(name="job", **MANY), house.job(name="other", **MANY), house.clock.now()
    database = house.queue.database
    enqueue(house.queue, job, house.clock)
    attempt = claim(house.queue, house.clock)[0]
    house.queue.queue.add([new_execution(job, now=now) for _ in range(200)])
    house.queue.queue.drop_queued(job.id, now=now)
    house.queue.queue.add([new_execution(other, now=now) for _ in range(200)])
    house.queue.queue.add([new_execution(job, now=now)])
    database.command("profile", 2)
    try:
        house.queue.claims.postpone(attempt, Reason.NO_INSTANCE, now + timedelta(seconds=5), now=now)
        updates = list(database["system.profile"].find({"op": "update", "ns": f"{database.name}.job_executions"}))
    finally:
        database.command("profile", 0)
        database.drop_collection("system.profile")
    assert len(updates) == 2
    assert max(update["docsExamined"] for update in updates) <= 5


def test_the_runs_of_jobs_that_are_to_wait_are_left_in_the_queue(house: House) -> None:
    jobs = [house.job(name=name, **MANY) for name in ("slow", "quick")]
    house.queue.queue.add([new_execution(job, now=house.clock.now()) for job in jobs for _ in range(3)])
    worker = house.queue.worker()
    taken = worker.claim_due(now=house.clock.now(), limit=2, without=[jobs[0].id])
    assert [attempt.job_id for attempt in taken] == [jobs[1].id] * 2
    assert [attempt.job_id for attempt in worker.claim_due(now=house.clock.now(), limit=3)] == [jobs[0].id] * 3


@pytest.mark.parametrize(("asked", "expected"), [(None, 10.0), (5.0, 10.0), (120.0, 120.0)])
def test_a_retry_waits_as_long_as_the_server_asked(house: House, asked: float | None, expected: float) -> None:
    attempt = house.attempt(**RETRIES)
    error = AttemptError(type="E", message="m", retry_after_seconds=asked)
    assert decide_retry(attempt.retry_policy, 1, error).delay_seconds == expected
    house.finisher.finish([(attempt, Outcome(status=Status.FAILED, error=error))])
    row = house.row(attempt)
    assert row["available_at"] == house.clock.now() + timedelta(seconds=expected)
    assert row["error"].get("retry_after_seconds") == asked

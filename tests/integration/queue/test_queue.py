"""Claims, leases, places and ends on the real MongoDB (design.md 5: 3, 4 and 10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from app.audit.model import Actor
from app.clock import ManualClock
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore, chunk_id
from app.factory import Store
from app.jobs.model import RetryOn
from app.queue.model import Attempt, Reason, Trigger
from app.queue.retry import LEAST_DELAY_SECONDS
from app.queue.slots import RunBounds
from app.services import Services
from tests.builders.queue import LEASE, Queue, claim, enqueue, failure, make_job, new_execution, success


@pytest.fixture
def executions(store: Store) -> Queue:
    return Queue(store.database)


def test_forty_workers_share_a_queue_without_sharing_a_run(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    jobs = [make_job(services, super_admin, name=f"j{n}", overlap="allow", concurrency={"max_instances": 3}) for n in range(20)]
    for job in jobs:
        enqueue(executions, job, clock, 3)
    barrier = threading.Barrier(40)

    def work(number: int) -> list[Attempt]:
        barrier.wait()
        return [a for _ in range(4) for a in claim(executions, clock, owner=f"w{number}", limit=5)]

    with ThreadPoolExecutor(40) as pool:
        won = [attempt for attempts in pool.map(work, range(40)) for attempt in attempts]
    ids = [attempt.execution_id for attempt in won]
    assert len(ids) == len(set(ids))
    clock.advance(1)  # those that lost a race for a place wait half a second
    ids += [attempt.execution_id for attempt in claim(executions, clock, limit=100)]
    assert len(ids) == len(set(ids)) == 60


def test_a_job_never_runs_more_often_at_once_than_it_may(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    job = make_job(services, super_admin, overlap="queue", concurrency={"max_instances": 2})
    enqueue(executions, job, clock, 12)
    barrier, seen = threading.Barrier(8), []

    def work(number: int) -> None:
        barrier.wait()
        for _ in range(30):
            for attempt in claim(executions, clock, owner=f"w{number}", limit=3):
                running = store.database["job_executions"].count_documents({"status": "running"})
                seen.append((attempt.execution_id, running))
                executions.finish([(attempt, success(), None)], now=clock.now())
            clock.advance(0.3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted({key for key, _ in seen}) == sorted(row["_id"] for row in store.database["job_executions"].find())
    assert len(seen) == 12
    assert max(running for _, running in seen) <= 2


def test_priority_goes_first_then_age(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    order = []
    for name, priority in (("old low", 1), ("old high", 9), ("new high", 9)):
        order += [(name, enqueue(executions, make_job(services, super_admin, name=name, priority=priority), clock)[0])]
        clock.advance(1)
    got = [claim(executions, clock, limit=1)[0].execution_id for _ in range(3)]
    assert got == [dict(order)[name] for name in ("old high", "new high", "old low")]


def test_no_run_waits_for_ever_behind_those_of_a_higher_priority(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    """One place that runs of priority 10 could fill for ever: one of priority 1 has its turn after nine minutes."""
    (low,) = enqueue(executions, make_job(services, super_admin, name="low", priority=1), clock)
    high = make_job(services, super_admin, name="high", priority=10, overlap="allow", concurrency={"max_instances": 3})
    waited = 0
    while True:
        enqueue(executions, high, clock)
        (attempt,) = claim(executions, clock, limit=1)
        executions.finish([(attempt, success(), None)], now=clock.now())
        if attempt.execution_id == low:
            break
        clock.advance(11)
        waited += 11
    assert waited == 550


def test_a_run_waits_until_its_time_and_keeps_its_rank(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = make_job(services, super_admin, overlap="allow", concurrency={"max_instances": 3})
    later = new_execution(job, now=clock.now(), triggered_by=Trigger.API, available_at=clock.now() + timedelta(seconds=60))
    executions.queue.add([later])
    clock.advance(59)
    (other,) = enqueue(executions, job, clock)
    assert [one.execution_id for one in claim(executions, clock)] == [other]
    clock.advance(1)
    enqueue(executions, job, clock)
    assert claim(executions, clock, limit=1)[0].execution_id == later.id


def test_a_second_run_of_a_running_job_is_skipped_or_waits_by_policy(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    for policy, status in (("skip", "skipped"), ("queue", "queued")):
        job = make_job(services, super_admin, overlap=policy)
        first, second = enqueue(executions, job, clock, 2)
        assert len(claim(executions, clock)) == 1
        clock.advance(1)
        claim(executions, clock)
        states = {key: executions.document(key) for key in (first, second)}
        assert sorted(row["status"] for row in states.values() if row) == sorted(["running", status])
        if policy == "skip":
            assert [row["reason"] for row in states.values() if row and row["status"] == "skipped"] == ["overlap"]


def test_a_stale_owner_is_refused_by_its_token(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    (run,) = enqueue(executions, make_job(services, super_admin), clock)
    (stale,) = claim(executions, clock, owner="old")
    clock.advance(31)
    (lost,) = executions.claims.find_lost(clock.now(), 10)
    assert executions.end_lost(lost, failure(RetryOn.LOST_WORKER), 0.0, now=clock.now())
    assert not executions.end_lost(lost, failure(RetryOn.LOST_WORKER), 0.0, now=clock.now()), "two sweepers, one end"
    (fresh,) = claim(executions, clock, owner="new")
    assert (fresh.execution_id, fresh.number, fresh.token) == (run, 2, stale.token + 1)
    assert executions.finish([(stale, success(), None)], now=clock.now()) == {run}
    assert executions.claims.heartbeat(owner="old", held={run: stale.token}, expires_at=clock.now() + LEASE) == {run}
    executions.claims.write_progress([(stale, {"done": 9})])
    assert (executions.document(run) or {})["progress"] is None
    assert executions.finish([(fresh, success(), None)], now=clock.now()) == set()
    document = executions.document(run) or {}
    assert [attempt["status"] for attempt in document["attempts"]] == ["failed", "success"]
    assert document["status"] == "success"
    assert not {"lease", "slots", "live", "queue_rank"} & set(document)


def test_a_renewed_lease_is_not_lost(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    enqueue(executions, make_job(services, super_admin), clock)
    (attempt,) = claim(executions, clock)
    clock.advance(29)
    assert executions.claims.heartbeat(owner="w1", held={attempt.execution_id: attempt.token}, expires_at=clock.now() + LEASE) == set()
    (lost,) = [attempt]
    clock.advance(29)
    assert executions.claims.find_lost(clock.now(), 10) == []
    assert not executions.end_lost(lost, failure(), None, now=clock.now())


def test_writing_an_end_twice_after_a_lost_answer_is_not_taken_for_stale(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    enqueue(executions, make_job(services, super_admin), clock)
    (attempt,) = claim(executions, clock)
    for _ in range(2):
        assert executions.finish([(attempt, success(), None)], now=clock.now()) == set()
    assert len((executions.document(attempt.execution_id) or {})["attempts"]) == 1


def test_a_retry_keeps_its_place_and_comes_in_its_time(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = make_job(services, super_admin, overlap="queue")
    first, second = enqueue(executions, job, clock, 2)
    (attempt,) = claim(executions, clock)
    executions.finish([(attempt, failure(), 60.0)], now=clock.now())
    clock.advance(30)
    assert claim(executions, clock) == [], "the other one waits while the job retries"
    clock.advance(31)
    assert [a.execution_id for a in claim(executions, clock)] == [attempt.execution_id]
    assert {first, second} > {attempt.execution_id}


def test_a_run_handed_back_counts_no_failure(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    (run,) = enqueue(executions, make_job(services, super_admin), clock)
    (attempt,) = claim(executions, clock)
    assert executions.claims.hand_back(attempt, now=clock.now())
    assert not executions.claims.hand_back(attempt, now=clock.now())
    clock.advance(LEAST_DELAY_SECONDS - 0.001)
    assert claim(executions, clock) == [], "a run that is handed back again and again begins once a second at most"
    clock.advance(0.001)
    (again,) = claim(executions, clock)
    assert (again.execution_id, again.number, again.failed_attempts) == (run, 2, 1)


def test_cancel_reaches_what_waits_and_what_runs(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    waiting, running = (enqueue(executions, make_job(services, super_admin, name=n), clock)[0] for n in ("a", "b"))
    executions.queue.ask_cancel(waiting, by="me", now=clock.now())
    (attempt,) = claim(executions, clock)
    assert attempt.execution_id == running
    executions.queue.ask_cancel(running, by="me", now=clock.now())
    assert list(executions.claims.cancels_wanted([running])) == [running]
    # The attempt fails by itself as the request arrives: it must not come back as a retry.
    assert executions.finish([(attempt, failure(), 3600.0)], now=clock.now()) == set()
    assert claim(executions, clock) == []
    assert {(executions.document(key) or {})["status"] for key in (waiting, running)} == {"cancelled"}
    assert executions.queue.ask_cancel(running, by="me", now=clock.now()) is None


def test_a_request_to_stop_that_crosses_a_lost_worker_or_a_drain_is_obeyed(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    lost, drained = (enqueue(executions, make_job(services, super_admin, name=n), clock)[0] for n in ("lost", "drained"))
    attempts = {attempt.execution_id: attempt for attempt in claim(executions, clock)}
    for run in attempts:
        executions.queue.ask_cancel(run, by="me", now=clock.now())
    assert executions.claims.hand_back(attempts[drained], now=clock.now())
    clock.advance(LEASE.total_seconds() + 1)
    (silent,) = executions.claims.find_lost(clock.now(), 10)
    assert executions.end_lost(silent, failure(RetryOn.LOST_WORKER), 60.0, now=clock.now())
    assert claim(executions, clock) == []
    assert {(executions.document(run) or {})["status"] for run in (lost, drained)} == {"cancelled"}


def test_what_was_claimed_and_not_begun_waits_as_before_and_keeps_its_place(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    job = make_job(services, super_admin, overlap="skip")
    (run,) = enqueue(executions, job, clock)
    before = executions.document(run)
    (attempt,) = claim(executions, clock)
    executions.claims.put_back([attempt], now=clock.now())
    after = executions.document(run)
    assert before
    assert after
    assert {key: after[key] for key in before} == before
    (other,) = enqueue(executions, job, clock)
    (again,) = claim(executions, clock)
    assert (again.execution_id, again.number, again.token) == (run, 1, 2), "the other one must not have taken its place"
    assert (executions.document(other) or {})["reason"] == "overlap"
    executions.claims.put_back([attempt], now=clock.now())
    assert (executions.document(run) or {})["status"] == "running", "a stale owner puts nothing back"


@contextmanager
def reply_lost(executions: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The write inside is done, and its caller told that the connection broke."""
    write = executions.claims._executions.bulk_write

    def swallowed(*args: Any, **kwargs: Any) -> Any:
        write(*args, **kwargs)
        raise AutoReconnect("the reply is lost")

    with monkeypatch.context() as patch:
        patch.setattr(executions.claims._executions, "bulk_write", swallowed)
        with pytest.raises(AutoReconnect):
            yield


def test_a_claim_whose_answer_never_came_is_found_again(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [enqueue(executions, make_job(services, super_admin, name=f"j{n}"), clock)[0] for n in range(4)]
    with reply_lost(executions, monkeypatch):
        claim(executions, clock, limit=3)
    clock.advance(1)
    found = claim(executions, clock)
    assert sorted(attempt.execution_id for attempt in found) == sorted(runs[:3])
    assert executions.finish([(attempt, success(), None) for attempt in found], now=clock.now()) == set()
    assert [attempt.execution_id for attempt in claim(executions, clock)] == runs[3:]
    assert [len((executions.document(run) or {})["attempts"]) for run in runs] == [1, 1, 1, 1]


def test_a_claim_that_was_silent_past_its_lease_is_left_to_the_sweeper(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = enqueue(executions, make_job(services, super_admin), clock)
    with reply_lost(executions, monkeypatch):
        claim(executions, clock)
    clock.advance(LEASE.total_seconds() + 1)
    assert claim(executions, clock) == []
    (lost,) = executions.claims.find_lost(clock.now(), 10)
    assert lost.execution_id == run


def test_bounds_of_groups_templates_and_all_hold_whoever_races(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    """Two jobs of a group of one, four of a group of two, six of a template of three, under five in all: twelve workers at once."""
    bounds = RunBounds(groups={"pair": 2}, templates={"noop": 3}, overall=5)
    jobs = [make_job(services, super_admin, name=f"alone {n}", concurrency={"group": "alone"}, overlap="queue") for n in range(2)]
    jobs += [make_job(services, super_admin, name=f"pair {n}", concurrency={"group": "pair"}, overlap="skip") for n in range(4)]
    other = {"template_type": "misbehave", "parameters": {"how": "raise"}}
    jobs += [make_job(services, super_admin, name=f"free {n}", overlap="queue", **other) for n in range(4)]
    for job in jobs:
        enqueue(executions, job, clock, 1 if job.definition.overlap == "skip" else 3)
    lock, most = threading.Lock(), dict.fromkeys(("alone", "pair", "noop", "all"), 0)

    def count() -> None:
        rows = list(store.database["job_executions"].find({"status": "running"}, {"concurrency_group": 1, "template_type": 1}))
        groups = [row["concurrency_group"] for row in rows]
        now = {"alone": groups.count("alone"), "pair": groups.count("pair"), "all": len(rows)}
        now["noop"] = sum(row["template_type"] == "noop" for row in rows)
        with lock:
            most.update({key: max(most[key], now[key]) for key in most})

    def work(number: int) -> list[str]:
        done = []
        for _ in range(25):
            took = executions.claim_due(owner=f"w{number}", now=clock.now(), lease=LEASE, limit=4, bounds=bounds)
            count()
            executions.finish([(attempt, success(), None) for attempt in took], now=clock.now()) if took else None
            done += [attempt.execution_id for attempt in took]
            clock.advance(0.2)
        return done

    with ThreadPoolExecutor(12) as pool:
        done = [run for runs in pool.map(work, range(12)) for run in runs]
    while rest := executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=40, bounds=bounds):
        executions.finish([(attempt, success(), None) for attempt in rest], now=clock.now())
        done += [attempt.execution_id for attempt in rest]
        clock.advance(1)
    assert len(done) == len(set(done)) == 2 * 3 + 4 + 4 * 3, "a run of a busy group waits, it is never skipped"
    assert most["alone"] == 1
    assert 1 <= most["pair"] <= 2
    assert 1 <= most["noop"] <= 3
    assert 3 <= most["all"] <= 5


def test_the_end_that_frees_a_place_wakes_the_oldest_that_waits_for_it(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    """Without a tick of the clock: runs of one job, and of two jobs of a group, follow each other at once."""
    job = make_job(services, super_admin, name="one", overlap="queue")
    pair = [make_job(services, super_admin, name=f"g{n}", concurrency={"group": "g"}) for n in range(3)]
    for jobs in ([job] * 3, pair):
        runs = [enqueue(executions, one, clock)[0] for one in jobs]
        order = []
        while found := claim(executions, clock):
            assert len(found) == 1
            executions.finish([(found[0], success(), None)], now=clock.now())
            order.append(found[0].execution_id)
        assert sorted(order) == sorted(runs)


def test_a_large_bound_is_counted_too(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    bounds = RunBounds(overall=100)
    jobs = [make_job(services, super_admin, name=f"j{n}", overlap="allow", concurrency={"max_instances": 3}) for n in range(35)]
    for job in jobs:
        enqueue(executions, job, clock, 3)
    assert sum(len(executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=30, bounds=bounds)) for _ in range(6)) == 100


def test_a_run_that_waits_to_be_tried_again_leaves_its_group_to_others(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    first, second = (make_job(services, super_admin, name=n, concurrency={"group": "g"}) for n in ("first", "second"))
    (failing,) = enqueue(executions, first, clock)
    (attempt,) = claim(executions, clock)
    (other,) = enqueue(executions, second, clock)
    assert claim(executions, clock) == []
    executions.finish([(attempt, failure(), 60.0)], now=clock.now())
    clock.advance(1)
    (next_one,) = claim(executions, clock)
    assert next_one.execution_id == other
    clock.advance(60)
    assert claim(executions, clock) == [], "and waits for them in its turn"
    executions.finish([(next_one, success(), None)], now=clock.now())
    clock.advance(1)
    assert [(one.execution_id, one.number) for one in claim(executions, clock)] == [(failing, 2)]


def test_a_due_time_is_one_execution_however_often_it_is_written(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = make_job(services, super_admin)
    documents = [new_execution(job, now=clock.now(), triggered_by=Trigger.SCHEDULE, scheduled_for=clock.now()) for _ in range(3)]
    assert [executions.queue.add([document]) for document in documents] == [1, 0, 0]
    assert executions.queue.add([*documents, new_execution(job, now=clock.now(), triggered_by=Trigger.API)]) == 1


def test_log_chunks_are_read_in_order_and_written_once(store: Store, clock: ManualClock) -> None:
    logs = LogStore(store.database)
    line = {"timestamp": clock.now(), "level": "INFO", "message": "m"}
    chunks = [{"_id": chunk_id("e", a, n), "attempt": a, "lines": [{**line, "message": f"{a}.{n}"}]} for a in (1, 2) for n in (1, 2)]
    logs.append([dict(one) for one in chunks])
    logs.append([dict(one) for one in reversed(chunks)])
    lines, cursor = logs.read("e", limit=3)
    assert [one["message"] for one in lines] == ["1.1", "1.2", "2.1"]
    rest, end = logs.read("e", after=cursor)
    assert ([one["message"] for one in rest], logs.read("e", after=end)[0]) == (["2.2"], [])


def test_ten_runs_an_hour_hold_against_forty_askers(store: Store, clock: ManualClock) -> None:
    barrier = threading.Barrier(40)

    def ask(_: int) -> float | None:
        barrier.wait()
        return RunLimits(store.database).take("u", now=clock.now(), limit=10, window=timedelta(hours=1))

    with ThreadPoolExecutor(40) as pool:
        waits = list(pool.map(ask, range(40)))
    assert waits.count(None) == 10
    assert all(wait == 3600 for wait in waits if wait is not None)
    clock.advance(3601)
    assert RunLimits(store.database).take("u", now=clock.now(), limit=10, window=timedelta(hours=1)) is None


def test_who_counts_by_a_slower_clock_waits_an_hour_at_most(store: Store, clock: ManualClock) -> None:
    limits, ahead = RunLimits(store.database), clock.now() + timedelta(seconds=5)
    assert limits.take("u", now=ahead, limit=1, window=timedelta(hours=1)) is None
    assert limits.take("u", now=clock.now(), limit=1, window=timedelta(hours=1)) == 3600


def test_reasons_are_said(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock) -> None:
    job = make_job(services, super_admin)
    (run,) = enqueue(executions, job, clock)
    assert executions.queue.drop_queued(job.id, now=clock.now()) == 1
    assert (executions.document(run) or {})["reason"] == Reason.JOB_GONE

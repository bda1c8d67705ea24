"""Jobs that limit how many of their runs start in a period, on the real MongoDB: with many workers, whatever triggers the runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.errors import LimitReached
from app.factory import Store
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.queue.execution import Execution
from app.queue.model import Attempt
from app.queue.start_limits import StartLimits
from app.queue.start_store import StartStore
from app.scheduling.node_store import Heartbeat, NodeStore
from app.services import Services
from tests.builders.queue import Queue, claim, enqueue, failure, make_job, success
from tests.builders.scheduling import dispatcher
from tests.conftest import Api

HOUR = {"runs": 3, "seconds": 3600}


@pytest.fixture
def executions(store: Store) -> Queue:
    return Queue(store.database)


def limited(services: Services, actor: Actor, *, excess: str = "skip", **fields: Any) -> Job:
    fields = {"name": "limited", "overlap": "allow", "concurrency": {"max_instances": 3}, "run_limit": {**HOUR, "excess": excess}, **fields}
    return make_job(services, actor, **fields)


def states(executions: Queue) -> list[tuple[str, str | None]]:
    rows = executions.database["job_executions"].find().sort("queued_at", 1)
    return [(row["status"], row["reason"]) for row in rows]


def finish(executions: Queue, clock: ManualClock, attempts: Sequence[Attempt]) -> None:
    if attempts:
        executions.finish([(attempt, success(), None) for attempt in attempts], now=clock.now())


def run_all(executions: Queue, clock: ManualClock, seconds: float = 0) -> list[Attempt]:
    """Claims and ends all runs that may start now."""
    begun: list[Attempt] = []
    for _ in range(30):
        attempts = claim(executions, clock, limit=3)
        finish(executions, clock, attempts)
        begun += attempts
    clock.advance(seconds)
    return begun


@pytest.mark.parametrize("excess", ["skip", "queue"])
def test_forty_workers_never_start_more_runs_than_the_limit(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store, excess: str
) -> None:
    jobs = [limited(services, super_admin, name=f"j{n}", excess=excess, concurrency={"max_instances": 3}) for n in range(4)]
    for job in jobs:
        enqueue(executions, job, clock, 20)
    barrier = threading.Barrier(40)

    def work(number: int) -> list[Attempt]:
        barrier.wait()
        begun: list[Attempt] = []
        for _ in range(4):
            attempts = claim(executions, clock, owner=f"w{number}", limit=5)
            finish(executions, clock, attempts)
            begun += attempts
        return begun

    with ThreadPoolExecutor(40) as pool:
        begun = [attempt for attempts in pool.map(work, range(40)) for attempt in attempts]
    clock.advance(2)
    begun += run_all(executions, clock)
    for job in jobs:
        assert sum(attempt.job_id == job.id for attempt in begun) == 3
    kept = {row["_id"]: len(row["starts"]) for row in store.database["job_starts"].find()}
    assert kept == {job.id: 3 for job in jobs}
    rest = {"skip": {("success", None): 12, ("skipped", "run_limit"): 68}, "queue": {("success", None): 12, ("queued", None): 68}}[excess]
    counted = {state: states(executions).count(state) for state in set(states(executions))}
    assert counted == rest


def test_waiting_runs_start_as_soon_as_the_limit_allows_the_oldest_first(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin, excess="queue")
    ids = []
    for _ in range(5):
        ids += enqueue(executions, job, clock)
        run_all(executions, clock, 60)
    assert [state for state, _ in states(executions)] == ["success"] * 3 + ["queued"] * 2
    assert run_all(executions, clock) == []
    clock.advance(3600 - 5 * 60)  # an hour after the first one
    assert [attempt.execution_id for attempt in run_all(executions, clock, 59)] == [ids[3]]
    assert run_all(executions, clock, 1) == []
    assert [attempt.execution_id for attempt in run_all(executions, clock)] == [ids[4]]


def test_attempts_are_not_runs(services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store) -> None:
    job = limited(services, super_admin, run_limit={"runs": 1, "seconds": 3600}, retry_policy={"max_retries": 3})
    (first,) = enqueue(executions, job, clock)
    for _ in range(3):
        (attempt,) = claim(executions, clock)
        assert attempt.execution_id == first
        executions.finish([(attempt, failure(), 10.0)], now=clock.now())
        clock.advance(10)
    (attempt,) = claim(executions, clock)
    assert executions.claims.hand_back(attempt, now=clock.now())
    clock.advance(5)
    (attempt,) = claim(executions, clock)
    assert attempt.number == 5
    finish(executions, clock, [attempt])
    (starts,) = store.database["job_starts"].find()
    assert [start["of"] for start in starts["starts"]] == [first]
    enqueue(executions, job, clock)
    assert claim(executions, clock) == []
    assert states(executions)[1] == ("skipped", "run_limit")


def test_a_claimed_run_that_goes_back_unbegun_is_counted_when_it_starts(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin, run_limit={"runs": 1, "seconds": 60, "excess": "queue"})
    first, second = enqueue(executions, job, clock), enqueue(executions, job, clock)
    (attempt,) = claim(executions, clock)
    executions.claims.put_back([attempt], now=clock.now())
    clock.advance(50)
    (attempt,) = claim(executions, clock)
    assert [attempt.execution_id] == first
    finish(executions, clock, [attempt])
    clock.advance(59)
    assert claim(executions, clock) == []
    clock.advance(1)
    assert [attempt.execution_id for attempt in claim(executions, clock)] == second


def test_a_manual_run_beyond_the_limit_is_refused_with_the_time_to_wait(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin)
    for _ in range(3):
        services.runs.run_now(super_admin, job.id)
        run_all(executions, clock, 60)
    with pytest.raises(LimitReached) as refused:
        services.runs.run_now(super_admin, job.id)
    assert str(refused.value) == "The job may start 3 runs within 1 h. The next one is possible at 13:00 UTC, in 57 min."
    assert refused.value.retry_after_seconds == 3600 - 180
    with pytest.raises(LimitReached):
        services.runs.retry(super_admin, executions.database["job_executions"].find_one({})["_id"])  # type: ignore[index]
    clock.advance(3600 - 180)
    services.runs.run_now(super_admin, job.id)
    assert len(run_all(executions, clock)) == 1


def test_a_manual_run_waits_where_the_job_says_so(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    NodeStore(store.database).beat("node", Heartbeat(host="h", clock=clock.now(), tick_age_seconds=0.0))
    job = limited(services, super_admin, excess="queue", run_limit={"runs": 1, "seconds": 172_800, "excess": "queue"})
    services.runs.run_now(super_admin, job.id)
    run_all(executions, clock)
    run = services.runs.run_now(super_admin, job.id)
    assert run_all(executions, clock) == []
    expected = "Run queued. The job may start one run within 2 d. The next one is possible on 2026-03-04 at 12:00 UTC."
    assert services.runs.standing(run) == expected


def test_manual_runs_that_race_are_judged_when_they_start(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin, concurrency={"max_instances": 3})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: services.runs.run_now(super_admin, job.id), range(8)))
    assert len(run_all(executions, clock)) == 3
    assert states(executions).count(("skipped", "run_limit")) == 5


def test_scheduled_runs_count_and_are_counted(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    job = limited(services, super_admin, run_limit={"runs": 2, "seconds": 600}, schedule={"type": "interval", "interval_seconds": 60})
    services.runs.run_now(super_admin, job.id)
    run_all(executions, clock)
    ticking = dispatcher(store, services, clock)
    for _ in range(10):
        clock.advance(60)
        ticking.tick()
        run_all(executions, clock)
    # At 12:00 by hand, at 12:01, and then not before 12:10: in between the limit is used up.
    assert [state for state, _ in states(executions)] == ["success", "success", *["skipped"] * 8, "success"]


def test_a_new_run_that_may_not_start_does_not_replace_the_one_that_runs(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    job = limited(
        services,
        super_admin,
        overlap="replace",
        concurrency={"max_instances": 1},
        run_limit={"runs": 1, "seconds": 600},
        schedule={"type": "interval", "interval_seconds": 60},
    )
    services.runs.run_now(super_admin, job.id)
    (attempt,) = claim(executions, clock)
    clock.advance(60)
    dispatcher(store, services, clock).tick()
    assert executions.claims.cancels_wanted([attempt.execution_id]) == {}
    assert claim(executions, clock) == []
    finish(executions, clock, [attempt])
    clock.advance(2)
    assert claim(executions, clock) == []
    assert states(executions) == [("success", None), ("skipped", "run_limit")]


def test_a_backfill_waits_and_no_other_run_is_skipped_because_of_it(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin, run_limit={"runs": 2, "seconds": 600})
    due = clock.now() - timedelta(days=1)
    runs = [Execution.backfilled(job, clock.now(), by="a", stands_for=due + timedelta(hours=n), execution_id=f"b{n}") for n in range(4)]
    executions.queue.add(runs)
    assert len(run_all(executions, clock, 60)) == 2
    (scheduled,) = enqueue(executions, job, clock)
    assert run_all(executions, clock) == []
    assert executions.document(scheduled)["status"] == "queued"  # type: ignore[index]
    clock.advance(540)
    begun = run_all(executions, clock)
    assert scheduled in [attempt.execution_id for attempt in begun]
    assert len(begun) == 2
    clock.advance(600)
    run_all(executions, clock, 600)
    run_all(executions, clock)
    assert {state for state, _ in states(executions)} == {"success"}


def test_an_execution_keeps_the_limit_that_it_was_queued_with(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock
) -> None:
    job = limited(services, super_admin, run_limit={"runs": 1, "seconds": 600})
    enqueue(executions, job, clock)
    run_all(executions, clock, 1)
    raised = services.jobs.update(super_admin, job.id, {"run_limit": {"runs": 3, "seconds": 3600}})
    assert raised.definition.run_limit.excess == "skip"
    enqueue(executions, raised, clock, 3)
    assert len(run_all(executions, clock)) == 2, "the start before the change counts"
    lowered = services.jobs.update(super_admin, job.id, {"run_limit": {"runs": 0}})
    enqueue(executions, lowered, clock, 5)
    assert len(run_all(executions, clock)) == 5


def test_lost_starts_are_read_from_the_executions(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store
) -> None:
    job = limited(services, super_admin)
    enqueue(executions, job, clock, 2)
    assert len(run_all(executions, clock, 1)) == 2
    for damage in ({"$set": {"starts": 5}}, {"$set": {"revision": "x"}}, None):
        if damage is None:
            store.database["job_starts"].delete_many({})
        else:
            store.database["job_starts"].update_one({"_id": job.id}, damage)
        assert services.runs._starts.free_at(job.id, job.definition.run_limit, clock.now()) is None
    enqueue(executions, job, clock, 2)
    assert len(run_all(executions, clock)) == 1


@pytest.mark.parametrize("excess", ["skip", "queue"])
def test_a_clock_that_was_a_year_ahead_does_not_stop_the_job_for_a_year(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, excess: str
) -> None:
    job, year = limited(services, super_admin, excess=excess), 365 * 86_400
    clock.advance(year)
    enqueue(executions, job, clock, 3)
    assert len(run_all(executions, clock)) == 3
    clock.advance(-year)
    enqueue(executions, job, clock)
    assert run_all(executions, clock, 1800) == [], "they may have started just now"
    assert services.runs.limit_free_at(super_admin, job.id) == clock.now() + timedelta(seconds=1800)
    clock.advance(1800)
    enqueue(executions, job, clock)
    assert len(run_all(executions, clock)) == (1 if excess == "skip" else 2)


class _Contended(StartStore):
    """Other workers are always quicker."""

    def write(self, starts: Any) -> bool:
        return False


def test_a_run_of_a_job_that_is_too_busy_to_be_counted_waits(
    services: Services, super_admin: Actor, executions: Queue, clock: ManualClock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.start_limits.LONGEST_PAUSE_SECONDS", 0)
    job = limited(services, super_admin)
    (run,) = enqueue(executions, job, clock)
    row = executions.document(run)
    assert row is not None
    assert StartLimits(_Contended(store.database), executions.queue).admitted([row], clock.now()) == []
    row = executions.document(run)
    assert row is not None
    assert (row["status"], row["available_at"]) == ("queued", clock.now() + timedelta(seconds=1))


def test_rest_files_and_versions_know_the_limit(services: Services, super_admin: Actor, api: Api) -> None:
    path = "/api/admin/scheduler-jobs"
    made = api("POST", path, {"name": "j", "template_type": "noop", "run_limit": {"runs": 4}}).get_json()["job"]
    assert made["run_limit"] == {"runs": 4, "seconds": 3600, "excess": "skip"}
    changed = api("PUT", f"{path}/{made['id']}", {"run_limit": {"excess": "queue"}}).get_json()["job"]
    assert changed["run_limit"] == {"runs": 4, "seconds": 3600, "excess": "queue"}
    wrong = api("PUT", f"{path}/{made['id']}", {"run_limit": {"runs": -1, "seconds": 0, "excess": "drop", "more": 1}})
    pointers = sorted(error["pointer"] for error in wrong.get_json()["errors"])
    assert pointers == ["/run_limit/excess", "/run_limit/more", "/run_limit/runs", "/run_limit/seconds"]
    file = services.exchange.export(super_admin, "yaml", JobFilter())
    assert "run_limit:" in file
    steps = services.exchange.plan(super_admin, file.replace("runs: 4", "runs: 5")).steps
    assert [step.action for step in steps] == ["update"]
    assert services.jobs.restore(super_admin, made["id"], 1).definition.run_limit.excess == "skip"

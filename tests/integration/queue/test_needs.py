"""Executions that need labels, on the real MongoDB: each node takes only what it may, however many wait for others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.queue.claim_store import CLAIM_FIELDS
from app.queue.claims import Claimer, Claims
from app.queue.model import Trigger
from app.queue.needs import needs_fields
from app.services import Services
from tests.builders.queue import LEASE, Queue, execution_document, make_job, new_execution
from tests.lengths import LONG

KINDS = ((), ("gpu",), ("site=berlin",), ("gpu", "site=berlin"), ("site=rome",))
WAITING = 100_000 if LONG else 5_000


@pytest.fixture
def executions(store: Store) -> Queue:
    return Queue(store.database)


def worker(executions: Queue, name: str, labels: Sequence[str]) -> Claims:
    return Claims(executions.claims, executions.limits, Claimer(owner=name, host="h", lease=LEASE, labels=tuple(labels)))


def test_each_of_two_nodes_takes_only_what_it_may(
    executions: Queue, services: Services, super_admin: Actor, clock: ManualClock, store: Store
) -> None:
    rounds = 40
    jobs = [make_job(services, super_admin, name=f"j{n}", needs=list(needs), overlap="queue") for n, needs in enumerate(KINDS)]
    runs = [new_execution(job, now=clock.now(), triggered_by=Trigger.API, max_instances=1000) for _ in range(rounds) for job in jobs]
    executions.queue.add(runs)
    needs = {run.id: run.needs for run in runs}
    nodes = {"a": ("gpu", "site=berlin"), "b": ("site=berlin",), "c": ()}
    taken: list[tuple[str, str]] = []
    lock, begin = threading.Lock(), threading.Barrier(2 * len(nodes))

    def work(name: str, number: int) -> None:
        claims = worker(executions, f"{name}{number}", nodes[name])
        begin.wait(30)
        while attempts := claims.claim_due(now=clock.now(), limit=7):
            with lock:
                taken.extend((attempt.execution_id, name) for attempt in attempts)

    with ThreadPoolExecutor(2 * len(nodes)) as pool:
        for done in [pool.submit(work, name, number) for name in nodes for number in range(2)]:
            done.result(60)
    assert len({run for run, _ in taken}) == len(taken), "none was taken twice"
    assert all(set(needs[run]) <= set(nodes[name]) for run, name in taken)
    left = {row["_id"] for row in store.database["job_executions"].find({"queue_rank": {"$exists": True}})}
    assert left == {run for run, wanted in needs.items() if "site=rome" in wanted}, "what a node may take is taken"
    rome = worker(executions, "rome", ("site=rome", "other"))
    assert len(rome.claim_due(now=clock.now(), limit=1000)) == rounds


def test_by_its_id_too_only_a_node_with_the_labels_takes_an_execution(
    executions: Queue, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    run = new_execution(make_job(services, super_admin, needs=["gpu"]), now=clock.now(), triggered_by=Trigger.API)
    executions.queue.add([run])
    assert worker(executions, "plain", ()).claim_these([run.id], now=clock.now()) == []
    assert worker(executions, "fast", ("gpu",)).claim_these([run.id], now=clock.now()) != []


def test_executions_without_needs_run_anywhere(
    executions: Queue, services: Services, super_admin: Actor, clock: ManualClock, store: Store
) -> None:
    """Those of earlier releases have no such fields."""
    run = new_execution(make_job(services, super_admin), now=clock.now(), triggered_by=Trigger.API)
    executions.queue.add([run])
    assert not {"needs", "needs_key"} & (executions.document(run.id) or {}).keys()
    waiting = new_execution(make_job(services, super_admin, needs=["tpu"], name="t"), now=clock.now(), triggered_by=Trigger.API)
    executions.queue.add([waiting])
    assert [one.execution_id for one in worker(executions, "any", ("gpu",)).claim_due(now=clock.now(), limit=5)] == [run.id]


def test_a_claim_does_not_read_what_waits_for_others(
    executions: Queue, services: Services, super_admin: Actor, clock: ManualClock, store: Store
) -> None:
    job, rows = make_job(services, super_admin), store.database["job_executions"]
    document = execution_document(job, now=clock.now())
    waiting = [
        {**document, "_id": f"w{n}", "scheduled_for": clock.now() + timedelta(seconds=n), **needs_fields(["gpu", f"site={n % 7}"])}
        for n in range(WAITING)
    ]
    for start in range(0, WAITING, 10_000):
        rows.insert_many(waiting[start : start + 10_000], ordered=False)
    rows.insert_one({**document, "_id": "mine", "scheduled_for": clock.now() - timedelta(seconds=1), **needs_fields(["site=0"])})
    rows.insert_one({**document, "_id": "any", "scheduled_for": clock.now() - timedelta(seconds=2)})
    asked: list[dict[str, Any]] = []
    find = type(executions.claims._executions).find

    def recorded(self: Any, where: Any = None, fields: Any = None, **options: Any) -> Any:
        asked.append({"filter": where, **options})
        return find(self, where, fields, **options)

    for labels, expected in (((), {"any"}), (("site=0",), {"any", "mine"})):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(executions.claims._executions), "find", recorded)
            found = executions.claims.candidates(clock.now(), 50, labels=labels)
        assert {row["_id"] for row in found} == expected
        command = {
            "find": "job_executions",
            **asked[-1],
            "sort": {"queue_rank": 1},
            "limit": 50,
            "projection": dict.fromkeys(CLAIM_FIELDS, 1),
        }
        plan = store.database.command("explain", command, verbosity="executionStats")
        stats = plan["executionStats"]
        assert stats["totalDocsExamined"] <= 4, stats
        assert stats["totalKeysExamined"] <= 20, stats
        assert "SORT_MERGE" in str(plan) or '"stage": "SORT"' not in str(plan)

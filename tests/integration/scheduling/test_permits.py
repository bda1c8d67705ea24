"""Leave to start runs: who has it, until when, and that nothing starts without it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import StoreUnavailable
from app.factory import Store, build_node, launch_executor
from app.queue.model import Status, Trigger
from app.queue.store import QueueStore
from app.sandbox.kernel import boot_seconds
from app.sandbox.protocol import StopReason
from app.scheduling import maintenance as switching
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import Heartbeat, NodeStore
from app.scheduling.permit import Grant, StartPermit
from app.scheduling.permits import PermitKeeper
from app.services import Services
from tests.builders.attempts import Bench
from tests.builders.queue import LEASE, Queue, enqueue, make_job, new_execution
from tests.conftest import Api
from tests.integration.executors.test_attempts import bench
from tests.support import KINDS, eventually

__all__ = ["bench"]  # the fixture of executors in both isolations


class Node:
    """A keeper whose turns come when they are asked for, and what it has done."""

    def __init__(self, store: Store, name: str) -> None:
        self.permit, self.begun, self.ended = StartPermit(), True, 0
        self.keeper = PermitKeeper(
            permit=self.permit,
            nodes=NodeStore(store.database),
            switch=MaintenanceStore(store.database),
            name=name,
            put_back=lambda: self.begun,
            on_end=self._note_end,
        )
        self.permit.revoke()

    def _note_end(self) -> None:
        self.ended += 1


@pytest.fixture
def node(store: Store) -> Node:
    return Node(store, "n")


class Beginning:
    """Maintenance that somebody switches on in a thread of its own."""

    def __init__(self, services: Services, actor: Actor) -> None:
        self.acknowledged = threading.Event()
        self.error: Exception | None = None
        self._services, self._actor = services, actor
        self._thread = threading.Thread(target=self._begin)
        self._thread.start()

    def _begin(self) -> None:
        try:
            self._services.maintenance.begin(self._actor, {"reason": "r"})
            self.acknowledged.set()
        except StoreUnavailable as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(60)


@pytest.fixture
def switch(services: Services, super_admin: Actor) -> Iterator[Services]:
    yield services
    services.maintenance.end(super_admin)


def test_a_claim_is_refused_by_the_databases_clock(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    executions = Queue(store.database)
    (run,) = enqueue(executions, make_job(services, super_admin), clock)
    before = executions.document(run)
    for late in (timedelta(seconds=-1), timedelta(0)):
        until = datetime.now(UTC) + late
        found = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=5, until=until)
        assert (found, executions.document(run)) == ([], before)
    until = datetime.now(UTC) + timedelta(minutes=1)
    assert len(executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=5, until=until)) == 1


def test_a_run_that_comes_too_late_to_its_process_waits_again(bench: Bench) -> None:
    """The executor may start it, but its process finds that the time is over: as where the node was stopped in between."""
    answers = chain([math.inf, 0.0], repeat(math.inf))  # before it is given to a process, what the process is told; then all others
    bench.begin_until = lambda: next(answers)
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS
    assert not bench.executor.has_waiting()


def test_what_may_not_begin_waits_and_can_be_taken_back(bench: Bench) -> None:
    bench.begin_until = lambda: boot_seconds() - 1
    run = bench.start("noop", {})
    assert bench.executor.has_waiting()
    assert [one.execution_id for one in bench.executor.release_waiting(0.0)] == [run]
    assert not bench.executor.has_waiting()
    assert bench.executor.held() == {}


def test_a_late_run_that_is_to_be_stopped_ends(bench: Bench) -> None:
    bench.begin_until = lambda: boot_seconds() - 1
    run = bench.start("noop", {})
    bench.executor.stop(run, StopReason.CANCEL)
    assert bench.outcome(run).status is Status.CANCELLED
    assert not bench.executor.has_waiting()


def test_leave_is_open_until_somebody_keeps_it_and_ends_by_itself() -> None:
    permit = StartPermit()
    assert permit.holds
    permit.grant(Grant(None, boot_seconds() - 0.001))
    assert not permit.holds
    with permit.claiming() as grant:
        assert (grant, permit.is_claiming()) == (None, True)
    permit.grant(Grant(None, boot_seconds() + 60))
    with permit.claiming() as grant:
        assert grant is not None
        permit.revoke()
    assert not permit.holds
    assert not permit.is_claiming()


def test_a_switch_is_acknowledged_once_each_node_rests(switch: Services, super_admin: Actor, node: Node) -> None:
    node.keeper.turn()
    assert node.permit.holds
    node.begun = False  # a run was given to a process that has not begun it
    begins = Beginning(switch, super_admin)
    while node.permit.holds:
        node.keeper.turn()
    node.keeper.turn()
    assert not begins.acknowledged.is_set()
    node.begun = True
    with node.permit.claiming():
        node.keeper.turn()
    assert not begins.acknowledged.is_set(), "a claim was on its way"
    node.keeper.turn()
    assert begins.acknowledged.wait(60)
    begins.join()
    assert node.ended == 0
    switch.maintenance.end(super_admin)
    node.keeper.turn()
    assert node.permit.holds
    assert node.ended == 1


def test_a_node_that_comes_later_starts_nothing(switch: Services, super_admin: Actor, store: Store) -> None:
    switch.maintenance.begin(super_admin, {"reason": "nobody is there: acknowledged at once"})
    late = Node(store, "late")
    late.keeper.turn()
    assert not late.permit.holds
    switch.maintenance.begin(super_admin, {"reason": "another reason, for which it rests already or may not start"})
    late.keeper.turn()
    assert not late.permit.holds


def test_a_node_that_is_silent_is_waited_for_until_its_leave_is_over(
    switch: Services, super_admin: Actor, node: Node, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.keeper.turn()
    monkeypatch.setattr(switching, "PERMIT_SECONDS", 0.3)
    asked_at = store.database["nodes"].find_one({"_id": "n"})["asked_at"]  # type: ignore[index]
    switch.maintenance.begin(super_admin, {"reason": "r"})
    now = store.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    assert now - asked_at >= timedelta(seconds=0.3)


def test_what_cannot_be_made_sure_is_not_acknowledged(
    switch: Services, super_admin: Actor, node: Node, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.keeper.turn()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    store.database["nodes"].update_one({"_id": "n"}, {"$set": {"asked_at": ahead}})  # the database's clock went back
    monkeypatch.setattr(switching, "PERMIT_SECONDS", 0.1)
    with pytest.raises(StoreUnavailable, match="these nodes have not confirmed it yet: n"):
        switch.maintenance.begin(super_admin, {"reason": "r"})


# -- what is said of a run that was asked for -------------------------------------------------------------------------


def test_a_run_says_whether_it_has_started_and_what_it_waits_for(
    api: Api, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    jobs, executions = "/api/admin/scheduler-jobs", Queue(store.database)
    job = make_job(services, super_admin, overlap="queue", concurrency={"max_instances": 1, "group": "disk"})
    other = make_job(services, super_admin, overlap="queue", concurrency={"max_instances": 1, "group": "disk"}, name="other")

    def said(one: str = job.id) -> str:
        return str(api("POST", f"{jobs}/{one}/run").json["message"])

    assert said() == "Run queued: no node that starts runs is online"
    NodeStore(store.database).beat("n", Heartbeat(host="h", clock=clock.now(), tick_age_seconds=0.0))
    assert said() == "Run queued"
    (attempt,) = executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=1)
    assert said() == "Run queued: other runs of the job are still running"
    assert said(other.id) == "Run queued: other runs of the concurrency group 'disk' are still running"
    assert str(services.runs.standing(services.history.get(super_admin, attempt.execution_id))) == "Job started"
    services.maintenance.begin(super_admin, {"reason": "moving"})
    assert said() == "Run queued: maintenance is on (moving)"
    rows = api("POST", f"{jobs}/bulk", {"action": "run", "job_ids": [other.id]}).json["items"]
    assert [row["detail"] for row in rows] == ["Run queued: maintenance is on (moving)"]


def test_a_run_that_starts_while_it_is_asked_about_does_not_wait_for_itself(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = Queue(store.database)
    NodeStore(store.database).beat("n", Heartbeat(host="h", clock=clock.now(), tick_age_seconds=0.0))
    job = make_job(services, super_admin, overlap="queue", concurrency={"max_instances": 1})
    execution = services.runs.run_now(super_admin, job.id)
    full_bound = QueueStore.full_bound

    def claimed_first(self: QueueStore, *args: Any) -> Any:
        executions.claim_due(owner="w", now=clock.now(), lease=LEASE, limit=1)
        return full_bound(self, *args)

    monkeypatch.setattr(QueueStore, "full_bound", claimed_first)
    assert str(services.runs.standing(execution)) == "Job started"


def test_what_is_queued_after_its_job_was_deleted_does_not_run(
    live_services: Services, super_admin: Actor, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler that was stopped between its plan and its write goes on after the deletion."""
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    executions = Queue(store.database)
    gone, there = (live_services.jobs.create(super_admin, {"name": name, "template_type": "noop"})[0] for name in ("gone", "there"))
    live_services.runs.delete_job(super_admin, gone.id)
    now = live_services.clock.now()
    executions.queue.add([new_execution(job, now=now, triggered_by=Trigger.SCHEDULE, scheduled_for=now) for job in (gone, there)])
    node = build_node(settings, store, live_services, launch_executor(settings))
    node.start()
    try:
        eventually(lambda: store.database["job_executions"].count_documents({"live": True}) == 0)
    finally:
        node.drain(1)
    rows = {row["job_name"]: row for row in store.database["job_executions"].find()}
    assert (rows["gone"]["status"], rows["gone"]["reason"], rows["gone"]["attempts"]) == ("skipped", "job_gone", [])
    assert not {"lease", "slots", "queue_rank"} & rows["gone"].keys()
    assert rows["there"]["status"] == "success"

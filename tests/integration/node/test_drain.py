"""A node that a person drains: it claims nothing more, what runs goes on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.audit.model import Actor
from app.config import Settings
from app.factory import Store, build_node, launch_executor
from app.node import node as nodes
from app.node.node import Node
from app.queue.model import Trigger
from app.scheduling.node_store import NodeStore
from app.services import Services
from tests.builders.queue import Queue, new_execution
from tests.support import KINDS, eventually


@pytest.fixture
def node(store: Store, live_services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that runs, with two processes and the label gpu."""
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.05)
    own = replace(settings, pool_size=2, node_labels=("gpu",))
    node = build_node(own, store, live_services, launch_executor(own))
    node.start()
    yield node
    node.drain(5)


def test_a_node_drains_and_resumes(node: Node, store: Store, live_services: Services, super_admin: Actor) -> None:
    record, queue, rows = NodeStore(store.database), Queue(store.database), store.database["job_executions"]
    job, _ = live_services.jobs.create(super_admin, {"name": "n", "template_type": "noop", "overlap": "queue"})
    eventually(lambda: [(one.labels, one.slots, one.drained) for one in record.all()] == [(("gpu",), 2, False)])
    store.database["nodes"].update_one({}, {"$set": {"drain": {"by": "u", "at": datetime.now(UTC)}}})
    eventually(lambda: record.all()[0].drained)
    now = live_services.clock.now()
    queue.queue.add([new_execution(job, now=now, triggered_by=Trigger.API)])
    node.wake()
    assert node.running.parts.runner.claim() == 0
    assert rows.find_one({"status": "queued", "attempts": []}) is not None
    store.database["nodes"].update_one({}, {"$unset": {"drain": ""}})
    eventually(lambda: rows.find_one({"status": "success"}) is not None)
    eventually(lambda: not record.all()[0].drained)


def test_a_drain_under_load_loses_nothing_and_starts_nothing(
    node: Node, store: Store, live_services: Services, super_admin: Actor, settings: Settings
) -> None:
    """Of two nodes with much to do, one drains: what it has goes to an end or back, it takes nothing more, and the other does the rest."""
    other = build_node(replace(settings, pool_size=2), store, live_services, launch_executor(settings))
    rows, name, runs = store.database["job_executions"], node.parts.name, 200
    job, _ = live_services.jobs.create(super_admin, {"name": "n", "template_type": "noop", "overlap": "queue"})
    now = live_services.clock.now()
    Queue(store.database).queue.add([new_execution(job, now=now, triggered_by=Trigger.API, max_instances=1000) for _ in range(runs)])
    other.start()
    try:
        node.wake()
        eventually(lambda: rows.count_documents({"attempts.worker": name, "status": "success"}) >= 5)
        live_services.node_control.drain(super_admin, name)
        eventually(lambda: (seen := live_services.node_control.get(super_admin, name)).drained and not seen.running)
        done = rows.count_documents({"attempts.worker": name})
        assert rows.count_documents({"lease.owner": name}) == 0
        eventually(lambda: rows.count_documents({"status": "success"}) == runs, seconds=60)
        assert rows.count_documents({"attempts.worker": name}) == done, "nothing starts on it any more"
        assert rows.count_documents({"attempts.1": {"$exists": True}}) == 0, "no run was done twice"
    finally:
        other.drain(5)


def test_a_job_runs_where_its_labels_are(node: Node, store: Store, live_services: Services, super_admin: Actor) -> None:
    rows, services = store.database["job_executions"], live_services
    eventually(lambda: services.node_control.offered() == ("gpu",))
    there, _ = services.jobs.create(super_admin, {"name": "there", "template_type": "noop", "needs": ["gpu"]})
    absent, _ = services.jobs.create(super_admin, {"name": "absent", "template_type": "noop", "needs": ["gpu", "site=berlin"]})
    waiting = services.runs.run_now(super_admin, absent.id)
    assert str(services.runs.standing(waiting)) == "Run queued: no running node has the labels gpu, site=berlin"
    services.runs.run_now(super_admin, there.id)
    eventually(lambda: rows.find_one({"job_id": there.id, "status": "success"}) is not None)
    assert rows.find_one({"_id": waiting.id})["status"] == "queued"  # type: ignore[index]

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

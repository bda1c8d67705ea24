"""Runs that only workers of a route take: without one that takes the route, people are told so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.audit.model import Actor
from app.broker.queues import queues_of
from app.clock import ManualClock
from app.config import Settings
from app.doctor.processes import check_nodes
from app.factory import Store, build_services
from app.scheduling.node_store import Heartbeat, NodeRole, NodeStore
from app.services import Services
from tests.builders.queue import make_job
from tests.integration.test_doctor import Ahead


@pytest.fixture
def over_celery(store: Store, settings: Settings, services: Services, clock: ManualClock) -> Services:
    """The services of an installation whose runs of the template noop have a route of their own."""
    told = replace(settings, executor="celery", celery_broker_url="redis://127.0.0.1:1/0", celery_routes=(("noop", "slow"),))
    return build_services(told, store, clock=clock)


def beat(store: Store, clock: ManualClock, name: str, *routes: str, role: NodeRole = NodeRole.WORKER, hears: bool = True) -> None:
    queues = tuple(queues_of(routes, []))
    slots = 4 if role is NodeRole.WORKER else 0
    told = Heartbeat(host="h", clock=Ahead().now(), tick_age_seconds=0.1, slots=slots, role=role, queues=queues, hears=hears)
    NodeStore(store.database).beat(name, told)
    store.database["nodes"].update_one({"_id": name}, {"$set": {"seen_at": clock.now(), "clock": clock.now()}})


def findings(services: Services, store: Store) -> list[str]:
    return [finding.text for finding in check_nodes(services, store)]


def test_a_route_that_no_worker_takes_is_told(over_celery: Services, store: Store, super_admin: Actor, clock: ManualClock) -> None:
    job = make_job(over_celery, super_admin, overlap="queue")

    def standing() -> str:
        return str(over_celery.runs.standing(over_celery.runs.run_now(super_admin, job.id)))

    beat(store, clock, "s", role=NodeRole.SCHEDULER)
    beat(store, clock, "w", "default")
    assert standing() == "Run queued: no running worker takes the route slow"
    assert "no worker that is online takes the route slow, so its runs wait" in findings(over_celery, store)
    beat(store, clock, "w2", "slow", hears=False)
    assert "route slow" in standing(), "no message reaches it"
    assert "no message from the broker reaches the worker w2" in findings(over_celery, store)
    beat(store, clock, "w2", "slow")
    assert "route" not in standing()
    assert over_celery.node_control.untaken_routes() == []
    store.database["nodes"].delete_one({"_id": "s"})
    assert "no scheduler is online" in findings(over_celery, store), "workers plan nothing"


def test_without_celery_there_are_no_routes(services: Services, super_admin: Actor) -> None:
    job = make_job(services, super_admin)
    assert services.node_control.untaken_routes() == []
    assert services.node_control.why_none((), job.definition.template_type) is None

"""Runs through Celery, over real brokers: what the broker loses or doubles, and what happens to whom it serves."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.audit.model import SYSTEM
from tests.builders.amqp_proxy import AmqpProxy
from tests.builders.brokers import Broker, Rabbit, Redis
from tests.builders.fleet import Fleet
from tests.builders.nats import free_port
from tests.builders.resp_proxy import RespProxy
from tests.lengths import LONG
from tests.support import Service, eventually

AWAY_SECONDS = 300 if LONG else 5
FIRST_RUN_WITHIN = 5.0
PLANNED_WITHIN = 2.0  # seconds after a due time

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def fleet(start: Callable[..., Service], mongod: str, database_name: str, tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes a fleet over a broker's address."""
    made: list[Fleet] = []

    def make(url: str, **settings: str) -> Fleet:
        made.append(Fleet(start, url, uri=mongod, database=database_name, folder=tmp_path, **settings))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_workers_run_what_a_scheduler_plans(broker: Broker, fleet: MakeFleet) -> None:
    house = fleet(broker.url)
    workers = [house.worker(), house.worker()]
    house.put(house.job(), 500)
    house.wait_for(500)
    assert house.outcomes() == {"success": 500}
    owners = set(house.executions.distinct("attempts.worker"))
    assert len(owners) == 2
    assert [worker.stop() for worker in workers] == [0, 0]
    assert house.planner.stop() == 0


def test_each_worker_takes_only_runs_of_its_routes_and_labels(redis: Redis, fleet: MakeFleet) -> None:
    """A run that no worker may take waits until one comes that may. Workers and schedulers say on their own ports how the broker is."""
    house = fleet(redis.url, JOBWRIGHT_CELERY_ROUTES="misbehave=reports")
    ports = [str(free_port()) for _ in range(2)]
    plain, reports = house.job(), house.job(template_type="misbehave", parameters={"how": "async"})
    on_gpu = house.job(template_type="misbehave", parameters={"how": "async"}, needs=["gpu"])
    nobodys = house.job(needs=["gpu"])
    for job in (nobodys, plain, reports, on_gpu):
        house.put(job, 5)
    house.worker(JOBWRIGHT_HEALTH_PORT=ports[0])
    house.worker("reports", JOBWRIGHT_NODE_LABELS="gpu,site=berlin")
    house.wait_for(15)
    house.process("scheduler", JOBWRIGHT_HEALTH_PORT=ports[1]).wait_ready()
    for port in ports:
        answer = httpx.get(f"http://127.0.0.1:{port}/health/detailed", timeout=30).json()
        assert answer["dependencies"]["broker"] == {"status": "healthy"}
    assert house.statuses(nobodys) == ["queued"] * 5
    house.worker("default,other", JOBWRIGHT_NODE_LABELS="gpu")
    house.wait_for(20)
    assert house.outcomes() == {"success": 20}
    labels = {node["_id"]: tuple(node["labels"]) for node in house.store.database["nodes"].find({"role": "worker"})}
    assert {labels[worker] for worker in house.owners(on_gpu) | house.owners(reports)} == {("gpu", "site=berlin")}
    assert {labels[worker] for worker in house.owners(nobodys)} == {("gpu",)}
    assert {labels[worker] for worker in house.owners(plain)} <= {(), ("gpu",)}


def test_runs_wait_while_the_broker_is_away_and_start_soon_after_its_return(redis: Redis, fleet: MakeFleet) -> None:
    """Due times are planned on time meanwhile, and what runs goes on and can be cancelled."""
    house = fleet(redis.url)
    worker = house.worker()
    job, long = house.job(), house.job(parameters={"seconds": 3600})
    (running,) = house.put(long)
    eventually(lambda: house.executions.find_one({"_id": running, "status": "running"}))
    redis.stop()
    waiting = house.put(job, 30)
    ticks = house.job(schedule={"type": "interval", "interval_seconds": 1})
    eventually(lambda: house.executions.count_documents({"job_id": ticks.id}) >= AWAY_SECONDS, seconds=AWAY_SECONDS + 60)
    late = [row["queued_at"] - row["scheduled_for"] for row in house.executions.find({"job_id": ticks.id})]
    assert max(late).total_seconds() < PLANNED_WITHIN
    house.services.runs.cancel(SYSTEM, running)
    eventually(lambda: house.executions.find_one({"_id": running, "status": "cancelled"}))
    assert house.executions.count_documents({"_id": {"$in": waiting}, "status": "queued"}) == 30
    assert house.planner.event("broker.away")
    redis.start()
    began = time.monotonic()
    eventually(lambda: house.executions.find_one({"_id": {"$in": waiting}, "started_at": {"$ne": None}}), every=0.02)
    assert time.monotonic() - began < FIRST_RUN_WITHIN
    eventually(lambda: house.executions.count_documents({"_id": {"$in": waiting}, "status": "success"}) == 30)
    assert worker.stop() == 0


def test_purged_queues_lose_nothing(redis: Redis, fleet: MakeFleet) -> None:
    house = fleet(redis.url)
    house.worker()
    house.put(house.job(), 300)
    for _ in range(10):
        time.sleep(0.2)
        subprocess.run(["redis-cli", "-p", str(redis.port), "flushall"], check=True, capture_output=True)
    house.wait_for(300)
    assert house.outcomes() == {"success": 300}


@pytest.mark.xdist_group("rabbit")
def test_what_rabbitmq_loses_and_doubles_changes_nothing(rabbit: Rabbit, fleet: MakeFleet, tmp_path: Path) -> None:
    proxy, trace = AmqpProxy(rabbit.port, dropped=0.15, doubled=0.15), tmp_path / "trace"
    trace.touch()
    house = fleet(rabbit.url_at(proxy.port))
    house.worker()
    house.worker()
    ids = house.put(house.job(parameters={"file": str(trace)}), 200)
    house.wait_for(200)
    assert house.outcomes() == {"success": 200}
    assert min(proxy.counts.values()) > 10, "the proxy did its work"
    effects = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("end"))
    assert effects == Counter(ids)
    proxy.close()


BROKERS = {"redis": RespProxy, "rabbit": AmqpProxy}
ONLY_LONG = [pytest.mark.xdist_group("rabbit"), pytest.mark.skipif(not LONG, reason="it takes a minute")]


@pytest.mark.parametrize("name", ["redis", pytest.param("rabbit", marks=ONLY_LONG)])
def test_a_worker_that_hears_nothing_is_found_and_others_get_its_runs(name: str, fleet: MakeFleet, request: pytest.FixtureRequest) -> None:
    """It is connected, and its broker answers; only the connection by which it waits for messages is dead."""
    broker: Broker = request.getfixturevalue(name)
    proxy, port = BROKERS[name](broker.port), free_port()
    house = fleet(broker.url)
    deaf = house.worker(CELERY_BROKER_URL=broker.url_at(proxy.port), JOBWRIGHT_HEALTH_PORT=str(port))

    def asked(path: str) -> int:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30).status_code

    eventually(lambda: asked("/ready") == 200)
    proxy.deaf = True
    began = time.monotonic()
    eventually(lambda: deaf.event("worker.deaf"), seconds=60)
    assert time.monotonic() - began < 45
    assert (asked("/ready"), asked("/live")) == (503, 200)
    house.worker()
    house.put(house.job(), 20)
    house.wait_for(20)
    assert time.monotonic() - began < 60
    assert house.outcomes() == {"success": 20}
    proxy.deaf = False
    eventually(lambda: house.store.database["nodes"].count_documents({"hears": True}) == 2)
    assert asked("/ready") == 200
    proxy.close()


def test_a_redis_that_deletes_what_it_has_no_room_for_loses_no_run(redis: Redis, fleet: MakeFleet) -> None:
    """All queues at any moment, as its policy allows."""
    redis.set("maxmemory-policy", "allkeys-random")
    house = fleet(redis.url)
    house.worker()
    assert house.planner.event("broker.evicts")
    redis.set("maxmemory", "1")
    house.put(house.job(), 30)
    eventually(lambda: house.planner.event("broker.away"))
    redis.set("maxmemory", "0")
    house.wait_for(30)
    assert house.outcomes() == {"success": 30}


@pytest.mark.xdist_group("rabbit")
def test_a_worker_stops_in_time_although_its_broker_is_silent(rabbit: Rabbit, fleet: MakeFleet) -> None:
    """Nothing passes between them any more, and no connection ends: what runs is handed back as at any stop."""
    proxy = AmqpProxy(rabbit.port)
    house = fleet(rabbit.url)
    worker = house.worker(CELERY_BROKER_URL=rabbit.url_at(proxy.port), JOBWRIGHT_DRAIN_SECONDS="1")
    (running,) = house.put(house.job(parameters={"seconds": 3600}))
    eventually(lambda: house.executions.find_one({"_id": running, "status": "running"}))
    eventually(lambda: proxy.published)  # it has sent a message to itself, and keeps that connection
    proxy.silent = True
    assert worker.stop() == 0
    (attempt,) = (house.executions.find_one({"_id": running}) or {})["attempts"]
    assert attempt["reason"] == "handed_back"
    assert not worker.event("worker.hangs"), "it let go of its connection"
    proxy.close()

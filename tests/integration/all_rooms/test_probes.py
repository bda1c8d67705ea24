"""What /live, /ready, /health and /health/detailed say of each role, when they say it, and how long they take."""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from pymongo import MongoClient

from app import health
from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node, create_probes, with_engine
from app.mongo import store_errors
from app.node import state
from app.node.node import Node
from app.scheduling.bus_state import BusState
from app.services import Services
from app.webserver.limits import Limits
from app.webserver.server import Server
from tests.clients.services.driver import free_port
from tests.support import Service, eventually

KNOWN: dict[int, Services] = {}  # keeps each alive, so that no two have the same id


@functools.cache
def _client(services: int) -> FlaskClient:
    return create_probes(KNOWN[services]).test_client()


def asked(services: Services, path: str) -> tuple[int, dict[str, Any]]:
    KNOWN[id(services)] = services
    answer = _client(id(services)).get(path)
    return answer.status_code, answer.get_json()


@pytest.fixture
def node(store: Store, settings: Settings, services: Services) -> Iterator[Node]:
    quick = replace(settings, tick_seconds=0.05)
    made = build_node(quick, store, services, InlineExecutor(quick))
    made.start()
    yield made
    made.drain(0)


@pytest.fixture
def scheduler(services: Services, node: Node) -> Services:
    running = replace(with_engine(services, node), role="scheduler")
    eventually(lambda: asked(running, "/ready")[0] == 200)
    return running


# -- a web process ----------------------------------------------------------------------------------------------------


def test_a_web_process_is_ready_until_it_leaves(services: Services) -> None:
    body = {"status": "ready", "role": "web", "database": "healthy", "migrations": "applied", "engine": "not here", "draining": False}
    assert asked(services, "/ready") == (200, body)
    services.leaving.begin()
    left = {"status": "not ready", "role": "web", "database": "not asked", "engine": "not here", "draining": True}
    assert asked(services, "/ready") == (503, left)
    assert asked(services, "/live") == (200, {"status": "alive"})
    assert asked(services, "/health/detailed")[1]["draining"] is True


def test_a_process_whose_database_lacks_a_migration_is_not_ready(services: Services, store: Store) -> None:
    newest = store.database["migrations"].find_one({"applied_at": {"$exists": True}}, sort=[("_id", -1)])
    assert newest is not None
    store.database["migrations"].delete_one({"_id": newest["_id"]})
    status, body = asked(services, "/ready")
    store.database["migrations"].insert_one(newest)  # the tests of a run share them
    assert (status, body["status"], body["migrations"]) == (503, "not ready", "pending")
    assert asked(services, "/live")[0] == 200


def test_probes_are_bounded_while_the_database_says_nothing(services: Services) -> None:
    """It takes connections and never answers, which is worse than a server that is away."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        away: MongoClient[Any] = MongoClient(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?directConnection=true")

        def ping() -> None:
            with store_errors():
                away.admin.command("ping")

        def migrated() -> bool:
            ping()
            return True

        hanging = replace(services, ping=ping, migrated=migrated)
        asked(hanging, "/live")  # makes the application
        for path in ("/ready", "/health", "/health/detailed"):
            began = time.monotonic()
            status, body = asked(hanging, path)
            assert (status, body["status"]) in {(503, "not ready"), (503, "unhealthy")}
            assert time.monotonic() - began < health.PROBE_SECONDS + 1.5, path
        began = time.monotonic()
        assert asked(hanging, "/live") == (200, {"status": "alive"})
        assert time.monotonic() - began < 0.5
        away.close()


def test_several_looks_at_a_database_that_falls_silent_share_one_limit(services: Services) -> None:
    """It still answers whether it is there, and then nothing more: each look for itself would wait as long as a probe may take."""
    asked_for: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        away: MongoClient[Any] = MongoClient(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?directConnection=true")

        def hangs(name: str) -> Callable[[], Any]:
            def look() -> None:
                asked_for.append(name)
                with store_errors():
                    away.admin.command("ping")

            return look

        slow: dict[str, Any] = {
            "ping": lambda: None,
            "unpublished": hangs("bus"),
            "connections": SimpleNamespace(conditions=hangs("connections")),
            "history": SimpleNamespace(live_counts=hangs("executions")),
            "bus": lambda: BusState(connected=True, stream=True, since=services.clock.now()),
        }
        hanging = replace(services, **slow)
        asked(hanging, "/live")  # makes the application
        began = time.monotonic()
        body = asked(hanging, "/health/detailed")[1]
        assert time.monotonic() - began < health.PROBE_SECONDS + 1.5
        assert asked_for == ["bus", "connections", "executions"]
        assert (body["connections"], body["executions"], "owed" in body["dependencies"]["bus"]) == (None, None, False)
        away.close()


def test_probes_are_answered_while_every_thread_waits() -> None:
    go_on, busy = threading.Event(), threading.Semaphore(0)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            busy.release()
            go_on.wait(30)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(application, listener, Limits(body_bytes=1000, connections=100), threads=1)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    waiting = threading.Thread(target=lambda: httpx.get(f"{address}/slow", timeout=60))
    waiting.start()
    assert busy.acquire(timeout=30)
    assert [httpx.get(f"{address}{path}", timeout=30).text for path in ("/live", "/ready", "/live")] == ["ok", "ok", "ok"]
    go_on.set()
    waiting.join()
    server.stop()


# -- a node -----------------------------------------------------------------------------------------------------------


def test_a_scheduler_is_ready_once_it_ticks_and_has_a_permit(scheduler: Services) -> None:
    status, body = asked(scheduler, "/ready")
    assert (status, body["role"], body["engine"], body["permit"], body["migrations"]) == (200, "scheduler", "healthy", "holds", "applied")
    engine = asked(scheduler, "/health/detailed")[1]["dependencies"]["engine"]
    assert (engine["status"], engine["role"], engine["permit"], engine["drains"]) == ("healthy", "scheduler", "holds", False)


def test_a_frozen_dispatcher_is_not_alive(scheduler: Services, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.FROZEN_SECONDS <= 55, "a probe each 5 s finds it within a minute"
    go_on = threading.Event()
    monkeypatch.setattr(health, "FROZEN_SECONDS", 0.5)
    assert node.planning is not None
    monkeypatch.setattr(node.planning.parts.dispatcher, "tick", lambda **_: go_on.wait(30))
    frozen = eventually(lambda: body if (body := asked(scheduler, "/live")[1])["status"] == "frozen" else None)
    assert frozen["turn_age_seconds"] >= 0.5
    assert asked(scheduler, "/live")[0] == 503
    scheduler.leaving.begin()
    assert asked(scheduler, "/live") == (200, {"status": "alive"}), "a drain has stopped the ticks"
    go_on.set()


def test_a_dispatcher_that_fails_is_alive_but_not_ready(
    scheduler: Services, node: Node, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database may be away: a restart would not help."""

    def fails(**_: Any) -> None:
        raise RuntimeError("no")

    assert node.planning is not None
    monkeypatch.setattr(node.planning.parts.dispatcher, "tick", fails)
    clock.advance(seconds=state.STALLED_SECONDS)
    eventually(lambda: asked(scheduler, "/ready")[0] == 503)
    assert asked(scheduler, "/ready")[1]["engine"] == "stalled"
    assert asked(scheduler, "/health/detailed")[0] == 503
    assert asked(scheduler, "/live")[0] == 200


def test_maintenance_is_no_fault_and_a_lost_permit_is(scheduler: Services, node: Node, super_admin: Actor) -> None:
    scheduler.maintenance.begin(super_admin, {"reason": "upgrade"})
    eventually(lambda: asked(scheduler, "/ready")[1]["permit"] == "maintenance")
    assert asked(scheduler, "/ready")[0] == 200
    scheduler.maintenance.end(super_admin)
    eventually(lambda: asked(scheduler, "/ready")[1]["permit"] == "holds")
    assert node.running is not None
    node.running._permits.close()
    status, body = asked(scheduler, "/ready")
    assert (status, body["permit"]) == (503, "none")


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_load_balancer_hears_of_a_stop_before_connections_close(mongod: str, database_name: str, tmp_path: Path) -> None:
    service = Service("web", uri=mongod, database=database_name, data_dir=tmp_path, warm=True, JOBWRIGHT_DRAIN_NOTICE_SECONDS="600")
    try:
        address = service.wait_ready().address
        assert httpx.get(f"{address}/ready").status_code == 200
        service.process.terminate()
        eventually(lambda: httpx.get(f"{address}/ready").status_code == 503)
        assert httpx.get(f"{address}/ready").json()["draining"] is True
        assert httpx.get(f"{address}/sign-in").status_code == 200, "requests that still come are answered"
        service.process.terminate()  # a second one ends the notice
        assert service.process.wait(60) == 0
    finally:
        service.stop(kill=True)


def test_a_scheduler_with_busy_jobs_answers_on_its_port(mongod: str, database_name: str, tmp_path: Path) -> None:
    port = free_port()
    settings = {"JOBWRIGHT_HEALTH_PORT": str(port), "SCHEDULER_EXECUTOR_POOL_SIZE": "4"}
    service = Service("scheduler", uri=mongod, database=database_name, data_dir=tmp_path, warm=True, **settings)
    web = Service("web", uri=mongod, database=database_name, data_dir=tmp_path / "web", warm=True)
    try:
        service.wait_ready()
        web.wait_ready()
        with web.api() as client:
            for number in range(4):
                body = {"name": f"busy {number}", "template_type": "misbehave", "parameters": {"how": "spin"}, "timeout_seconds": 60}
                job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["id"]
                assert client.post(f"/api/admin/scheduler-jobs/{job}/run").status_code == 202
            running = "/api/admin/job-executions?status=running"
            eventually(lambda: len(client.get(running).json()["executions"]) == 4)
        for path, word in (("/live", "alive"), ("/ready", "ready"), ("/health", "healthy"), ("/health/detailed", "healthy")):
            answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
            assert (answer.status_code, answer.json()["status"]) == (200, word), answer.text
        assert httpx.get(f"http://127.0.0.1:{port}/health/detailed", timeout=30).json()["executions"]["running"] == 4
        assert httpx.get(f"http://127.0.0.1:{port}/sign-in", timeout=30).status_code == 404
    finally:
        web.stop(kill=True)
        service.stop(kill=True)

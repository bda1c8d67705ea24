"""Connections are tried now and then: who finds out, who is told, and what it does not hold up."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.connections.health_store import HealthStore
from app.connections.probes import FIRST_WAIT, Probes
from app.factory import Store
from app.services import Services
from tests.conftest import Api
from tests.support import Service, eventually

EVERY = timedelta(minutes=5)
NOWHERE = "/dev/null/nowhere"


@pytest.fixture
def probes(services: Services, store: Store, clock: ManualClock) -> Probes:
    return Probes(services.connections, HealthStore(store.database), clock, services.events, every=EVERY)


def database(services: Services, actor: Actor, uri: str, name: str = "db") -> str:
    settings = {"uri": uri, "database": "elsewhere"}
    return str(services.connections.create(actor, name=name, kind="mongodb", settings=settings)["_id"])


def broken(services: Services, actor: Actor, name: str = "files") -> str:
    """A folder that nobody can make."""
    return str(services.connections.create(actor, name=name, kind="file_store", settings={"path": NOWHERE})["_id"])


def page(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(LexborHTMLParser(answer.get_data(as_text=True)).css_first("main").text().split())  # type: ignore[union-attr]  # each has one


def test_a_connection_is_tried_when_it_is_made_and_then_every_so_often(
    services: Services, super_admin: Actor, probes: Probes, clock: ManualClock, mongod: str
) -> None:
    made = database(services, super_admin, mongod)
    assert services.connections.conditions() == []
    assert (probes.tick(), probes.tick()) == (1, 0)
    (found,) = services.connections.conditions()
    assert (found.id, found.works, found.probed_at) == (made, True, clock.now())
    clock.advance(EVERY.total_seconds() - 1)
    assert probes.tick() == 0
    clock.advance(1)
    assert probes.tick() == 1
    (again,) = services.connections.conditions()
    assert (again.since, again.probed_at) == (found.since, clock.now()), "it answers since it first did"


def test_one_that_fails_is_tried_sooner_each_time_later_and_its_recovery_is_seen(
    services: Services, super_admin: Actor, probes: Probes, clock: ManualClock, tmp_path: Path
) -> None:
    made = broken(services, super_admin)
    began, looks = clock.now(), []
    for _ in range(800):
        if probes.tick():
            looks.append((clock.now() - began).total_seconds())
        clock.advance(1)
    first = FIRST_WAIT.total_seconds()
    assert looks == [0, first, 3 * first, 7 * first, 15 * first, 15 * first + EVERY.total_seconds()]
    (found,) = services.connections.conditions()
    assert (found.works, found.since) == (False, began)
    assert NOWHERE in found.message
    services.connections.update(super_admin, made, name="files", settings={"path": str(tmp_path / "installed here")})
    assert probes.tick() == 1, "other settings are tried at once"
    (mended,) = services.connections.conditions()
    assert (mended.works, mended.since) == (True, clock.now())


def test_many_nodes_share_the_looks(services: Services, super_admin: Actor, store: Store, clock: ManualClock, mongod: str) -> None:
    for n in range(5):
        database(services, super_admin, mongod, f"db {n}")
    counts: list[int] = []
    barrier = threading.Barrier(6)

    def node() -> None:
        mine = Probes(services.connections, HealthStore(store.database), clock, services.events, every=EVERY)
        barrier.wait()
        counts.append(mine.tick())

    threads = [threading.Thread(target=node) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 5


def test_a_node_that_died_over_a_look_is_followed_by_another(
    services: Services, super_admin: Actor, store: Store, probes: Probes, clock: ManualClock, mongod: str
) -> None:
    made = database(services, super_admin, mongod)
    assert HealthStore(store.database).claim(made, 1, None, now=clock.now(), until=clock.now() + timedelta(minutes=2))
    assert probes.tick() == 0
    clock.advance(121)
    assert probes.tick() == 1


def test_what_is_gone_is_forgotten_and_secrets_are_left_alone(
    services: Services, super_admin: Actor, store: Store, probes: Probes, mongod: str
) -> None:
    made = database(services, super_admin, mongod)
    services.connections.create(super_admin, name="key", kind="secret", settings={"value": "hidden"})
    assert probes.tick() == 1
    services.connections.delete(super_admin, made)
    assert probes.tick() == 0
    assert HealthStore(store.database).all() == {}


def test_a_test_by_hand_is_what_the_list_shows_next(services: Services, super_admin: Actor, probes: Probes, clock: ManualClock) -> None:
    made = broken(services, super_admin)
    probes.tick()
    clock.advance(10)
    works, message = services.connections.probe(super_admin, made)
    (found,) = services.connections.conditions()
    assert (works, found.works, found.message, found.probed_at) == (False, False, message, clock.now())


def test_people_see_which_do_not_answer_and_admins_no_more_than_that(
    services: Services,
    super_admin: Actor,
    admin: Actor,
    probes: Probes,
    mongod: str,
    browser_client: FlaskClient,
    api: Api,
    admin_api: Api,
) -> None:
    database(services, super_admin, mongod, "good one")
    made = broken(services, super_admin, "bad one")
    services.connections.create(super_admin, name="key", kind="secret", settings={"value": "hidden"})
    job = services.jobs.create(
        super_admin,
        {"name": "clean", "template_type": "file_cleanup", "parameters": {"store": "bad one", "older_than_days": 3}},
    )[0]
    probes.tick()
    dashboard = page(browser_client, "/")
    assert "bad one File store, does not answer, noticed" in dashboard
    assert "1 connection answers" in dashboard
    assert "No answer, first noticed" in page(browser_client, f"/jobs/{job.id}")
    connections = page(browser_client, "/connections")
    assert "does not answer, noticed" in connections
    assert NOWHERE in connections
    whole = {row["name"]: row["health"] for row in api("GET", "/api/admin/connections").json["connections"]}
    assert (whole["good one"]["works"], whole["bad one"]["works"], whole["key"]) == (True, False, None)
    assert NOWHERE in whole["bad one"]["message"]
    least = {row["_id"]: row["health"] for row in admin_api("GET", "/api/admin/connections").json["connections"]}
    assert least[made].keys() == {"works", "since", "probed_at"}
    assert api("GET", "/health/detailed").json["connections"] == {"answering": 1, "failing": 1}


def test_a_service_tries_what_was_just_made_and_stops_at_once_while_it_waits(
    mongod: str, database_name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A server that takes the connection and never says a word holds up neither the node nor its stop."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path_factory.mktemp("mute")).wait_ready()
        with service.client(service.token()) as client:
            settings = {"host": "127.0.0.1", "port": mute.getsockname()[1], "security": "none", "sender": "a@example.com"}
            made = client.post("/api/admin/connections", json={"name": "mute", "kind": "smtp", "settings": settings})
            assert made.status_code == 201, made.text
            mute.settimeout(15)
            caller, _ = mute.accept()
            run = client.post("/api/admin/scheduler-jobs", json={"name": "j", "template_type": "noop"}).json()["job"]["_id"]
            started = client.post(f"/api/admin/scheduler-jobs/{run}/run").json()["execution_id"]
            eventually(lambda: client.get(f"/api/admin/job-executions/{started}").json()["execution"]["status"] == "success")
        assert service.stop() == 0
        caller.close()

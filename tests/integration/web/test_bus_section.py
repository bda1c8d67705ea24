"""The page System says how the bus of each node is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.accounts.model import Role
from app.audit.model import SYSTEM
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services, create_app
from app.integrations.nats import problems
from app.jobtemplates.catalogue import Catalogue
from app.scheduling.bus_state import BusState
from app.scheduling.node_store import Heartbeat, NodeStore
from tests.builders.bus import owe_events
from tests.conftest import csrf
from tests.posting import text
from tests.support import PASSWORD

PLACE = "nats.example.com:4222"


@pytest.fixture
def client(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue) -> Iterator[FlaskClient]:
    """A super-admin at an installation with a bus, of which 2 records have events that are not published."""
    services = build_services(replace(settings, nats_url=f"nats://jobs:sealed-word@{PLACE}"), store, clock=clock, catalogue=catalogue)
    services.accounts.create_user(SYSTEM, email="boss@example.com", password=PASSWORD, role=Role.SUPER_ADMIN)
    client = create_app(services).test_client()
    form = {"csrf_token": csrf(text(client.get("/sign-in"))), "email": "boss@example.com", "password": PASSWORD}
    assert client.post("/sign-in", data=form).status_code == 302
    owe_events(store, services, 1)
    yield client
    services.samples.close()


def beat(store: Store, clock: ManualClock, name: str, bus: BusState | None) -> None:
    NodeStore(store.database).beat(name, Heartbeat(host=name, clock=clock.now(), tick_age_seconds=0.1, bus=bus))
    store.database["nodes"].update_one({"_id": name}, {"$set": {"seen_at": clock.now()}})


def state(since: datetime, *, connected: bool = True, stream: bool = True, problem: str = "") -> BusState:
    return BusState(connected=connected, stream=stream, since=since, server=PLACE if connected else "", problem=problem)


def rows(client: FlaskClient, language: str = "en") -> dict[str, str]:
    page = LexborHTMLParser(text(client.get("/system", headers={"Accept-Language": language})))
    return {" ".join(row.text().split()).split()[0]: " ".join(row.text().split()) for row in page.css("#bus tbody tr")}


def test_each_node_says_how_its_bus_is(client: FlaskClient, store: Store, clock: ManualClock) -> None:
    assert "No node that is online has told how its bus is." in text(client.get("/system"))
    now = clock.now()
    beat(store, clock, "alpha", state(now))
    beat(store, clock, "beta", state(now, problem=problems.of_commands(PLACE, "jobwright.commands.*")))
    beat(store, clock, "gamma", state(now, stream=False, problem=problems.of_stream(TimeoutError(), PLACE, "JOBWRIGHT_EVENTS")))
    refused = problems.of_connection(ConnectionRefusedError(), PLACE, 5.0)
    beat(store, clock, "delta", state(now, connected=False, stream=False, problem=refused))
    beat(store, clock, "epsilon", None)
    beat(store, clock, "zeta", state(now))
    store.database["nodes"].update_one({"_id": "zeta"}, {"$set": {"seen_at": now - timedelta(minutes=5)}})
    shown = rows(client)
    assert list(shown) == ["alpha", "beta", "delta", "gamma"], "a node that is gone says nothing of its bus"
    assert "connected" in shown["alpha"]
    assert PLACE in shown["alpha"]
    assert "hears no commands" in shown["beta"]
    assert "does not let Jobwright subscribe to jobwright.commands.*" in shown["beta"]
    assert "stores no events" in shown["gamma"]
    assert "not connected" in shown["delta"]
    assert f"Nothing listens at {PLACE} (connection refused)" in shown["delta"]
    page = text(client.get("/system"))
    assert "have events that are not published yet" in page
    assert "sealed-word" not in page


def test_the_sentences_are_in_the_language_of_the_reader(client: FlaskClient, store: Store, clock: ManualClock) -> None:
    words = problems.of_stream(TimeoutError(), PLACE, "JOBWRIGHT_EVENTS")
    beat(store, clock, "alpha", state(clock.now(), stream=False, problem=words))
    german = rows(client, "de")["alpha"]
    assert "speichert keine Ereignisse" in german
    assert "Im Stream JOBWRIGHT_EVENTS lassen sich keine Ereignisse speichern" in german
    assert "did not answer" not in german


def test_without_a_bus_there_is_no_section(browser_client: FlaskClient) -> None:
    assert 'id="bus"' not in text(browser_client.get("/system"))

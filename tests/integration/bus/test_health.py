"""Health pages and the doctor say how the bus is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.config import Settings
from app.doctor import Doctor
from app.factory import Store, build_services, create_api
from app.findings import Finding, Level
from app.integrations.nats.bus import Bus
from app.services import Services
from tests.builders.bus import owe_events
from tests.builders.nats import NatsServer
from tests.support import eventually


def shown(services: Services) -> dict[str, Any]:
    answer = create_api(services).test_client().get("/health/detailed")
    assert answer.status_code == 200, "an engine works without its bus"
    bus: dict[str, Any] = answer.get_json()["dependencies"]["bus"]
    return bus


def findings(services: Services, store: Store) -> list[Finding]:
    return [finding for finding in Doctor(services, store).examine() if finding.subject == "Bus"]


def test_health_says_whether_the_bus_takes_events(bus: Bus, bus_services: Services, store: Store) -> None:
    with_bus = replace(bus_services, bus=bus.state)
    owe_events(store, bus_services, 3)
    health = shown(with_bus)
    assert (health["status"], health["connected"], health["stream"]) == ("healthy", True, True)
    assert health["owed"] == 4, "three executions and the creation of a job"
    assert "nats://" not in str(health)
    bus.close()
    eventually(lambda: not bus.takes_events())


def test_without_a_bus_health_says_so(app: Flask) -> None:
    assert app.test_client().get("/health/detailed").get_json()["dependencies"]["bus"] == {"status": "not here"}


def test_the_doctor_looks_at_the_server(bus_services: Services, store: Store, nats_server: NatsServer) -> None:
    (fine,) = findings(bus_services, store)
    assert fine.level is Level.OK
    assert f"at 127.0.0.1:{nats_server.port} answers, with JetStream" in fine.text
    owe_events(store, bus_services, 1_200)
    (late,) = findings(bus_services, store)
    assert late.level is Level.WARNING
    assert "events of 1,201 records are unpublished" in late.text


@pytest.mark.parametrize(
    ("url", "words"), [("nats://127.0.0.1:1", "cannot be reached"), ("nats://u:hidden@127.0.0.1:1", "cannot be reached")]
)
def test_the_doctor_says_what_to_do_about_a_server_that_is_away(url: str, words: str, bus_settings: Settings, store: Store) -> None:
    services = build_services(replace(bus_settings, nats_url=url), store)
    (away,) = findings(services, store)
    services.samples.close()
    assert away.level is Level.PROBLEM
    assert words in away.text
    assert "nats-server --jetstream" in away.advice
    assert "hidden" not in away.text + away.advice


def test_the_doctor_says_nothing_of_a_bus_that_is_not_set(services: Services, store: Store) -> None:
    assert findings(services, store) == []

"""An installation with a bus over a real nats-server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.config import Settings
from app.factory import Store, build_services
from app.factory.bus import build_bus
from app.integrations.nats.bus import Bus
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.builders.nats import NatsServer, running_nats
from tests.integration.bus.talk import Talk
from tests.support import eventually


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def bus_settings(settings: Settings, nats_server: NatsServer, database_name: str) -> Settings:
    """Each test has subjects and a stream of its own."""
    return replace(settings, nats_url=nats_server.url, nats_prefix=database_name, runs_per_hour=1000)


@pytest.fixture
def bus_services(store: Store, bus_settings: Settings, catalogue: Catalogue) -> Iterator[Services]:
    services = build_services(bus_settings, store, catalogue=catalogue)
    yield services
    services.samples.close()


@pytest.fixture
def bus(bus_settings: Settings, bus_services: Services) -> Iterator[Bus]:
    """The bus of a node, connected."""
    made = build_bus(bus_settings, bus_services)
    assert made is not None
    made.start()
    eventually(made.takes_events)
    yield made
    made.close()


@pytest.fixture
def talk(nats_server: NatsServer, bus_settings: Settings) -> Talk:
    return Talk(nats_server.url, bus_settings.nats_prefix)

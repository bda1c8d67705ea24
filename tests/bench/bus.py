"""The bus after an outage: how soon what has happened meanwhile is published."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from unittest.mock import create_autospec

from app.config import Settings
from app.executors.base import Executor
from app.factory import Store, build_node, build_services, migrate
from app.mongo import connect, open_database
from tests.builders.bus import owe_events, owing_count
from tests.builders.nats import NatsServer
from tests.support import KEY, eventually

EVENTS = 50_000
TARGET_SECONDS = 60.0


class Row(Protocol):
    """Prints one figure."""

    def __call__(self, name: str, value: float, unit: str, target: float, *, more_is_better: bool) -> None: ...


def bus(uri: str, folder: Path, row: Row) -> None:
    """50,000 events wait for a nats-server that is away: the time from its return until the stream has all of them."""
    (folder / "nats").mkdir()
    server = NatsServer(folder / "nats")
    client = connect(uri)
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    migrate(store)
    settings = replace(Settings(secret_key=KEY), data_dir=str(folder / "bus"), nats_url=server.url)
    services = build_services(settings, store)
    node = build_node(settings, store, services, create_autospec(Executor, instance=True))
    carrier = next(carrier for carrier in node.planning.parts.carriers if carrier.name == "publish_execution")
    assert node.planning.parts.bus is not None
    node.planning.parts.bus.start()
    try:
        owe_events(store, services, EVENTS // 2)
        began = time.monotonic()
        server.start()
        eventually(node.planning.parts.bus.takes_events)
        carrier.tick()
        assert owing_count(store) == 0
        row(f"{EVENTS:,} events after an outage of NATS", time.monotonic() - began, "s", TARGET_SECONDS, more_is_better=False)
    finally:
        node.planning.parts.bus.close()
        server.stop()
        services.samples.close()
        client.drop_database(store.database.name)
        client.close()

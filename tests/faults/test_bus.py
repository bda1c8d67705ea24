"""Publishers of events that are killed with -9 at the worst moment, or stopped in the middle: no event is lost, doubled or out of order."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.config import Settings
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node, build_services
from app.integrations.nats.publishing import PublishExecution
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.builders.bus import owe_events, owing_count
from tests.builders.nats import NatsServer, running_nats
from tests.integration.bus.talk import Talk
from tests.support import eventually

KILLS = 3
AT_ONCE = 50  # executions for each publisher that is killed


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
def with_bus(settings: Settings, nats_server: NatsServer, database_name: str) -> Settings:
    return replace(settings, nats_url=nats_server.url, nats_prefix=database_name)


@pytest.fixture
def services(store: Store, with_bus: Settings, catalogue: Catalogue) -> Iterator[Services]:
    made = build_services(with_bus, store, catalogue=catalogue)
    yield made
    made.samples.close()


@pytest.fixture
def talk(nats_server: NatsServer, with_bus: Settings) -> Talk:
    return Talk(nats_server.url, with_bus.nats_prefix)


def kinds_by_execution(talk: Talk) -> dict[str, list[str]]:
    """The events of each execution in the order of the stream, repeats included."""
    kinds: dict[str, list[str]] = {}
    for event in talk.events():
        if event["type"].startswith("jobwright.execution."):
            kinds.setdefault(event["subject"], []).append(event["type"].rpartition(".")[2])
    return kinds


def test_killed_between_the_stream_and_the_database_nothing_is_doubled(
    store: Store, mongod: str, with_bus: Settings, services: Services, nats_server: NatsServer, talk: Talk
) -> None:
    ids = owe_events(store, services, KILLS * AT_ONCE + 20)
    name = store.database.name
    for killed in range(1, KILLS + 1):
        arguments = [mongod, name, nats_server.url, with_bus.nats_prefix, str(AT_ONCE)]
        ended = subprocess.run([sys.executable, "-m", "tests.faults.publish_and_die", *arguments], check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert owing_count(store) == len(ids), "the database knows of none"
        assert AT_ONCE <= len(kinds_by_execution(talk)) <= killed * AT_ONCE, "the stream has them"
    node = build_node(with_bus, store, services, InlineExecutor(with_bus))
    node.start()
    eventually(lambda: owing_count(store) == 0)
    node.drain(5)
    told = kinds_by_execution(talk)
    assert set(told) == set(ids)
    assert {tuple(kinds) for kinds in told.values()} == {("started", "success")}, "each once, in order"


def test_a_node_that_stops_in_the_middle_of_publishing_leaves_nothing_behind(
    store: Store, with_bus: Settings, services: Services, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = owe_events(store, services, 3_000)
    monkeypatch.setattr(PublishExecution, "most_at_once", 10)
    threads = set(threading.enumerate())
    node = build_node(with_bus, store, services, InlineExecutor(with_bus))
    node.start()
    eventually(lambda: owing_count(store) < len(ids))
    node.drain(5)
    left = [thread.name for thread in threading.enumerate() if thread not in threads and thread.name.startswith("bus")]
    assert left == []
    assert owing_count(store) > 0, "it stopped in the middle"
    monkeypatch.undo()
    second = build_node(with_bus, store, services, InlineExecutor(with_bus))
    second.start()
    eventually(lambda: owing_count(store) == 0)
    second.drain(5)
    told = kinds_by_execution(talk)
    assert set(told) == set(ids)
    assert {tuple(kinds) for kinds in told.values()} == {("started", "success")}

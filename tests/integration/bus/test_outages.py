"""A nats-server that goes away, comes back, falls silent or has no JetStream: the engine goes on, and no event is lost or told twice."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.audit.model import SYSTEM
from app.config import Settings
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node, build_services
from app.factory.bus import build_bus
from app.integrations.nats import bus as bus_module
from app.integrations.nats.bus import Bus
from app.integrations.nats.messages import BusAway, Message, events_subject
from app.jobtemplates.catalogue import Catalogue
from app.node.node import Node
from app.services import Services
from tests.builders.bus import owe_events, owing_count
from tests.builders.nats import NatsServer, running_nats
from tests.integration.bus.talk import Talk
from tests.lengths import LONG
from tests.support import eventually

EVENTS = 50_000 if LONG else 2_000
OUTAGE_SECONDS = 600 if LONG else 2
RESTARTS = 12 if LONG else 3
RESTART_EVERY = 10.0 if LONG else 2.0


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of each test alone, as these tests end it."""
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
def node(store: Store, bus_settings: Settings, bus_services: Services) -> Iterator[Node]:
    node = build_node(bus_settings, store, bus_services, InlineExecutor(bus_settings))
    node.start()
    yield node
    node.drain(5)


def message(number: int, prefix: str) -> Message:
    return Message(id=f"m{number}", subject=events_subject(prefix, "execution.success"), data=b"{}")


def test_a_server_that_is_away_at_the_start_stops_nothing(
    nats_server: NatsServer, node: Node, store: Store, bus_services: Services, talk: Talk
) -> None:
    assert node.planning.parts.bus is not None
    eventually(node.planning.parts.bus.takes_events)
    nats_server.stop()
    eventually(lambda: not node.planning.parts.bus.state().connected)  # type: ignore[union-attr]
    job, _ = bus_services.jobs.create(SYSTEM, {"name": "plain", "template_type": "noop"})
    runs = [bus_services.runs.run_now(SYSTEM, job.id).id for _ in range(3) if _finished(store)]
    eventually(lambda: _finished(store))
    assert {row["status"] for row in store.database["job_executions"].find()} == {"success"}
    assert owing_count(store) == len(runs), "each owes its events"
    assert store.database["job_executions"].count_documents({"owed.tries": {"$gt": 0}}) == 0, "an outage is no failed try"
    state = node.planning.parts.bus.state()
    assert (state.connected, state.stream) == (False, False)
    assert state.problem
    nats_server.start()
    eventually(lambda: owing_count(store) == 0)
    for run in runs:
        assert [event["type"] for event in talk.events(run)] == ["jobwright.execution.started", "jobwright.execution.success"]


def _finished(store: Store) -> bool:
    return store.database["job_executions"].count_documents({"live": True}) == 0


def test_the_events_of_an_outage_are_published_within_a_minute_of_its_end(
    nats_server: NatsServer, node: Node, store: Store, bus_services: Services, talk: Talk
) -> None:
    assert node.planning.parts.bus is not None
    nats_server.stop()
    eventually(lambda: not node.planning.parts.bus.state().connected)  # type: ignore[union-attr]
    ids = owe_events(store, bus_services, EVENTS // 2)
    time.sleep(OUTAGE_SECONDS)  # the length of the outage itself, during which nothing may be lost
    assert owing_count(store) == len(ids)
    nats_server.start()
    eventually(lambda: owing_count(store) == 0, seconds=60.0, every=0.2)
    told = Counter(event["subject"] for event in talk.events() if event["type"].startswith("jobwright.execution."))
    assert told == dict.fromkeys(ids, 2)


def test_a_server_that_restarts_under_load_loses_and_doubles_nothing(
    nats_server: NatsServer, node: Node, store: Store, bus_services: Services, talk: Talk
) -> None:
    token = bus_services.tokens.create(SYSTEM, email=_account(bus_services), name="t")
    ids: list[str] = []
    for restart in range(RESTARTS):
        ids += owe_events(store, bus_services, 500)
        body = {"name": f"job {restart}", "template_type": "noop"}
        created = {"token": token, "body": body, "idempotency_key": f"create-{restart}"}
        began = time.monotonic()
        nats_server.stop(signal.SIGKILL if restart % 2 else signal.SIGTERM)
        nats_server.start()
        job = eventually(lambda created=created: _ask(talk, "create", created))  # type: ignore[misc]
        run = {"token": token, "job": job["job"]["id"], "idempotency_key": f"run-{restart}"}
        eventually(lambda run=run: _ask(talk, "trigger", run))  # type: ignore[misc]
        while time.monotonic() - began < RESTART_EVERY:
            time.sleep(0.1)
    eventually(lambda: _finished(store) and owing_count(store) == 0)
    events = talk.events()
    assert len({event["id"] for event in events}) == len(events), "none is there twice"
    by_execution: dict[str, list[str]] = {}
    for event in events:
        if event["type"].startswith("jobwright.execution."):
            by_execution.setdefault(event["subject"], []).append(event["type"].rpartition(".")[2])
    assert len(by_execution) == len(ids) + RESTARTS, "each command had one effect"
    assert {tuple(kinds) for kinds in by_execution.values()} == {("started", "success")}, "in order, none lost"
    assert store.database["dynamic_jobs"].count_documents({"name": {"$regex": "^job "}}) == RESTARTS


def _account(services: Services) -> str:
    services.accounts.ensure_first_admin(SYSTEM, email="admin@example.com", password="correct horse battery")
    return "admin@example.com"


def _ask(talk: Talk, name: str, message: dict[str, object]) -> dict[str, object] | None:
    """The answer to a command; None where none came in time, and it is to be sent again with the same key."""
    try:
        answer = talk.command(name, message, timeout=1.0)
    except Exception:
        return None
    assert answer.status in {201, 202}, answer
    return dict(answer.body)


def test_a_server_that_falls_silent_is_noticed(
    nats_server: NatsServer, bus: Bus, bus_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port still accepts, as that of a machine whose process hangs does."""
    monkeypatch.setattr(bus_module, "WATCH_SECONDS", 0.2)
    eventually(bus.takes_events)
    nats_server.send(signal.SIGSTOP)
    eventually(lambda: not bus.state().connected)
    (sent,) = bus.publish([[message(1, bus.prefix)]])
    assert isinstance(sent.error, BusAway)
    nats_server.send(signal.SIGCONT)
    eventually(bus.takes_events)
    assert [sent.error for sent in bus.publish([[message(2, bus.prefix)]])] == [None]


def test_a_server_that_says_nothing_holds_up_no_run(nats_server: NatsServer, node: Node, store: Store, bus_services: Services) -> None:
    """The connection is there and takes what is sent, but nothing is answered: runs end meanwhile, and each owes its events."""
    assert node.planning.parts.bus is not None
    eventually(node.planning.parts.bus.takes_events)
    nats_server.send(signal.SIGSTOP)
    job, _ = bus_services.jobs.create(SYSTEM, {"name": "plain", "template_type": "noop"})
    runs = [bus_services.runs.run_now(SYSTEM, job.id) for _ in range(3) if eventually(lambda: _finished(store))]
    eventually(lambda: _finished(store))
    assert store.database["job_executions"].count_documents({"status": "success"}) == len(runs)
    assert owing_count(store) == len(runs)
    nats_server.send(signal.SIGCONT)
    eventually(lambda: owing_count(store) == 0)


def test_a_subscription_that_hears_nothing_is_replaced(
    bus: Bus, bus_services: Services, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is there, and its subscriptions are dead: what nats-py issue 504 is about."""
    monkeypatch.setattr(bus_module, "WATCH_SECONDS", 0.2)
    first = bus._connection
    assert first is not None
    assert first._client is not None
    for subscription in first._client._subs.values():
        subscription._pending_queue.put_nowait = lambda *_: None  # it takes what comes, and tells nobody
    eventually(lambda: bus._connection not in {None, first} and bus.takes_events())
    answer = talk.command("list", {"token": "jw_wrong"})
    assert answer.status == 401


def test_a_stream_that_somebody_removes_is_made_again(bus: Bus, talk: Talk, nats_server: NatsServer) -> None:
    import asyncio

    import nats

    async def remove() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream().delete_stream(f"{bus.prefix.upper()}_EVENTS")
        await client.close()

    asyncio.run(remove())
    (sent,) = bus.publish([[message(1, bus.prefix)]])
    assert isinstance(sent.error, BusAway)
    eventually(bus.takes_events)
    assert [sent.error for sent in bus.publish([[message(1, bus.prefix)]])] == [None]
    assert len(talk.messages()) == 1


def test_a_message_with_the_same_id_is_stored_once(bus: Bus, talk: Talk) -> None:
    for _ in range(3):
        assert [sent.error for sent in bus.publish([[message(1, bus.prefix), message(2, bus.prefix)]])] == [None]
    assert [found.headers["Nats-Msg-Id"] for _, found in talk.messages()] == ["m1", "m2"]


def test_a_chain_ends_at_its_first_failure(bus: Bus, talk: Talk) -> None:
    huge = replace(message(2, bus.prefix), data=b"x" * 2_000_000)
    chain = [message(1, bus.prefix), huge, message(3, bus.prefix)]
    first, second = bus.publish([chain, [message(4, bus.prefix)]])
    assert first.count == 1
    assert first.error is not None
    assert not isinstance(first.error, BusAway), "to try again would not help"
    assert (second.count, second.error) == (1, None)
    assert {found.headers["Nats-Msg-Id"] for _, found in talk.messages()} == {"m1", "m4"}


def test_without_jetstream_commands_are_answered_and_events_wait(
    tmp_path: Path, bus_settings: Settings, store: Store, catalogue: Catalogue
) -> None:
    (tmp_path / "plain").mkdir()
    with running_nats(tmp_path / "plain", jetstream=False) as server:
        settings = replace(bus_settings, nats_url=server.url)
        services = build_services(settings, store, catalogue=catalogue)
        bus = build_bus(settings, services)
        assert bus is not None
        bus.start()
        try:
            eventually(lambda: "has no JetStream" in bus.state().problem)
            assert (bus.state().connected, bus.takes_events()) == (True, False)
            assert Talk(server.url, settings.nats_prefix).command("list", {"token": "jw_x"}).status == 401
        finally:
            bus.close()
            services.samples.close()


def test_a_wrong_password_is_told_and_the_password_is_not(
    tmp_path: Path, bus_settings: Settings, bus_services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir()
    config = "authorization { user: a, password: right-password }"
    with running_nats(tmp_path / "closed", config=config) as server:
        wrong = server.url.replace("//", "//a:wrong-password@")
        bus = build_bus(replace(bus_settings, nats_url=wrong), bus_services)
        assert bus is not None
        bus.start()
        try:
            eventually(lambda: "uthorization" in bus.state().problem)
        finally:
            bus.close()
        right = build_bus(replace(bus_settings, nats_url=server.url.replace("//", "//a:right%2dpassword@")), bus_services)
        assert right is not None
        right.start()
        try:
            eventually(right.takes_events)
            assert right.state().server == server.url.removeprefix("nats://")
        finally:
            right.close()
    written = capfd.readouterr()
    assert "wrong-password" not in written.err + written.out

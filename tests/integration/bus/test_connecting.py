"""How a bus gets its connection: TLS, sign-in and rights, and what it says while it has none."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nats
import pytest

from app.config import Settings
from app.factory.bus import build_bus
from app.integrations.nats.bus import Bus
from app.integrations.nats.messages import BusAway, Message, events_subject
from app.services import Services
from templates_lib.connections.nats import KIND
from templates_lib.own import Own
from tests.builders.nats import NatsServer, running_nats
from tests.builders.tls import make_certificate
from tests.integration.bus.talk import Talk
from tests.support import eventually

PASSWORD = "hidden-password"


@contextmanager
def bus_at(url: str, settings: Settings, services: Services) -> Iterator[Bus]:
    """A bus that tries to connect to this address."""
    bus = build_bus(replace(settings, nats_url=url), services)
    assert bus is not None
    bus.start()
    try:
        yield bus
    finally:
        bus.close()


def says(bus: Bus, words: str) -> bool:
    return words in bus.state().problem


class Impostor:
    """Accepts connections as a NATS server does, and says `first`. It keeps everything that it hears, and when."""

    def __init__(self, first: bytes, then: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.times: list[float] = []
        self._first, self._then = first, then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            with client:
                client.settimeout(1.0)
                client.sendall(self._first)
                try:
                    self.heard.append(client.recv(65_536))
                    client.sendall(self._then)
                    client.recv(65_536)
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def impostor() -> Iterator[Callable[..., Impostor]]:
    made: list[Impostor] = []

    def make(first: bytes, then: bytes = b"") -> Impostor:
        made.append(Impostor(first, then))
        return made[-1]

    yield make
    for each in made:
        each.close()


PLAIN = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"auth_required":true}\r\n'


def test_no_password_goes_out_before_tls(
    impostor: Callable[..., Impostor], bus_settings: Settings, bus_services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody between Jobwright and the server removes the offer of TLS."""
    server = impostor(PLAIN)
    with bus_at(f"tls://jobs:{PASSWORD}@127.0.0.1:{server.port}", bus_settings, bus_services) as bus:
        eventually(lambda: says(bus, "does not speak TLS as expected (the server does not offer TLS)"))
        eventually(lambda: len(server.heard) >= 2)
    assert PASSWORD.encode() not in b"".join(server.heard)
    settings = {"servers": [f"tls://127.0.0.1:{server.port}"], "subjects": ["a"], "username": "jobs", "password": PASSWORD}
    with pytest.raises(Exception, match="does not offer TLS"):
        KIND.probe(settings, Own(), 5.0)
    assert PASSWORD.encode() not in b"".join(server.heard)
    written = capfd.readouterr()
    assert PASSWORD not in written.err + written.out


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    return make_certificate(tmp_path)


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_tls_with_a_certificate_that_is_trusted_or_not(
    scheme: str,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    bus_settings: Settings,
    bus_services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, key = certificate
    (tmp_path / "tls").mkdir()
    config = f'tls {{ cert_file: "{made}", key_file: "{key}" }}'
    with running_nats(tmp_path / "tls", config=config) as server:
        url = server.url.replace("nats://", f"{scheme}://")
        with bus_at(url, bus_settings, bus_services) as bus:
            eventually(lambda: says(bus, "is not trusted"))
            assert not bus.state().connected
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        with bus_at(url, bus_settings, bus_services) as bus:
            eventually(bus.takes_events)
            assert bus.state().problem == ""


def test_a_server_that_only_allows_tls_is_asked_for_it(
    certificate: tuple[Path, Path], tmp_path: Path, bus_settings: Settings, bus_services: Services
) -> None:
    made, key = certificate
    (tmp_path / "both").mkdir()
    config = f'tls {{ cert_file: "{made}", key_file: "{key}" }}\nallow_non_tls: true'
    with running_nats(tmp_path / "both", config=config) as server:
        with bus_at(server.url.replace("nats://", "tls://"), bus_settings, bus_services) as bus:
            eventually(lambda: says(bus, "is not trusted"))  # so it was asked
        with bus_at(server.url, bus_settings, bus_services) as bus:
            eventually(bus.takes_events)


def rights(prefix: str, *, hears: bool = True, stream: bool = True) -> str:
    """The configuration of a server with one user, who has the rights that the reference lists, or fewer."""
    publish = [f"{prefix}.events.>", "_INBOX.>"]
    if stream:
        name = f"{prefix.upper()}_EVENTS"
        publish += [f"$JS.API.STREAM.INFO.{name}", f"$JS.API.STREAM.CREATE.{name}", "$JS.API.INFO"]
    subscribe = ["_INBOX.>", *([f"{prefix}.commands.*"] if hears else [])]
    listed = ", ".join(f'"{subject}"' for subject in publish), ", ".join(f'"{subject}"' for subject in subscribe)
    return f"authorization {{ users: [ {{ user: jw, password: {PASSWORD}, permissions: {{ publish: [{listed[0]}], subscribe: [{listed[1]}] }} }} ] }}"


@pytest.mark.parametrize(
    ("fewer", "words", "takes"),
    [
        ({}, "", True),
        ({"hears": False}, "does not let Jobwright subscribe to", True),
        ({"stream": False}, "does not let Jobwright use the stream", False),
    ],
)
def test_the_rights_of_the_reference_are_enough_and_missing_ones_are_named(
    fewer: dict[str, bool], words: str, takes: bool, tmp_path: Path, bus_settings: Settings, bus_services: Services
) -> None:
    (tmp_path / "rights").mkdir()
    with running_nats(tmp_path / "rights", config=rights(bus_settings.nats_prefix, **fewer)) as server:
        url = server.url.replace("//", f"//jw:{PASSWORD}@")
        with bus_at(url, bus_settings, bus_services) as bus:
            eventually(lambda: bus.state().connected and bus.takes_events() == takes and (says(bus, words) if words else True))
            assert bool(bus.state().problem) == bool(words)
            assert PASSWORD not in bus.state().problem
            if takes:
                message = Message(id="1", subject=events_subject(bus.prefix, "execution.success"), data=b"{}")
                assert [sent.error for sent in bus.publish([[message]])] == [None]


def test_refused_sign_ins_are_tried_less_and_less_often(
    impostor: Callable[..., Impostor], bus_settings: Settings, bus_services: Services
) -> None:
    server = impostor(PLAIN, b"-ERR 'Authorization Violation'\r\n")
    with bus_at(f"nats://jobs:{PASSWORD}@127.0.0.1:{server.port}", bus_settings, bus_services) as bus:
        eventually(lambda: says(bus, "refused the sign-in"))
        eventually(lambda: len(server.times) >= 5)
    # At least half of 0.5, 1, 2 and 4 seconds.
    assert server.times[4] - server.times[0] > 3.7
    assert PASSWORD not in bus.state().problem


def test_a_node_that_stops_takes_no_command_after_the_server_returned(
    tmp_path: Path, bus_settings: Settings, bus_services: Services
) -> None:
    (tmp_path / "again").mkdir()
    with running_nats(tmp_path / "again") as server, bus_at(server.url, bus_settings, bus_services) as bus:
        talk = Talk(server.url, bus_settings.nats_prefix)
        eventually(bus.takes_events)
        assert talk.command("list", {"token": "jw_x"}).status == 401
        bus.stop_listening()
        with pytest.raises(nats.errors.NoRespondersError):
            talk.command("list")
        server.stop()
        eventually(lambda: not bus.state().connected)
        server.start()
        eventually(bus.takes_events)
        with pytest.raises(nats.errors.NoRespondersError):
            talk.command("list")


def test_a_bus_that_has_ended_refuses_at_once_and_leaves_no_thread(
    nats_server: NatsServer, bus_settings: Settings, bus_services: Services
) -> None:
    with bus_at(nats_server.url, bus_settings, bus_services) as bus:
        eventually(bus.takes_events)
        connection = bus._connection
    assert not any(thread.name == "bus" for thread in threading.enumerate())
    message = Message(id="1", subject=events_subject(bus.prefix, "execution.success"), data=b"{}")
    assert isinstance(bus.publish([[message]])[0].error, BusAway)
    bus._connection = connection  # a thread that had it in its hands before
    began = time.monotonic()
    assert isinstance(bus.publish([[message]])[0].error, BusAway)
    bus.stop_listening()
    bus.close()
    assert time.monotonic() - began < 5.0, "nothing waits for a loop that has ended"


def test_an_answer_is_not_published_where_its_sender_may_not(
    nats_server: NatsServer, bus: Bus, bus_settings: Settings, bus_services: Services, talk: Talk
) -> None:
    """The sender of a command names the subject of the answer. Jobwright may publish events; the sender need not."""
    forged = [f"{bus.prefix}.events.execution.success", f"{bus.prefix}.commands.list", f"$JS.API.STREAM.DELETE.{bus.prefix.upper()}_EVENTS"]

    async def send() -> list[str]:
        client = await nats.connect(nats_server.url)
        heard: list[str] = []

        async def hear(message: object) -> None:
            heard.append(message.subject)  # type: ignore[attr-defined]

        await client.subscribe(">", cb=hear)
        for reply in forged:
            await client.publish(f"{bus.prefix}.commands.list", b'{"token": "jw_x"}', reply=reply)
        # Commands are answered beside each other, so the last answer says nothing of the others: ask after them.
        await client.request(f"{bus.prefix}.commands.list", b'{"token": "jw_x"}', timeout=20)
        while bus._connection is not None and bus._connection._commands:
            await asyncio.sleep(0.05)
        await client.flush()
        await client.close()
        return heard

    heard = asyncio.run(send())
    assert heard.count(f"{bus.prefix}.commands.list") == len(forged) + 1
    assert not any(subject in heard for subject in forged if not subject.endswith(".list"))
    assert talk.messages() == []

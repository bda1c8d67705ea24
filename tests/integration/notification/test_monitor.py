"""An outside monitor hears from Jobwright while it works, and a fixed address gets mail through a second server when it is stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock, SystemClock
from app.config import Settings
from app.doctor import Doctor
from app.factory import Store, build_node, build_services
from app.factory.monitor import build_watch
from app.factory.stores import Stores
from app.health import Health
from app.metrics.state import monitor_values
from app.notification.delivery import Delivery, DeliveryStatus, Try, delivery_id
from app.notification.message import Message, MessageKind, Severity
from app.notification.monitor.model import DELIVERIES, FOLLOW_UPS, Symptoms, stuck_parts
from app.notification.monitor.ping import Bounded, Pinger
from app.notification.monitor.watch import Watch
from app.queue.owing import Owing
from app.services import Services
from tests.builders.mail import Inbox, mail_server

AFTER, LOOK = 300, 60.0
REMIND: dict[str, Any] = {"emergency_remind_hours": 0.25}


@dataclass
class Calls:
    """An outside monitor. `status` is what it answers, and `drip` has it send its head byte by byte, without an end."""

    url: str = ""
    status: int = 200
    drip: threading.Event | None = None
    got: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def outside_monitor() -> Iterator[Calls]:
    calls = Calls()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.got.append((self.command, self.headers["user-agent"]))
            while calls.drip is not None and not calls.drip.wait(0.02):
                self.wfile.write(b"H")
            self.send_response(calls.status)
            self.send_header("location", calls.url)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    calls.url = f"http://127.0.0.1:{server.server_port}/ping/secret"
    try:
        yield calls
    finally:
        if calls.drip is not None:
            calls.drip.set()
        server.shutdown()
        server.server_close()


class House:
    """An installation with an outside monitor and a second mail server."""

    def __init__(self, store: Store, settings: Settings, services: Services, clock: Any, actor: Actor) -> None:
        self.store, self.clock, self.actor, self.catalogue = store, clock, actor, services.catalogue
        self.stores = Stores.over(store.database, Owing())
        self.settings = settings
        self.services = services

    def configure(self, **fields: Any) -> Watch:
        self.settings = replace(self.settings, allowed_hosts=("127.0.0.1",), public_url="https://jobs.example.com", **fields)
        self.services = build_services(self.settings, self.store, clock=self.clock, catalogue=self.catalogue)
        return self.watch()

    def watch(self) -> Watch:
        return build_watch(self.settings, self.stores, self.services)

    def second_server(self, settings: Any) -> None:
        self.services.connections.create(self.actor, name="Second", kind="smtp", settings=dict(settings))

    def look(self, watch: Watch, seconds: float, *, ticks_move: bool = True) -> None:
        """Lets time pass, with a look at each of its steps."""
        for _ in range(round(seconds / LOOK)):
            watch.tick(ticks_move=ticks_move)
            self.clock.advance(LOOK)

    def owe(self) -> str:
        """Writes a message that is due."""
        now, made_id = self.clock.now(), delivery_id("event", "mail", (), "end")
        message = Message(
            key=made_id, thread="t", kind=MessageKind.FIRING, severity=Severity.BAD, title="Night failed", text="It broke.", at=now
        )
        self.stores.notification_deliveries.add(
            [
                Delivery(
                    id=made_id,
                    channel_id="mail",
                    channel="mail",
                    type="mail",
                    message=message,
                    status=DeliveryStatus.WAITING,
                    created_at=now,
                    due_at=now,
                )
            ]
        )
        return made_id

    def send(self) -> None:
        """Sends the message that is due."""
        now = self.clock.now()
        claimed = self.stores.notification_deliveries.claim("mail", now=now, until=now + timedelta(seconds=30), claim="c")
        assert claimed is not None
        self.stores.notification_deliveries.settle(claimed, DeliveryStatus.SENT, Try(at=now, took_ms=1, result="sent", reason=""))


@pytest.fixture
def house(store: Store, settings: Settings, services: Services, clock: ManualClock, super_admin: Actor) -> House:
    return House(store, settings, services, clock, super_admin)


@pytest.fixture
def outside() -> Iterator[Calls]:
    with outside_monitor() as calls:
        yield calls


def mails(inbox: Inbox) -> list[EmailMessage]:
    return [message_from_bytes(content, policy=policy.default) for _, content in inbox.mails]  # type: ignore[misc]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("follow_ups", "deliveries", "expected"),
    [
        ({}, None, ()),
        ({"notify": None}, None, ()),
        ({"notify": 300.0}, None, ()),
        ({"notify": 300.001}, None, (FOLLOW_UPS,)),
        ({"notify": 1.0, "followers": 4000.0}, 299.0, (FOLLOW_UPS,)),
        ({"notify": None}, 301.0, (DELIVERIES,)),
        ({"notify": 301.0}, 301.0, (FOLLOW_UPS, DELIVERIES)),
        ({"notify": -900.0}, -1.0, ()),  # clocks differ
    ],
)
def test_what_is_stuck(clock: ManualClock, follow_ups: dict[str, float | None], deliveries: float | None, expected: tuple[str]) -> None:
    now = clock.now()

    def ago(seconds: float | None) -> Any:
        return None if seconds is None else now - timedelta(seconds=seconds)

    symptoms = Symptoms(follow_ups={name: ago(seconds) for name, seconds in follow_ups.items()}, deliveries=ago(deliveries))
    assert stuck_parts(symptoms, now, timedelta(seconds=AFTER)) == expected


def test_the_monitor_is_called_by_one_node_at_a_time_while_all_is_well(house: House, outside: Calls) -> None:
    watches = [house.configure(monitor_url=outside.url, monitor_method="POST"), house.watch(), house.watch()]
    for _ in range(12):  # a minute
        for watch in watches:
            watch.tick(ticks_move=True)
        house.clock.advance(5)
    assert outside.got == [("POST", "Jobwright")]
    for watch in watches:
        watch.tick(ticks_move=False)
    assert len(outside.got) == 1, "the ticks of these nodes stand still"
    watches[2].tick(ticks_move=True)
    assert len(outside.got) == 2
    house.clock.advance(-86_400)
    for watch in watches:
        watch.tick(ticks_move=True)
    assert len(outside.got) == 3, "a clock that was set back does not silence the calls"


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_call_that_fails_is_visible_and_holds_up_nothing(house: House, outside: Calls, status: int) -> None:
    outside.status = status
    watch = house.configure(monitor_url=outside.url)
    house.look(watch, 120)
    assert len(outside.got) == 2, "it goes on, and no redirect is followed"
    state = house.services.monitor.state()
    assert f"answered {status}." in state.pings.problem
    assert monitor_values(state, house.clock.now())["jobwright_monitor_failing_seconds"] == {(): 120.0}
    assert any(
        "takes no calls" in finding.text for finding in Doctor(house.services, house.store).examine() if finding.subject == "Monitor"
    )
    shown, _ = Health(house.services).details(is_trusted=lambda: True)
    assert (shown["dependencies"]["monitor"]["status"], "problem" in shown["dependencies"]["monitor"]) == ("unhealthy", True)
    shown, _ = Health(house.services).details(is_trusted=lambda: False)
    assert "problem" not in shown["dependencies"]["monitor"]
    outside.status = 204
    house.look(watch, 60)
    state = house.services.monitor.state()
    assert (state.pings.problem, state.pings.failing_since, state.pings.pinged_at is not None) == ("", None, True)
    shown, _ = Health(house.services).details(is_trusted=lambda: False)
    assert shown["dependencies"]["monitor"]["status"] == "healthy"


def test_a_private_monitor_is_refused_unless_it_is_allowed(house: House, outside: Calls) -> None:
    house.configure(monitor_url=outside.url)
    house.settings = replace(house.settings, allowed_hosts=())
    watch = build_watch(house.settings, house.stores, house.services)
    watch.tick(ticks_move=True)
    assert outside.got == []
    assert "JOBWRIGHT_ALLOWED_HOSTS" in house.services.monitor.state().pings.problem


def test_an_answer_without_an_end_is_left(outside: Calls, house: House) -> None:
    house.configure(monitor_url=outside.url)
    outside.drip = threading.Event()
    door = house.services.posting._door
    pinger = Pinger(outside.url, "GET", door, seconds=0.3)
    began = time.monotonic()
    assert "did not answer within 0.3 s" in pinger.ping()
    assert "did not answer" in pinger.ping(), "the call before still waits, so that no second one begins"
    assert time.monotonic() - began < 20
    assert len(outside.got) == 1


def test_an_error_of_a_bounded_call_is_raised() -> None:
    def work() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        Bounded(5).call(work, "x")


def test_a_sender_that_stops_silences_the_monitor_and_sends_the_second_mail_once(house: House, outside: Calls, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        fields = {"emergency_connection": "Second", "emergency_to": ("ops@example.com", "ada@example.com")}
        watch = house.configure(monitor_url=outside.url, **fields)
        house.second_server(grant.settings)
        house.look(watch, 600)
        calls = len(outside.got)
        assert calls == 10
        house.owe()
        house.look(watch, AFTER + LOOK)
        assert (len(outside.got) - calls, inbox.mails) == (6, []), "late is not stuck"
        calls = len(outside.got)
        watches = [watch, house.watch(), house.watch()]
        for _ in range(12):  # 12 minutes
            for node in watches:
                node.tick(ticks_move=True)
            house.clock.advance(LOOK)
        assert len(outside.got) == calls
        (mail,) = mails(inbox)
        assert inbox.mails[0][0] == ["ops@example.com", "ada@example.com"]
        assert (mail["Subject"], mail["From"].addresses[0].addr_spec) == ("Jobwright is stuck", "jobs@example.com")
        body = mail.get_body(("plain",))
        assert body is not None
        assert "Notifications are due and nobody sends them." in body.get_content()
        assert "https://jobs.example.com/system" in body.get_content()
        state = house.services.monitor.state()
        assert state.stuck is not None
        assert (state.stuck.parts, state.stuck.mails) == ((DELIVERIES,), 1)
        assert monitor_values(state, house.clock.now())["jobwright_stuck"] == {(FOLLOW_UPS,): 0.0, (DELIVERIES,): 1.0}
        assert any("nobody sends them" in finding.text for finding in Doctor(house.services, house.store).examine())
        shown, _ = Health(house.services).details(is_trusted=lambda: False)
        assert shown["dependencies"]["monitor"]["stuck"] == [DELIVERIES]


def test_reminders_come_by_policy_and_the_end_is_told_once(house: House, outside: Calls, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        watch = house.configure(monitor_url=outside.url, emergency_connection="Second", emergency_to=("ops@example.com",), **REMIND)
        house.second_server(grant.settings)
        house.owe()
        house.look(watch, 40 * 60)
        assert [mail["Subject"] for mail in mails(inbox)] == ["Jobwright is stuck", *["Jobwright is still stuck"] * 2]
        assert len({mail["Message-ID"] for mail in mails(inbox)}) == 3
        assert len({mail["References"] for mail in mails(inbox)}) == 1, "one thread"
        house.send()
        calls = len(outside.got)
        house.look(watch, 60)
        assert len(outside.got) == calls + 1, "the monitor hears at once that it moves"
        house.look(watch, 360)
        assert [mail["Subject"] for mail in mails(inbox)][3:] == ["Jobwright works again"]
        house.look(watch, 1200)
        assert len(inbox.mails) == 4
        assert house.services.monitor.state().stuck is None


def test_without_reminders_there_is_one_mail_and_a_failed_one_is_tried_again(house: House, tmp_path: Path) -> None:
    watch = house.configure(emergency_connection="Second", emergency_to=("ops@example.com",), emergency_remind_hours=0)
    house.owe()
    house.look(watch, 900)
    state = house.services.monitor.state()
    assert state.stuck is not None
    assert (state.stuck.mails, "no connection 'Second'" in state.stuck.problem) == (0, True)
    texts = [finding.text for finding in Doctor(house.services, house.store).examine() if finding.subject == "Monitor"]
    assert any("no mail about it could be sent" in text for text in texts)
    assert any("there is no SMTP connection 'Second'" in text for text in texts)
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.second_server(grant.settings)
        house.look(watch, 1800)
        assert [mail["Subject"] for mail in mails(inbox)] == ["Jobwright is stuck"]


def test_a_mail_is_in_the_language_of_its_reader(house: House, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        watch = house.configure(emergency_connection="Second", emergency_to=(house.actor.email,))
        house.second_server(grant.settings)
        house.stores.preferences.set_reading(house.actor.id, "", "de")
        house.owe()
        house.look(watch, 900)
        (mail,) = mails(inbox)
        assert mail["Subject"] == "Jobwright steht still"


def test_what_was_due_while_nobody_looked_is_not_stuck(house: House, outside: Calls, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        watch = house.configure(monitor_url=outside.url, emergency_connection="Second", emergency_to=("ops@example.com",))
        house.second_server(grant.settings)
        house.owe()
        house.clock.advance(86_400)  # everything was down
        house.look(watch, AFTER - LOOK)
        assert (len(outside.got), inbox.mails) == (4, [])
        house.send()
        house.look(watch, 600)
        assert (house.stores.monitor.incident(), inbox.mails) == (None, [])


def test_a_channel_that_cannot_be_reached_is_not_stuck(house: House) -> None:
    house.owe()
    deliveries, now = house.stores.notification_deliveries, house.clock.now()
    claimed = deliveries.claim("mail", now=now, until=now + timedelta(seconds=30), claim="c")
    assert claimed is not None
    house.clock.advance(7200)
    now = house.clock.now()
    deliveries.put_off(claimed, Try(at=now, took_ms=1, result="unreachable", reason=""), due_at=now + timedelta(hours=6), unknown=False)
    assert deliveries.standing_still(now - timedelta(seconds=AFTER), now) is None


def test_one_channel_that_moves_does_not_hide_another(house: House) -> None:
    house.owe()
    deliveries, now = house.stores.notification_deliveries, house.clock.now()
    stored = deliveries.get(delivery_id("event", "mail", (), "end"))
    assert stored is not None
    deliveries.add([replace(stored, id=f"o{n}", channel_id="other", channel="other") for n in range(3)])
    house.clock.advance(7200)
    later = house.clock.now()
    before = later - timedelta(seconds=AFTER)
    assert deliveries.claim("other", now=later, until=later + timedelta(seconds=30), claim="c") is not None
    assert deliveries.standing_still(before, later) == now, "the mail of the built-in channel stands still"
    assert deliveries.claim("mail", now=later, until=later + timedelta(seconds=30), claim="d") is not None
    assert deliveries.standing_still(before, later) is None, "the queue of the other one is long, and moves"


def test_a_node_whose_sender_is_stopped_falls_silent_and_mails(
    store: Store,
    settings: Settings,
    services: Services,
    super_admin: Actor,
    outside: Calls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.node.listening.Watching.pause_seconds", 0.05)
    house, inbox = House(store, settings, services, SystemClock(), super_admin), Inbox()
    with mail_server(inbox, tmp_path) as grant:
        fields: dict[str, Any] = {"monitor_seconds": 0.1, "stuck_seconds": 1.0, "emergency_connection": "Second"}
        house.configure(monitor_url=outside.url, emergency_to=("ops@example.com",), **fields)
        house.second_server(grant.settings)
        node = build_node(house.settings, store, house.services, None)
        node.start()
        try:
            wait_until(lambda: len(outside.got) >= 3)
            assert node.planning is not None
            node.planning.parts.sender.stop()
            house.owe()
            wait_until(lambda: bool(inbox.mails))
            silent = len(outside.got)
            wait_until(lambda: house.services.monitor.state().stuck is not None)
            time.sleep(1.0)  # ten calls would have come by now
            assert (len(outside.got), len(inbox.mails)) == (silent, 1)
        finally:
            node.drain(0)

"""Channels: created, changed, tested and deleted; what their types send, and what becomes of it when a receiver does not take it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from app.audit.model import Actor
from app.clock import ManualClock, SystemClock
from app.config import Settings
from app.connections.vault import Vault
from app.doctor.jobs import check_notifications
from app.errors import Conflict, Forbidden, NotFound, StaleVersion, ValidationFailed
from app.execution.log_store import chunk
from app.factory import Store, build_services
from app.factory.handlers import build_outcome_notifier
from app.factory.notifications import build_sender
from app.factory.stores import Stores
from app.findings import Level
from app.jobtemplates.parameters import ParameterPipeline
from app.mongo import Document
from app.notification.deliveries import MOST_READS, READ_AT_ONCE
from app.notification.delivery import Delivery, DeliveryFilter, DeliveryStatus, delivery_id, place_from
from app.notification.excerpts import LONGEST_LOG, Excerpts, secrets_by
from app.notification.message import Message, MessageKind, Severity
from app.notification.sending import CLAIM, MOST_OF_ONE, SLOW_SECONDS, Sender
from app.queue.model import Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from app.validation.secret import MASK
from tests.builders.channels import Receiver, receiver
from tests.builders.queue import new_execution
from tests.support import eventually
from web.language import translated

KEY = "whsec_" + "A" * 43 + "="


class House:
    def __init__(self, store: Store, settings: Settings, services: Services, clock: Any, actor: Actor) -> None:
        settings = replace(settings, allowed_hosts=("127.0.0.1",), public_url="https://jobs.example.com")
        self.services = build_services(settings, store, clock=clock, catalogue=services.catalogue)
        self.store = store
        self.stores, self.clock, self.actor = Stores.over(store.database, Owing()), clock, actor
        self.sender = self.another_sender()

    def another_sender(self) -> Sender:
        return build_sender(self.stores, self.services)

    def channel(self, name: str, url: str, **fields: Any) -> Document:
        return self.services.channels.create(self.actor, name=name, type="webhook", settings={"url": url, "key": KEY}, **fields)

    def write(self, channel: Document, number: int = 0) -> Delivery:
        """Writes a delivery to a channel."""
        now, made_id = self.clock.now(), delivery_id(f"event {number}", channel["_id"], (), "end")
        message = Message(
            key=made_id,
            thread="t",
            kind=MessageKind.FIRING,
            severity=Severity.BAD,
            title=f"Night {number} failed",
            text="It broke.",
            at=now,
        )
        delivery = Delivery(
            id=made_id,
            channel_id=channel["_id"],
            channel=channel["name"],
            type=channel["type"],
            message=message,
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )
        self.stores.notification_deliveries.add([delivery])
        return delivery

    @property
    def pipeline(self) -> ParameterPipeline:
        return ParameterPipeline(self.services.connections, Vault(self.services.keys))

    def log(self, execution_id: str, *lines: tuple[str, str]) -> None:
        """Writes lines, a level and a message each, to the log of an execution."""
        rows = [{"timestamp": self.clock.now(), "level": level, "message": message} for level, message in lines]
        self.stores.logs.append([chunk(execution_id, 1, 1, rows)])

    def now(self, delivery: Delivery) -> Delivery:
        stored = self.stores.notification_deliveries.get(delivery.id)
        assert stored is not None
        return stored


@pytest.fixture
def house(store: Store, settings: Settings, services: Services, clock: ManualClock, super_admin: Actor) -> House:
    return House(store, settings, services, clock, super_admin)


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_a_channel_is_created_changed_and_deleted(house: House, admin: Actor, target: Receiver) -> None:
    channels, boss = house.services.channels, house.actor
    made = house.channel("Ops", target.url, language="de")
    assert made["settings"] == {"url": target.url, "key": MASK}
    stored = house.stores.channels.get(made["_id"])
    assert stored is not None
    assert KEY not in str(stored), "the key is sealed"
    with pytest.raises(ValidationFailed, match="already"):
        house.channel("Ops", target.url)
    kept = channels.update(boss, made["_id"], name="Ops", settings={"url": target.url, "key": MASK}, enabled=False, version=1)
    assert (kept["version"], kept["enabled"]) == (2, False)
    with pytest.raises(ValidationFailed) as moved:
        channels.update(boss, made["_id"], name="Ops", settings={"url": "https://elsewhere.example.com", "key": MASK})
    assert [error.pointer for error in moved.value.errors] == ["/settings/key"], "a secret never goes to another place"
    with pytest.raises(StaleVersion):
        channels.update(boss, made["_id"], name="Ops", settings={"url": target.url}, version=1)
    assert [(row["name"], "settings" in row) for row in channels.all(admin)] == [("Ops", False)]
    with pytest.raises(Forbidden):
        channels.get(admin, made["_id"])
    house.services.jobs.create(boss, {"name": "Night", "template_type": "noop", "notifications": {"on_failure": ["channel:Ops"]}})
    for change in (
        lambda: channels.delete(boss, made["_id"]),
        lambda: channels.update(boss, made["_id"], name="Other", settings={"url": target.url}),
    ):
        with pytest.raises(Conflict, match="is used by Night"):
            change()
    (warning,) = house.services.outlook.warnings(house.services.directory.named(boss, "Night").definition)
    assert (warning.pointer, warning.message) == ("/notifications/on_failure", "The channel 'Ops' is disabled.")
    house.services.jobs.update(boss, house.services.directory.named(boss, "Night").id, {"notifications": {"on_failure": []}})
    channels.delete(boss, made["_id"])
    with pytest.raises(NotFound):
        channels.get(boss, made["_id"])


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"name": "-"}, {"/name"}),
        ({"name": 5, "type": "carrier pigeon"}, {"/name", "/type"}),
        ({"settings": {}}, {"/settings/url"}),
        ({"settings": {"url": "ftp://x.example.com", "key": "short"}}, {"/settings/url", "/settings/key"}),
        ({"settings": 5}, {"/settings"}),
        ({"language": "fr"}, {"/language"}),
        ({"type": "mail", "settings": {"connection": "nothing", "recipients": ["a@example.com"]}}, {"/settings/connection"}),
        ({"type": "mail", "settings": {"connection": "x", "recipients": ["nobody"]}}, {"/settings/recipients/0"}),
    ],
)
def test_all_errors_of_a_channel_are_told_at_once(house: House, fields: dict[str, Any], pointers: set[str]) -> None:
    body: dict[str, Any] = {"name": "Ops", "type": "webhook", "settings": {"url": "https://x.example.com"}, **fields}
    with pytest.raises(ValidationFailed) as refused:
        house.services.channels.create(house.actor, **body)
    assert {error.pointer for error in refused.value.errors} == pointers


def test_a_connection_that_is_not_there_is_named_with_its_kind(house: House) -> None:
    with pytest.raises(ValidationFailed) as refused:
        house.services.channels.create(house.actor, name="Ops", type="mail", settings={"connection": "x", "recipients": ["a@example.com"]})
    (error,) = refused.value.errors
    assert error.message == "is not the name of a connection of the kind Mail server (SMTP): 'x'"


def test_a_test_goes_the_real_way_and_shows_the_answer(house: House, target: Receiver) -> None:
    made = house.channel("Ops", target.url, language="de")
    target.answers = [200, (410, {})]
    attempt = house.services.channels.test(house.actor, made["_id"])
    assert (attempt.result, attempt.reason.endswith("answered 200.")) == ("sent", True)
    headers, body = target.got[0]
    signed = Webhook(KEY).sign(headers["webhook-id"], house.clock.now(), json.dumps(body, ensure_ascii=False))
    assert (headers["webhook-signature"], headers["webhook-timestamp"]) == (signed, str(int(house.clock.now().timestamp())))
    assert body["type"] == "channel.test"
    assert body["data"]["title"] == "Test des Kanals Ops"
    failed = house.services.channels.test(house.actor, made["_id"])
    assert (failed.result, "answered 410" in failed.reason) == ("refused", True)
    page, _ = house.services.deliveries.page(house.actor, DeliveryFilter(channel_id=made["_id"]), limit=10)
    assert {delivery.status for delivery in page} == {DeliveryStatus.REFUSED, DeliveryStatus.SENT}
    assert house.sender.send_due() == 0, "a failed test is not tried again"


def test_an_end_tells_each_channel_in_its_language_once(house: House, target: Receiver) -> None:
    notify = {"on_failure": ["channel:Ops", "channel:Nobody", "channel:Ops2"]}
    house.channel("Ops", target.url, language="de")
    house.channel("Ops2", target.url)
    job = house.services.jobs.create(house.actor, {"name": "Night", "template_type": "noop", "notifications": notify})[0]
    notifier = build_outcome_notifier(house.services.settings, house.stores, house.services)
    execution = new_execution(job, now=house.clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.TIMEOUT)
    house.stores.queue.add([execution])
    for _ in range(3):  # the outbox may carry it out again
        notifier.notify(execution)
    assert house.sender.send_due() == 3
    assert sorted(body["data"]["title"] for _, body in target.got) == ["Night timed out", "Night: Zeitüberschreitung"]
    assert target.got[0][1]["data"]["links"][0]["url"] == f"https://jobs.example.com/executions/{execution.id}"
    stored = {item.channel: item for item in house.services.deliveries.of_execution(house.actor, execution.id)}
    assert stored["Nobody"].status is DeliveryStatus.REFUSED
    assert "no channel 'Nobody'" in stored["Nobody"].reason
    assert {key: item.status for key, item in stored.items() if key != "Nobody"} == dict.fromkeys(("Ops", "Ops2"), DeliveryStatus.SENT)


SAID = ("reading the key hunter-2-hunter", "connecting to mongodb://user:p%40ss-w0rd@db.example.com", "password p@ss-w0rd refused")


def test_a_message_of_a_failure_shows_the_end_of_the_log_without_the_secrets_of_the_run(house: House) -> None:
    uri = {"uri": "mongodb://user:p%40ss-w0rd@db.example.com", "database": "x"}
    house.services.connections.create(house.actor, name="shop", kind="mongodb", settings=uri)
    plain = house.services.jobs.create(house.actor, {"name": "A", "template_type": "noop", "parameters": {"secret": "hunter-2-hunter"}})[0]
    wanted = {"connection": "shop", "collection": "c", "condition": {"at": {"$lt": "6 months ago"}}}
    named = house.services.jobs.create(house.actor, {"name": "B", "template_type": "database_cleanup", "parameters": wanted})[0]
    excerpts = Excerpts(house.stores.logs, secrets_by(house.services.catalogue, house.pipeline), lines=3)
    for job, shown in ((plain, ("reading the key ***", *SAID[1:])), (named, (SAID[0], "connecting to ***", "password *** refused"))):
        execution = new_execution(job, now=house.clock.now(), status=Status.FAILED)
        assert excerpts.of(execution, "en", translated) == (), "there is no log"
        house.log(execution.id, ("INFO", "first"), ("INFO", SAID[0]), ("ERROR", SAID[1]), ("WARNING", SAID[2]))
        error, tail = excerpts.of(execution, "de", translated)
        assert (error.words, error.lines) == ("Der letzte Fehler im Protokoll", (f"12:00:00 ERROR {shown[1]}",))
        assert tail.words == "Die letzten 3 Zeilen des Protokolls"
        assert tail.lines == tuple(f"12:00:00 {level} {text}" for level, text in zip(("INFO", "ERROR", "WARNING"), shown, strict=True))
        assert excerpts.of(replace(execution, status=Status.SUCCESS), "en", translated) == ()
        gone = replace(execution, template_type="gone")
        assert excerpts.of(gone, "en", translated) == (), "its secrets are not known, so nothing of its log is shown"


def test_the_newest_lines_of_a_large_log_are_shown(house: House) -> None:
    job = house.services.jobs.create(house.actor, {"name": "A", "template_type": "noop"})[0]
    execution = new_execution(job, now=house.clock.now(), status=Status.TIMEOUT)
    house.log(execution.id, *(("INFO", f"{number} {'x' * 900}\nand \x1b[31mred") for number in range(60)))
    (tail,) = Excerpts(house.stores.logs, lambda _: ()).of(execution, "en", translated)
    assert sum(map(len, tail.lines)) <= LONGEST_LOG
    assert tail.lines[-1].startswith("12:00:00 INFO 59 xxx")
    assert "\x1b" not in str(tail.lines)
    assert Excerpts(house.stores.logs, lambda _: (), lines=0).of(execution, "en", translated) == ()


def test_a_receiver_that_is_busy_is_tried_again_when_it_says(house: House, target: Receiver) -> None:
    delivery = house.write(house.channel("Ops", target.url))
    target.answers = [(429, {"retry-after": "900"}), 503]
    house.sender.send_due()
    stored = house.now(delivery)
    assert (stored.status, stored.due_at) == (DeliveryStatus.WAITING, house.clock.now() + timedelta(seconds=900))
    house.clock.advance(31)
    house.sender.send_due()  # a look whether the channel answers again: 503
    assert house.now(delivery).failures == 2
    house.clock.advance(31)
    assert house.sender.send_due() == 1
    assert house.now(delivery).status is DeliveryStatus.SENT
    assert target.keys == [delivery.key]
    assert house.stores.channel_states.unreachable() == {}


def test_what_has_waited_goes_soon_after_the_channel_answers_again(house: House, target: Receiver) -> None:
    channel = house.channel("Ops", "http://127.0.0.1:9/hook")
    waiting = [house.write(channel, number) for number in range(5)]
    for _ in range(4):  # some minutes into the ladder
        house.sender.send_due()
        house.clock.advance(700)
    house.sender.send_due()
    assert all(house.now(delivery).due_at > house.clock.now() + timedelta(minutes=5) for delivery in waiting)
    settings = {"url": target.url, "key": KEY}
    house.services.channels.update(house.actor, channel["_id"], name="Ops", settings=settings)
    for _ in range(2):  # 60 s
        house.clock.advance(31)
        house.sender.send_due()
    assert sorted(target.keys) == sorted(delivery.key for delivery in waiting)


def test_a_receiver_that_does_not_answer_is_told_twice_at_most(house: House, target: Receiver) -> None:
    delivery = house.write(house.channel("Ops", target.url))
    target.close_after_reading = True
    for _ in range(4):
        house.sender.send_due()
        house.clock.advance(3_600)
    assert house.now(delivery).status is DeliveryStatus.UNKNOWN
    assert target.keys == [delivery.key] * 2, "with the same key"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(house: House, target: Receiver, status: int) -> None:
    delivery = house.write(house.channel("Ops", target.url))
    target.answers = [status]
    assert house.sender.send_due() == 1
    house.clock.advance(86_400)
    assert house.sender.send_due() == 0
    assert (house.now(delivery).status, f"answered {status}" in house.now(delivery).reason) == (DeliveryStatus.REFUSED, True)


def test_a_refused_message_goes_to_the_fallback_once(house: House, target: Receiver) -> None:
    with receiver() as second:
        house.channel("Last", target.url)
        house.channel("Off", target.url, enabled=False, fallback="Last")
        first = house.channel("Ops", second.url, fallback="Off")
        delivery = house.write(first)
        second.answers = [410]
        house.sender.send_due()
        house.sender.send_due()
        assert house.now(delivery).status is DeliveryStatus.REFUSED
        (_, body), *more = target.got
        assert more == []
        assert body["data"]["facts"] == [{"label": "Meant for the channel", "value": "Ops"}]
        page, _ = house.services.deliveries.page(house.actor, DeliveryFilter(status="sent"), limit=10)
        assert [(item.channel, item.instead_of) for item in page] == [("Last", ("Ops",))]
        second.answers = [410]
        assert house.services.channels.test(house.actor, first["_id"]).result == "refused"
        house.services.deliveries.replay(house.actor, delivery.id)
        house.sender.send_due()
        house.sender.send_due()
        assert (second.keys, len(target.got)) == ([f"{delivery.id}-1"], 1), "a test has no fallback, and what arrives needs none"


def test_fallbacks_form_no_circle(house: House, target: Receiver) -> None:
    channels = house.services.channels
    first = house.channel("a", target.url)
    house.channel("b", target.url, fallback="a")
    house.channel("c", target.url, fallback="b")
    for fallback in ("a", "b", "c", "nobody"):
        with pytest.raises(ValidationFailed) as refused:
            channels.update(house.actor, first["_id"], name="a", settings={"url": target.url}, fallback=fallback)
        assert [error.pointer for error in refused.value.errors] == ["/fallback"]
    with pytest.raises(ValidationFailed, match="lead back"):
        house.channel("d", target.url, fallback="d")
    with pytest.raises(Conflict, match="is used by channel:b"):
        channels.delete(house.actor, first["_id"])
    stored = house.stores.channels.get(first["_id"])
    assert stored is not None
    # Two people at once can make one: what is sent ends all the same.
    assert house.stores.channels.replace_version({**stored, "fallback": "c", "version": 2}, version=1)
    target.answers = [404] * 10
    house.write(first)
    assert [house.sender.send_due() for _ in range(4)] == [1, 1, 1, 0]


def test_a_channel_that_refuses_is_broken_until_it_takes_a_message(house: House, target: Receiver) -> None:
    channel = house.channel("Ops", target.url)
    house.write(channel)
    target.answers = [404, 503]
    house.sender.send_due()
    ((name, broken),) = house.services.channels.broken()
    assert (name, broken.since, "answered 404" in broken.reason) == ("Ops", house.clock.now(), True)
    for row in (*house.services.channels.all(house.actor), house.services.channels.get(house.actor, channel["_id"])):
        assert row["broken"] == {"since": broken.since, "reason": broken.reason}
    named = [finding.text for finding in check_notifications(house.services, house.store) if finding.level is Level.WARNING]
    assert any("the channel 'Ops' has refused" in text for text in named)
    house.write(channel, 1)
    house.sender.send_due()
    assert house.services.channels.broken(), "it was not reached, which says nothing"
    house.services.channels.test(house.actor, channel["_id"])
    assert house.services.channels.broken() == []


def test_what_arrives_late_says_so(house: House, target: Receiver) -> None:
    house.write(house.channel("Ops", target.url))
    target.answers = [503, 503]
    for wait in (31, 3_699, 0):
        house.sender.send_due()
        house.clock.advance(wait)
    assert [body["data"]["facts"] for _, body in target.got] == [[{"label": "Delayed by", "value": "1 hour 2 minutes"}]]


def test_private_hosts_are_refused_unless_the_operator_allows_them(house: House, target: Receiver) -> None:
    delivery = house.write(house.channel("Ops", target.url.replace("127.0.0.1", "localhost")))
    house.sender.send_due()
    stored = house.now(delivery)
    assert (stored.status, target.got) == (DeliveryStatus.REFUSED, [])
    assert "JOBWRIGHT_ALLOWED_HOSTS" in stored.reason


def test_messages_of_a_disabled_channel_are_held(house: House, target: Receiver) -> None:
    channel = house.channel("Ops", target.url, enabled=False)
    delivery = house.write(channel)
    house.sender.send_due()
    assert (house.now(delivery).status, target.got) == (DeliveryStatus.HELD, [])
    house.services.channels.update(house.actor, channel["_id"], name="Ops", settings={"url": target.url, "key": KEY}, enabled=True)
    house.services.deliveries.replay(house.actor, delivery.id)
    house.sender.send_due()
    assert house.now(delivery).status is DeliveryStatus.SENT


def test_a_sender_that_is_killed_is_followed_by_another_with_the_same_key(house: House, target: Receiver) -> None:
    channel = house.channel("Ops", target.url)
    delivery = house.write(channel)
    now = house.clock.now()
    taken = house.stores.notification_deliveries.claim(channel["_id"], now=now, until=now + CLAIM, claim="dead")
    assert taken is not None
    house.services.posting.send(taken)  # and the sender dies before it writes that
    assert house.another_sender().send_due() == 0, "the claim lasts"
    house.clock.advance(CLAIM.total_seconds() + 1)
    assert house.another_sender().send_due() == 1
    assert target.keys == [delivery.key] * 2
    outcome = house.services.posting.send(taken)
    assert not house.stores.notification_deliveries.settle(taken, DeliveryStatus.REFUSED, outcome.attempt), "it comes too late"
    assert house.now(delivery).status is DeliveryStatus.SENT


def test_a_channel_that_hangs_delays_no_other(store: Store, settings: Settings, services: Services, super_admin: Actor) -> None:
    house = House(store, settings, services, SystemClock(), super_admin)
    with receiver() as hanging, receiver() as good:
        hanging.hold = threading.Event()
        first, second = house.channel("a hangs", hanging.url), house.channel("b answers", good.url)
        stuck = [house.write(first, number) for number in range(2 * MOST_OF_ONE)]
        sent = [house.write(second, number) for number in range(20)]
        for _ in range(200):
            house.sender.tick()
            if len(good.got) == len(sent):
                break
            time.sleep(0.05)
        assert sorted(good.keys) == sorted(delivery.key for delivery in sent)
        assert hanging.got == []
        hanging.hold.set()
        for _ in range(200):
            house.sender.tick()
            if all(house.now(delivery).status is DeliveryStatus.SENT for delivery in stuck):
                break
            time.sleep(0.05)
        assert sorted(hanging.keys) == sorted(delivery.key for delivery in stuck)


def test_only_a_slow_channel_has_more_than_one_thread(house: House, target: Receiver) -> None:
    others = set(threading.enumerate())

    def threads() -> int:
        house.sender.tick()
        return sum(thread.name == "deliveries" for thread in set(threading.enumerate()) - others)

    target.hold = threading.Event()
    channel = house.channel("Ops", target.url)
    written = [house.write(channel, number) for number in range(2 * MOST_OF_ONE)]
    for number in range(1, MOST_OF_ONE + 1):
        assert threads() == number
        eventually(lambda number=number: target.arrived == number)
        assert threads() == number, "while the receiver is not slow"
        house.clock.advance(SLOW_SECONDS)
    assert threads() == MOST_OF_ONE
    target.hold.set()
    eventually(lambda: sorted(target.keys) == sorted(delivery.key for delivery in written))
    eventually(lambda: not {thread.name for thread in set(threading.enumerate()) - others} & {"deliveries"})


def test_a_person_limited_to_a_group_gets_past_any_number_of_notifications_of_others(house: House, admin: Actor, target: Receiver) -> None:
    job = house.services.jobs.create(house.actor, {"name": "Night", "template_type": "noop", "group": "north"})[0]
    model = house.write(house.channel("Ops", target.url))
    old = [replace(model, id=f"north {number}", job_id=job.id, created_at=model.created_at - timedelta(days=1)) for number in range(3)]
    others = [replace(model, id=f"other {number:05}", job_id="elsewhere") for number in range(READ_AT_ONCE * MOST_READS + 10)]
    house.stores.notification_deliveries.add([*old, *others])
    reader, seen, pages, wanted = replace(admin, groups=frozenset({"north"})), list[str](), 0, DeliveryFilter()
    while pages == 0 or wanted.before is not None:
        rows, place = house.services.deliveries.page(reader, wanted, limit=2)
        seen, pages, wanted = [*seen, *(row.id for row in rows)], pages + 1, DeliveryFilter(before=place_from(place))
    assert (seen, pages) == (["north 2", "north 1", "north 0"], 3), "an empty page, two, and the rest"


@pytest.mark.parametrize("text", ["", "x", "2026-03-29~a", "2026-03-29T01:00:00~a", "0001-01-01T00:00:00+14:00~a", "2026-03-29T01:00:00Z~"])
def test_a_place_in_the_list_that_nobody_gave_out_is_none(text: str) -> None:
    assert place_from(text) is None

"""What goes through a real broker: hints, and what is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.broker.base import BrokerAway
from app.broker.queues import probe_queue, queue_name
from app.config import Settings
from app.findings import Level
from app.labels import LONGEST_LABEL, MOST_NEEDS
from tests.builders.amqp_proxy import AmqpProxy
from tests.builders.brokers import Broker, Rabbit, Redis
from tests.builders.tls import make_certificate, speaking_tls
from tests.support import eventually

pytest.importorskip("celery")
from app.broker.celery_app import CONFIG, queue_of
from app.broker.consumer import CeleryConsumer
from app.broker.inspection import broker_findings, inspect_broker
from app.broker.publisher import Publisher

QUEUE = "jobwright.default.normal"


class Listener:
    """A consumer, and what it took. It refuses an id as often as `refusals` says."""

    def __init__(self, url: str) -> None:
        self.taken: list[str] = []
        self.refusals: dict[str, int] = {}
        self._lock = threading.Lock()
        self.consumer = CeleryConsumer(url, name="w1", slots=4, on_hint=self._hint)
        self.consumer.consume([QUEUE])
        self.consumer.start()
        eventually(lambda: self.consumer.heard().since)

    def _hint(self, execution_id: str) -> bool:
        with self._lock:
            self.taken.append(execution_id)
            left = self.refusals.get(execution_id, 0)
            self.refusals[execution_id] = left - 1
        return left <= 0


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    made = Listener(broker.url)
    yield made
    assert made.consumer.stop(10)


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.url)
    yield made
    made.forget("w1")
    made.close()


def test_hints_are_taken_and_others_are_forgotten(listener: Listener, publisher: Publisher) -> None:
    """A hint that is refused comes again. Messages that are no hint are acknowledged, and the next ones go on."""
    listener.refusals["again"] = 2
    publisher.publish([(QUEUE, "again"), (QUEUE, "once")])
    eventually(lambda: sorted(listener.taken) == ["again"] * 3 + ["once"])
    app, queue = publisher._app, queue_of(QUEUE)
    for args, kwargs in [
        ((), {}),
        ((1,), {}),
        (("a", "b"), {}),
        (({"$ne": ""},), {}),
        (("x" * 1000,), {}),
        (("a b",), {}),
        ((), {"id": "a"}),
    ]:
        app.send_task("jobwright.run", args=args, kwargs=kwargs, producer=publisher._producer, queue=queue)
    app.send_task("nobody.knows", args=("a",), producer=publisher._producer, queue=queue)
    publisher._producer.publish(
        b"\x80\x04N.", exchange="", routing_key=QUEUE, content_type="application/x-python-serialize", content_encoding="binary"
    )
    publisher.publish([(QUEUE, "last")])
    eventually(lambda: listener.taken[-1] == "last")
    assert len(listener.taken) == 5


def test_queues_come_and_go_and_a_probe_is_heard(listener: Listener, publisher: Publisher) -> None:
    other = "jobwright.reports.high.gpu+site=berlin"
    listener.consumer.consume([QUEUE, other])
    publisher.publish([(other, "reported")])
    eventually(lambda: listener.taken == ["reported"])
    assert listener.consumer.heard().at is None
    publisher.probe("w1", "probe")
    before = eventually(lambda: listener.consumer.heard().at)
    assert listener.consumer.restart(20)
    eventually(lambda: listener.consumer.heard().since)
    publisher.probe("w1", "probe")
    eventually(lambda: (listener.consumer.heard().at or 0) > before)


def test_a_broker_says_what_it_is_and_one_that_is_away_is_said(broker: Broker, redis: Redis) -> None:
    facts = inspect_broker(broker.url)
    assert ("Redis" in facts.text or "RabbitMQ" in facts.text, facts.eviction) == (True, "")
    redis.stop()
    with pytest.raises(BrokerAway):
        inspect_broker(redis.url)


def test_the_doctor_says_what_is_wrong_with_the_broker(redis: Redis) -> None:
    settings = Settings(executor="celery", celery_broker_url=redis.url)
    assert list(broker_findings(Settings())) == []
    assert [finding.level for finding in broker_findings(settings)] == [Level.OK]
    redis.set("maxmemory-policy", "allkeys-lru")
    assert [("allkeys-lru" in finding.text, finding.level) for finding in broker_findings(settings)] == [(True, Level.PROBLEM)]
    redis.stop()
    assert [(finding.text[:35], finding.level) for finding in broker_findings(settings)] == [
        ("CELERY_BROKER_URL cannot be reached", Level.PROBLEM)
    ]


def test_any_labels_make_a_queue(listener: Listener, publisher: Publisher) -> None:
    """Also those whose names together are longer than the name of a queue may be."""
    long = [queue_name("r" * 63, 9, [str(n) + "x" * (LONGEST_LABEL - 2) + last for n in range(2 * MOST_NEEDS)]) for last in "ab"]
    listener.consumer.consume([QUEUE, *long])
    publisher.publish([(long[0], "a"), (long[1], "b"), (QUEUE, "c")])
    eventually(lambda: sorted(listener.taken) == ["a", "b", "c"])


def test_a_hint_is_taken_whatever_the_clocks_of_both_machines_say(listener: Listener, publisher: Publisher) -> None:
    app, now = publisher._app, publisher._app.now
    app.now = lambda: now() - timedelta(hours=1)
    publisher.publish([(QUEUE, "early")])
    eventually(lambda: listener.taken == ["early"])


def test_a_consumer_that_connects_again_leaves_nothing_behind(listener: Listener) -> None:
    """No thread and no open file, however often its connection is lost. What other parts of this process begin meanwhile, such as a thread
    that watches a database, begins once."""
    times = 4

    def kept() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    def again() -> None:
        assert listener.consumer.restart(20)
        eventually(lambda: listener.consumer.heard().since)

    again()
    before = kept()
    for _ in range(times):
        again()
    eventually(lambda: all(now - then < times for now, then in zip(kept(), before, strict=True)))


def test_queues_that_nobody_takes_from_are_removed_by_the_broker(redis: Redis) -> None:
    """RabbitMQ is told so with the declaration of a queue, and Redis with each message."""
    publisher = Publisher(redis.url)
    publisher.publish([(QUEUE, "a"), (QUEUE, "b")])
    publisher.probe("dead", "probe")
    client = publisher._connection.default_channel.client
    assert 86_000 < client.ttl(QUEUE) <= 86_400
    assert 100 < client.ttl(probe_queue("dead")) <= 120
    publisher.close()


@pytest.mark.xdist_group("rabbit")
def test_a_broker_that_falls_silent_keeps_nobody(rabbit: Rabbit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes bytes and answers nothing, as behind a network that drops packets. AMQP itself would wait for ever."""
    monkeypatch.setattr("app.broker.celery_app.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("app.broker.publisher.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("app.broker.celery_app.CONFIG", {**CONFIG, "broker_connection_timeout": 0.5})
    proxy = AmqpProxy(rabbit.port)
    listener, publisher = Listener(rabbit.url_at(proxy.port)), Publisher(rabbit.url_at(proxy.port))
    publisher.publish([(QUEUE, "a")])
    eventually(lambda: listener.taken == ["a"])
    proxy.silent = True
    began = time.monotonic()
    with pytest.raises(BrokerAway):
        publisher.publish([(QUEUE, "b")])
    with pytest.raises(BrokerAway):
        publisher.publish([("jobwright.other.normal", "b")])
    publisher.forget("w1")
    publisher.close()
    assert listener.consumer.stop(20)
    assert time.monotonic() - began < 20
    proxy.close()


def test_the_certificate_of_a_broker_is_checked(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody trusts, or of another name, gets no password. `SSL_CERT_FILE` names an authority of one's own."""
    (tmp_path / "other").mkdir()
    own, other = make_certificate(tmp_path), make_certificate(tmp_path / "other", "DNS:other.example.com")

    def publish(port: int) -> None:
        publisher = Publisher(broker.url_at(port).replace(f"{broker.scheme}://", f"{broker.scheme}s://", 1))
        publisher.publish([("jobwright.tls.normal", "a")])
        publisher.close()

    with speaking_tls(broker.port, own) as port, speaking_tls(broker.port, other) as misnamed:
        with pytest.raises(BrokerAway, match="CERTIFICATE_VERIFY_FAILED"):
            publish(port)
        monkeypatch.setenv("SSL_CERT_FILE", str(own[0]))
        publish(port)
        monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
        with pytest.raises(BrokerAway, match="IP address mismatch|doesn't match"):
            publish(misnamed)

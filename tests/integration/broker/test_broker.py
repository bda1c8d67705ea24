"""What goes through a real broker: hints, and what is none."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest

from app.broker.base import BrokerAway
from app.config import Settings
from app.findings import Level
from tests.builders.brokers import Broker, Redis
from tests.support import eventually

pytest.importorskip("celery")
from app.broker.celery_app import queue_of
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
    subprocess.run(
        ["redis-cli", "-p", str(redis.port), "config", "set", "maxmemory-policy", "allkeys-lru"], check=True, capture_output=True
    )
    assert [("allkeys-lru" in finding.text, finding.level) for finding in broker_findings(settings)] == [(True, Level.PROBLEM)]
    redis.stop()
    assert [(finding.text[:35], finding.level) for finding in broker_findings(settings)] == [
        ("CELERY_BROKER_URL cannot be reached", Level.PROBLEM)
    ]

"""Lines to workers through a real broker: what is announced is published, and Celery pushes it into the source of the worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from app.broker.queues import queue_name
from app.node.work_source import PushedSource
from tests.support import eventually

if TYPE_CHECKING:
    from app.broker.publisher import Publisher

# What is pushed comes from a real broker, by Celery.
OVER_CELERY = ("celery-redis", pytest.param("celery-rabbitmq", marks=pytest.mark.xdist_group("rabbit")))
SLOTS = 100  # more hints than any test has on their way: none waits for another


class Line:
    """A queue of one worker, and the consumer that takes its messages. Tests use it one after the other, each with a `source` of its own."""

    def __init__(self, url: str, number: int) -> None:
        from app.broker.consumer import CeleryConsumer

        self._queue = queue_name(f"line{number}", 5)
        self._source: PushedSource | None = None
        self._sent = self._arrived = 0
        self._lock = threading.Lock()
        self.consumer = CeleryConsumer(url, name=f"line{number}", slots=SLOTS, on_hint=self._hint)
        self.consumer.consume([self._queue])
        self.consumer.start()
        eventually(lambda: self.consumer.heard().since)

    def lead_to(self, source: PushedSource) -> None:
        """From now on it pushes into this source."""
        self._source = source

    def announce(self, publisher: Publisher, ids: Iterable[str]) -> None:
        """Publishes ids, and waits until those that may be one of an execution have been pushed."""
        from app.broker.celery_app import EXECUTION_ID

        for execution_id in ids:
            self._sent += bool(EXECUTION_ID.fullmatch(execution_id))
            publisher.publish([(self._queue, execution_id)])
        eventually(lambda: self._arrived >= self._sent, every=0.002)

    def forget(self) -> None:
        """What was pushed and not taken is acknowledged."""
        if self._source is not None:
            forget_hints(self._source)

    def _hint(self, execution_id: str) -> bool:
        source = self._source
        if source is None:
            return True
        hint = source.push(execution_id)
        with self._lock:
            self._arrived += 1
        return hint.wait()


class Lines:
    """The lines over one broker. They are made when they are needed, and kept: a consumer takes a second to stop."""

    def __init__(self, url: str) -> None:
        from app.broker.publisher import Publisher

        self.url, self._publisher = url, Publisher(url)
        self._lines: list[Line] = []
        self._lock = threading.Lock()

    def line(self, number: int) -> Line:
        """The line of this number."""
        while len(self._lines) <= number:
            self._lines.append(Line(self.url, len(self._lines)))
        return self._lines[number]

    def announce(self, line: Line, ids: Iterable[str]) -> None:
        """Publishes ids to one worker."""
        with self._lock:
            line.announce(self._publisher, ids)

    def forget(self) -> None:
        """Nothing of a test that has ended is on its way any more."""
        for line in self._lines:
            line.forget()

    def close(self) -> None:
        self.forget()
        for seconds in (0, 10):  # all are told before one is waited for
            stopped = [line.consumer.stop(seconds) for line in self._lines]
        assert all(stopped)
        self._publisher.close()


LineMaker = Callable[[str], Lines | None]


def forget_hints(source: PushedSource) -> None:
    """What was pushed into a source and not taken is forgotten, as if it had been tried."""
    while source._hints:
        source._hints.popleft().settle(tried=True)


def need_celery() -> None:
    """Without Celery the test is skipped; in CI it fails. Its import, which takes long, is over then."""
    if find_spec("celery") is None:
        if os.environ.get("CI"):
            pytest.fail("no Celery: CI must have it")
        pytest.skip("no Celery: make setup-celery")
    import_module("app.broker.publisher")

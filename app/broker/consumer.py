"""Takes messages with a Celery worker that lives in a thread of this process."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any

from celery.bootsteps import RUN
from celery.concurrency.thread import TaskPool
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer

from app.broker.base import Heard, OnHint, without_secrets
from app.broker.celery_app import CLOSE_SECONDS, add_tasks, let_go, limit_waits, make_app, queue_of
from app.broker.queues import probe_queue
from app.events import get_logger

log = get_logger(__name__)

RECONNECT_SECONDS = 1.0
IDLE_SECONDS = 0.5  # so long a quiet connection is waited for before the loop looks at what else is to do
BUSY_SECONDS = 0.005  # the same while hints are tried, whose acknowledgements are sent by the loop
LONGEST_REASON = 200


class _Pool(TaskPool):  # type: ignore[misc]  # Celery has no types
    """Celery's pool of threads, each of which knows the application whose task it runs."""

    def on_apply(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        return super().on_apply(partial(_in_app, self.app, target), *args, **kwargs)


def _in_app(app: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    app.set_current()
    return target(*args, **kwargs)


class _Consumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, whose connection is used by its own thread alone: acknowledgements of other threads are queued."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.loop = _loop
        super().__init__(*args, **kwargs)

    def connect(self) -> Any:
        connection = super().connect()
        limit_waits(connection)
        return connection

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call_soon(p, *args, **kwargs)


class _Worker(WorkController):  # type: ignore[misc]  # Celery has no types
    """Celery's worker, which knows the CeleryConsumer that it works for."""

    def __init__(self, owner: CeleryConsumer, **options: Any) -> None:
        self.owner = owner
        super().__init__(**options)


def _loop(obj: Any, connection: Any, consumer: Any, blueprint: Any, _hub: Any, qos: Any, *_args: Any, **_kwargs: Any) -> None:
    """The loop of a connection. It ends by the error of the connection, or by WorkerShutdown."""
    owner: CeleryConsumer = obj.controller.owner
    consumer.on_message = obj.create_task_handler()
    owner.connected(obj)
    consumer.consume()
    obj.on_ready()
    while blueprint.state == RUN and obj.connection:
        if owner.is_ending():
            obj.perform_pending_operations()
            let_go(connection)
            raise WorkerShutdown(0)
        if qos.prev != qos.value:
            qos.update()
        obj.perform_pending_operations()
        owner.settle_queues(obj)
        with suppress(socket.timeout):
            connection.drain_events(timeout=BUSY_SECONDS if state.reserved_requests else IDLE_SECONDS)


class CeleryConsumer:
    """Consumes the queues of one worker, `slots` hints at a time."""

    def __init__(self, url: str, *, name: str, slots: int, on_hint: OnHint) -> None:
        self._url, self._name, self._slots = url, name, slots
        self._app = make_app(url)
        add_tasks(self._app, on_hint=on_hint, on_probe=self._note_probe)
        self._wanted: frozenset[str] = frozenset()
        self._stopping, self._renewing = threading.Event(), threading.Event()
        self._since: float | None = None
        self._at: float | None = None
        self._thread = threading.Thread(target=self._run, name="celery", daemon=True)
        _quiet_logs(url)

    def start(self) -> None:
        self._thread.start()

    def consume(self, queues: Collection[str]) -> None:
        self._wanted = frozenset(queues)

    def heard(self) -> Heard:
        return Heard(since=self._since, at=self._at)

    def restart(self, timeout_seconds: float) -> bool:
        before = self._since
        if before is None:
            return True
        self._renewing.set()
        deadline = time.monotonic() + timeout_seconds
        while self._since == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._since != before

    def stop(self, timeout_seconds: float) -> bool:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # -- for the thread -------------------------------------------------------------------------------------------

    def is_ending(self) -> bool:
        """Whether the connection is to be given up."""
        return self._stopping.is_set() or self._renewing.is_set()

    def connected(self, consumer: Any) -> None:
        """A connection is there."""
        self._at, self._since = None, time.monotonic()
        self.settle_queues(consumer)
        log.info("broker.connected", queues=len(self._wanted))

    def settle_queues(self, consumer: Any) -> None:
        """Begins to consume what is wanted, and ends what is not."""
        channel = consumer.task_consumer
        wanted = {*self._wanted, probe_queue(self._name)}
        consumed = {queue.name for queue in channel.queues}
        for name in sorted(wanted - consumed):
            channel.add_queue(queue_of(name))
        for name in consumed - wanted:
            channel.cancel_by_queue(name)
        if wanted - consumed:
            channel.consume()

    def _note_probe(self, _text: str) -> None:
        self._at = time.monotonic()

    def _run(self) -> None:
        told = False
        while not self._stopping.is_set():
            self._renewing.clear()
            try:
                self._test()
                told = False
                self._work()
            except Exception as error:  # each transport has errors of its own
                if not told:
                    log.warning("broker.away", reason=without_secrets(f"{type(error).__name__}: {error}", self._url)[:LONGEST_REASON])
                told = True
            self._since = self._at = None
            self._stopping.wait(RECONNECT_SECONDS)

    def _test(self) -> None:
        """Raises the error of a broker that is away. (A worker takes more to make than a connection, and does not raise it.)"""
        with self._app.connection_for_read() as connection:
            connection.connect()
            limit_waits(connection, CLOSE_SECONDS)

    def _work(self) -> None:
        """Works until the connection ends, or until it is to be given up."""
        state.should_stop = state.should_terminate = None
        for requests in (state.requests, state.reserved_requests, state.active_requests):
            requests.clear()
        self._app.amqp.queues.consume_from.clear()
        self._app.amqp.queues.select_add(queue_of(probe_queue(self._name)))
        worker = _Worker(
            self,
            app=self._app,
            hostname=f"{self._name}@jobwright",
            pool_cls=_Pool,
            concurrency=self._slots,
            consumer_cls=_Consumer,
            use_eventloop=False,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            task_events=False,
            loglevel="CRITICAL",
        )
        worker.start()


class _Said(logging.Handler):
    """Turns what Celery logs as an error into an event of ours, without the password of the broker."""

    def __init__(self, url: str) -> None:
        super().__init__(logging.ERROR)
        self._url = url

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            log.warning("celery.said", reason=without_secrets(record.getMessage(), self._url)[:LONGEST_REASON])


def _quiet_logs(url: str) -> None:
    for name in ("celery", "kombu", "amqp"):
        logger = logging.getLogger(name)
        logger.handlers = [_Said(url)]
        logger.propagate = False
        logger.setLevel(logging.ERROR)

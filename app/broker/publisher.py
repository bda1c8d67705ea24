"""Publishes hints with Celery."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from app.broker.base import BrokerAway, without_secrets
from app.broker.celery_app import (
    ANSWER_SECONDS,
    CLOSE_SECONDS,
    EXPIRES_SECONDS,
    is_redis,
    limit_waits,
    make_app,
    queue_of,
)
from app.broker.queues import PROBE, RUN, probe_queue

LONGEST_REASON = 200


class Publisher:
    """A connection for publishing, made when it is needed. One thread uses it. No call takes much longer than ANSWER_SECONDS."""

    def __init__(self, url: str) -> None:
        self._url, self._app, self._is_redis = url, make_app(url), is_redis(url)
        self._connection: Any = None
        self._producer: Any = None

    def publish(self, hints: Sequence[tuple[str, str]]) -> None:
        for queue, execution_id in hints:
            self._send(RUN, queue, execution_id)

    def probe(self, worker: str, text: str) -> None:
        self._send(PROBE, probe_queue(worker), text)

    def ping(self) -> None:
        self.close()
        self._guarded(self._open)

    def product(self) -> tuple[str, str, str]:
        found: list[tuple[str, str, str]] = []
        self._guarded(lambda: found.append(self._ask()))
        return found[0]

    def _ask(self) -> tuple[str, str, str]:
        connection = self._open()
        if self._is_redis:
            info = connection.default_channel.client.info()
            return "Redis", str(info.get("redis_version", "")), str(info.get("maxmemory_policy", ""))
        properties = connection.connection.server_properties
        return str(properties.get("product", "AMQP")), str(properties.get("version", "")), ""

    def forget(self, worker: str) -> None:
        def delete() -> None:
            connection = self._open()
            limit_waits(connection, CLOSE_SECONDS)
            queue_of(probe_queue(worker))(connection.default_channel).delete()

        with suppress(BrokerAway):
            self._guarded(delete)

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _drop(self) -> None:
        """Forgets a connection whose broker may not answer any more."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.collect()

    def _send(self, task: str, queue: str, argument: str) -> None:
        def send() -> None:
            self._open()
            self._app.send_task(
                task,
                args=(argument,),
                producer=self._producer,
                queue=queue_of(queue),
                expiration=EXPIRES_SECONDS,  # `expires` would have workers compare their clocks with ours
                retry=False,
                confirm_timeout=ANSWER_SECONDS,
                add_to_parent=False,
            )

        self._guarded(send)

    def _open(self) -> Any:
        if self._connection is None:
            connection = self._app.connection_for_write()
            connection.ensure_connection(max_retries=1, interval_start=0)  # `connect` would pause for two seconds before it tries again
            limit_waits(connection)
            self._connection, self._producer = connection, self._app.amqp.Producer(connection, auto_declare=False)
        return self._connection

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except Exception as error:  # each transport has errors of its own
            self._drop()
            reason = without_secrets(f"{type(error).__name__}: {error}", self._url)[:LONGEST_REASON]
            raise BrokerAway(reason) from None

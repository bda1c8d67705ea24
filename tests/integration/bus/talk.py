"""Another program on the bus: it sends commands, and reads the stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import nats
from nats.js.api import DeliverPolicy

T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """The answer to a command."""

    status: int
    body: Any
    headers: dict[str, str]


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Runs it in a thread of its own: that of the tests may have a loop that runs, which is Playwright's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class Talk:
    def __init__(self, url: str, prefix: str) -> None:
        self._url, self.prefix = url, prefix

    def command(self, name: str, message: Any = None, *, headers: dict[str, str] | None = None, timeout: float = 20.0) -> Answered:
        """Sends one command as a request. Bytes are sent as they are."""
        data = message if isinstance(message, bytes) else json.dumps({} if message is None else message).encode()

        async def ask() -> Any:
            client = await nats.connect(self._url, allow_reconnect=False)
            try:
                return await client.request(f"{self.prefix}.commands.{name}", data, timeout=timeout, headers=headers)
            finally:
                await client.close()

        answer = finished(ask())
        answered = dict(answer.headers or {})
        return Answered(int(answered["Jobwright-Status"]), json.loads(answer.data), answered)

    def events(self, about: str | None = None) -> list[dict[str, Any]]:
        """All events of the stream in their order, those about an execution or job alone with `about`."""
        return [event for event, _ in self.messages() if about is None or event["subject"] == about]

    def messages(self) -> list[tuple[dict[str, Any], Any]]:
        """All messages of the stream, each with the event in it."""
        stream = f"{self.prefix.upper()}_EVENTS"

        async def read() -> list[Any]:
            client = await nats.connect(self._url)
            try:
                jetstream = client.jetstream()
                count = (await jetstream.stream_info(stream)).state.messages
                subject = f"{self.prefix}.events.>"
                subscription = await jetstream.subscribe(subject, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
                return [await subscription.next_msg(timeout=10) for _ in range(count)]
            finally:
                await client.close()

        return [(json.loads(message.data), message) for message in finished(read())]

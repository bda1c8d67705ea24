"""The bus of one node: a thread with an event loop that keeps one connection to NATS, whatever happens to the server."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from app.clock import Clock
from app.events import get_logger
from app.integrations.nats.connection import Connection, servers_of
from app.integrations.nats.messages import Answer, BusAway, Message, Reply, Sent

log = get_logger(__name__)

RETRY_SECONDS = 0.5  # between two tries to connect
WATCH_SECONDS = 5.0  # between two looks whether the connection still hears
ANSWERS_AT_ONCE = 4  # commands
PUBLISH_SECONDS = 40.0  # for one call of `publish`; less than a claim of the outbox lasts
CLOSE_SECONDS = 10.0

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusState:
    """How the bus is. `stream` says whether events can be stored, `since` how long it has been as it is, and `problem` why it is not
    connected or has no stream."""

    connected: bool
    stream: bool
    since: datetime
    server: str = ""
    problem: str = ""


class Bus:
    """`start` and `close` once each. Nothing here waits for a server that is away, or fails because of it.

    `answer` answers commands. `on_return` is called when events can be stored again.
    """

    def __init__(self, addresses: Sequence[str], *, prefix: str, answer: Answer, on_return: Callable[[], None], clock: Clock) -> None:
        self.prefix = prefix
        self._servers, self._answer, self._on_return, self._clock = servers_of(addresses), answer, on_return, clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._answering = ThreadPoolExecutor(ANSWERS_AT_ONCE, thread_name_prefix="bus-command")
        self._connection: Connection | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._state = BusState(connected=False, stream=False, since=clock.now(), problem="It has not been tried yet")

    def start(self) -> None:
        """Begins to connect, and returns at once."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def state(self) -> BusState:
        """How the bus is now."""
        return self._state

    def takes_events(self) -> bool:
        """Whether the stream of events can be reached."""
        connection = self._connection
        return connection is not None and connection.takes_events

    def publish(self, chains: Sequence[Sequence[Message]]) -> list[Sent]:
        """Stores the messages of each chain one after the other, and the chains beside each other. Returns how each chain went; where the
        bus is away, with BusAway."""
        connection = self._connection
        if connection is None:
            return [Sent(0, BusAway("The bus is not connected")) for _ in chains]
        try:
            return self._call(connection.publish(chains), PUBLISH_SECONDS)
        except (TimeoutError, CancelledError):
            # What was stored meanwhile is sent again with the same ids.
            return [Sent(0, BusAway("The bus did not confirm in time")) for _ in chains]

    def stop_listening(self) -> None:
        """Takes no further commands; those that were taken are answered."""
        connection = self._connection
        if connection is not None:
            with suppress(TimeoutError, CancelledError):
                self._call(connection.stop_listening(), CLOSE_SECONDS)

    def close(self) -> None:
        """Ends the connection and the thread."""
        if self._loop is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(CLOSE_SECONDS)
        self._answering.shutdown(wait=False, cancel_futures=True)

    # -- in the thread of the loop --------------------------------------------------------------------------------

    def _run(self) -> None:
        loop = self._running_loop
        asyncio.set_event_loop(loop)
        self._keeping = loop.create_task(self._keep_connected())
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(self._keeping)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("start comes first")
        return self._loop

    def _stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()

    async def _keep_connected(self) -> None:
        for server in itertools.cycle(self._servers):
            connection = Connection(server, prefix=self.prefix, answer=self._answer_later)
            try:
                await connection.open()
                self._connection = connection
                self._note(connected=True, stream=False, server=server.place)
                log.info("bus.connected", server=server.place)
                await self._watch(connection)
                self._note(connected=False, stream=False, problem="The connection was lost")
                log.warning("bus.away", reason="the connection was lost")
            except Exception as error:
                self._note_failure(error)
            finally:
                self._connection = None
                await connection.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self, connection: Connection) -> None:
        """Returns when the connection is lost, or hears nothing any more."""
        while True:
            if not connection.takes_events:
                await self._find_stream(connection)
            try:
                await asyncio.wait_for(connection.lost.wait(), WATCH_SECONDS if connection.takes_events else RETRY_SECONDS)
            except TimeoutError:
                if not await connection.hears():
                    return
            else:
                return

    async def _find_stream(self, connection: Connection) -> None:
        try:
            await connection.find_stream()
        except Exception as error:
            problem = f"There is no stream for events: {str(error) or type(error).__name__}"[:300]
            if problem != self._state.problem:
                log.warning("bus.no_stream", reason=problem)
            self._note(connected=True, stream=False, server=self._state.server, problem=problem)
            return
        self._note(connected=True, stream=True, server=self._state.server)
        self._on_return()

    def _note_failure(self, error: Exception) -> None:
        problem = (str(error) or type(error).__name__)[:300]
        if self._state.connected or problem != self._state.problem:
            log.warning("bus.away", reason=problem)
        self._note(connected=False, stream=False, problem=problem)

    def _note(self, **state: Any) -> None:
        new = BusState(**state, since=self._clock.now())
        same = (new.connected, new.stream) == (self._state.connected, self._state.stream)
        self._state = replace(new, since=self._state.since) if same else new

    async def _answer_later(self, name: str, data: bytes, headers: Mapping[str, str]) -> Reply:
        return await self._running_loop.run_in_executor(self._answering, self._answer, name, data, headers)

    def _call(self, work: Coroutine[Any, Any, Made], seconds: float) -> Made:
        """The result of `work`, done in the thread of the loop. Raises TimeoutError after `seconds`, and cancels it then."""
        future = asyncio.run_coroutine_threadsafe(work, self._running_loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

"""The bus of one node: a thread with an event loop that keeps one connection to NATS, whatever happens to the server."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from app.clock import Clock
from app.events import get_logger
from app.integrations.nats import problems
from app.integrations.nats.connection import CONNECT_SECONDS, Connection, Server, servers_of
from app.integrations.nats.messages import Answer, BusAway, Message, Reply, Sent, stream_name
from app.scheduling.bus_state import BusState
from templates_lib.messages import say

log = get_logger(__name__)

# Between two tries to connect: the shortest wait doubles up to the longest, and up to that after a refusal, which a person must end.
RETRY_SECONDS, LONGEST_RETRY_SECONDS, REFUSED_SECONDS = 0.5, 5.0, 30.0
STEADY_SECONDS = 5.0  # a connection that lasted so long is followed by the shortest wait
FIND_SECONDS = 1.0  # between two looks for a stream that is not there
WATCH_SECONDS = 5.0  # between two looks whether the connection still hears
ANSWERS_AT_ONCE = 4  # commands
PUBLISH_SECONDS = 40.0  # for one call of `publish`; less than a claim of the outbox lasts
CLOSE_SECONDS = 10.0

Made = TypeVar("Made")


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
        self._listens = True
        # Nothing is handed to the loop after it has ended: it would never be done.
        self._gate, self._ended = threading.Lock(), False
        self._state = BusState(
            connected=False, stream=False, since=clock.now(), problem=say("The first connection has not been tried yet.")
        )

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
        except (TimeoutError, CancelledError, BusAway):
            # What was stored meanwhile is sent again with the same ids.
            return [Sent(0, BusAway("The bus did not confirm in time")) for _ in chains]

    def stop_listening(self) -> None:
        """Takes no further commands, over later connections neither; those that were taken are answered."""
        self._listens = False
        connection = self._connection
        if connection is not None:
            with suppress(TimeoutError, CancelledError, BusAway):
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
        with self._gate:
            self._ended = True
        loop.run_until_complete(asyncio.sleep(0))  # what was handed over before becomes a task
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
        tries = 0
        for server in itertools.cycle(self._servers):
            began, refused = self._clock.monotonic(), False
            connection = Connection(server, prefix=self.prefix, answer=self._answer_later, listens=self._listens)
            try:
                await connection.open()
                self._connection = connection
                self._note(connected=True, stream=False, server=server.place, problem=connection.problem)
                log.info("bus.connected", server=server.place)
                await self._watch(connection, server)
                self._note_loss(say("The connection to {place} was lost.", place=server.place))
            except Exception as error:
                refused = problems.is_refusal(error)
                self._note_loss(problems.of_connection(error, server.place, CONNECT_SECONDS))
            finally:
                self._connection = None
                await connection.close()
            tries = 0 if self._clock.monotonic() - began > STEADY_SECONDS and not refused else tries + 1
            await asyncio.sleep(
                retry_delay(tries, longest=REFUSED_SECONDS if refused else LONGEST_RETRY_SECONDS) * random.uniform(0.5, 1.0)
            )

    async def _watch(self, connection: Connection, server: Server) -> None:
        """Returns when the connection is lost, or hears nothing any more."""
        while True:
            if not connection.takes_events:
                await self._find_stream(connection, server)
            try:
                await asyncio.wait_for(connection.lost.wait(), WATCH_SECONDS if connection.takes_events else FIND_SECONDS)
            except TimeoutError:
                if not await connection.hears():
                    return
            else:
                return

    async def _find_stream(self, connection: Connection, server: Server) -> None:
        try:
            await connection.find_stream()
        except Exception as error:
            problem = problems.of_stream(error, server.place, stream_name(self.prefix))
            if problem != self._state.problem:
                log.warning("bus.no_stream", reason=problem)
            self._note(connected=True, stream=False, server=server.place, problem=problem)
            return
        self._note(connected=True, stream=True, server=server.place, problem=connection.problem)
        self._on_return()

    def _note_loss(self, problem: str) -> None:
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
        """The result of `work`, done in the thread of the loop. Raises TimeoutError after `seconds`, and cancels it then; BusAway once the
        loop has ended."""
        with self._gate:
            if self._ended:
                work.close()
                raise BusAway("The bus has ended")
            future = asyncio.run_coroutine_threadsafe(work, self._running_loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise


def retry_delay(tries: int, *, longest: float) -> float:
    """Returns how many seconds to wait before the next try to connect: 0.5, 1, 2 … up to `longest`."""
    return min(RETRY_SECONDS * (1 << min(max(tries - 1, 0), 10)), longest)

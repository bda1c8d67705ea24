"""One connection: reads a complete request, lets a thread answer it, and sends the answer as fast as the client takes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Protocol, cast

import h11

from app.pauses import ENDING
from app.webserver.answer import Answer, Head
from app.webserver.heads import HeadLines, coming_chunk, declared_size, refusal, response
from app.webserver.limits import Limits, Place
from app.webserver.spool import Spool
from app.webserver.wsgi import Application, Ends, Responding, SpooledBody, environment

CHUNK_BYTES = 65_536
EVENTS_A_TURN = 300  # events of one connection before the loop turns to others: about 3 ms, whatever a packet holds
MOST_LINES = 256  # of a head: each costs the loop some microseconds
LARGEST_CHUNK = 2**64 - 1  # other readers store the size of a chunk in 64 bits; beyond that, two readers may read different sizes


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()  # the first byte of a request
    HEAD = auto()  # the rest of a head
    BODY = auto()  # the rest of a body
    ANSWER = auto()  # the application, and the client that takes its answer
    LEAVING = auto()  # the client, to take the last bytes and to close


READING = {Phase.IDLE, Phase.HEAD, Phase.BODY}
CLIENTS_TURN = {Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.LEAVING}


@dataclass(slots=True)
class Incoming:
    """A request that is coming in: its head, and what has come of its body."""

    request: h11.Request
    body: Spool = field(default_factory=Spool)
    received: int = 0  # bytes of the body

    @property
    def size(self) -> int:
        """The body's length, as far as it is known."""
        return max(self.received, declared_size(self.request))


@dataclass(frozen=True, slots=True)
class Waiting:
    """An application that has paused: what goes on with it, and the timer that does so."""

    go_on: Callable[[], None]
    timer: asyncio.TimerHandle


class Owner(Protocol):
    """What a connection needs from its server."""

    limits: Limits
    application: Application
    draining: bool

    def now(self) -> float: ...
    def submit(self, call: Callable[[], None], path: str = "") -> None: ...
    def call_soon_threadsafe(self, call: Callable[[], None]) -> None: ...
    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle: ...
    def opened(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.0 and 1.1, parsed by h11. Requests are answered one after the other. Only the loop's thread calls it."""

    _transport: asyncio.Transport

    def __init__(self, owner: Owner) -> None:
        self._owner, self._limits = owner, owner.limits
        self._http = self._parser()
        self._head = HeadLines()
        self._phase, self._since = Phase.IDLE, owner.now()
        self._useful = self._since  # when it opened, or its last request was answered
        self._incoming: Incoming | None = None
        self._answer: Answer | None = None
        self._begun = False  # the answer's head is out
        self._bare = False  # the answer has no body
        self._last = False  # the connection ends with this answer
        self._full = False  # the client takes no more for now
        self._sent = 0
        self._stalled_since = 0.0
        self._stalled_seconds = 0.0  # of this answer, before `_stalled_since`
        self._waiting: Waiting | None = None  # the application has paused
        self._ahead = False  # the client has sent its next request before it has this answer

    # -- the server's questions -----------------------------------------------------------------------------------

    def place(self) -> Place:
        """Describes the connection for the choice of which one to close. A client that does not take its answer is waited for."""
        return Place(self._ends.client[0], self._useful, self._phase in CLIENTS_TURN or self._full)

    def held_bytes(self) -> int:
        """The number of stored bytes of its body and its answer."""
        return (len(self._incoming.body) if self._incoming is not None else 0) + (self._answer.waiting if self._answer is not None else 0)

    def check(self, now: float) -> None:
        """Closes the connection if its client has taken too long."""
        if now <= self._deadline():
            return
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request did not come in whole in time.")
        else:
            self.abort()

    def drain(self) -> None:
        """Answers a request that was received completely, and takes no further one."""
        self._last = True
        self._go_on()
        if self._phase in READING:
            self._leave()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=CHUNK_BYTES)
        self._ends = Ends(_address(transport.get_extra_info("peername")), _address(transport.get_extra_info("sockname")))
        self._owner.opened(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._phase = Phase.LEAVING
        if self._answer is not None:
            self._answer.abandon()
        self._go_on()
        self._drop_body()
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LEAVING:
            return
        if self._phase is Phase.IDLE:
            data = data.lstrip(b"\r\n")  # RFC 9112, 2.2: some clients end a body with a line
            if not data:
                return
            self._enter(Phase.HEAD)
        if self._phase is Phase.HEAD and self._head.add(data) > MOST_LINES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"A request's head may have {MOST_LINES} lines.")
            return
        self._http.receive_data(data)
        if self._phase is Phase.ANSWER:  # its next request, while the application pauses: the rest waits in the kernel
            self._ahead = True
            self._transport.pause_reading()
        self._read()

    def eof_received(self) -> bool:
        """Handles a client that closes its side but still takes its answer. One whose answer waits for something is taken to have left."""
        if self._waiting is not None:
            self.abort()
            return False
        if self._phase is Phase.ANSWER:
            self._last = True
            return True
        return False

    def pause_writing(self) -> None:
        self._full, self._stalled_since = True, self._owner.now()

    def resume_writing(self) -> None:
        self._full = False
        self._stalled_seconds += self._owner.now() - self._stalled_since
        self._pump()

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Parses the received bytes up to the end of a request. Parses a large amount in several turns of the loop."""
        try:
            for _ in range(EVENTS_A_TURN):
                if self._phase not in READING:
                    return
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._begin(event)
                elif isinstance(event, h11.Data):
                    self._judge_chunk(len(event.data))
                    self._take(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._run()
                elif isinstance(event, h11.ConnectionClosed):
                    self._leave()
                else:
                    self._judge_chunk()
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(HTTPStatus(error.error_status_hint), f"This is not a request that can be read: {error}.")
            return
        if self._phase in READING:
            self._transport.pause_reading()
            self._owner.call_soon_threadsafe(self._read_on)

    def _read_on(self) -> None:
        """Returns the next parsed event."""
        if self._phase in READING and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read()

    def _judge_chunk(self, came: int = 0) -> None:
        """Refuses a chunk by its announced size, before it was received completely. `came` bytes of it were just received."""
        if self._phase is not Phase.BODY or self._incoming is None:
            return
        size = came + coming_chunk(self._http)
        if size > LARGEST_CHUNK:
            self._refuse(HTTPStatus.BAD_REQUEST, "The size of a chunk is beyond 64 bits.")
        elif self._incoming.received + size > self._limits.body_bytes:
            self._incoming.received += size
            self._run()  # the application refuses it by its length

    def _begin(self, request: h11.Request) -> None:
        """Handles a received head."""
        fault = refusal(request, self._limits)
        if fault is not None:
            self._refuse(*fault)
            return
        self._incoming = Incoming(request)
        self._enter(Phase.BODY)
        if self._incoming.size > self._limits.body_bytes:
            self._run()  # the application refuses it by its length
        elif self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))

    def _take(self, data: bytes) -> None:
        if self._phase is not Phase.BODY:
            return  # it has just been refused
        incoming = self._now_incoming()
        incoming.received += len(data)
        if incoming.received > self._limits.body_bytes:
            self._run()
        else:
            incoming.body.put(data)

    def _now_incoming(self) -> Incoming:
        if self._incoming is None:
            raise RuntimeError("no request is coming in")
        return self._incoming

    def _run(self) -> None:
        """Lets a thread answer the request. For a body that is too long, the application sees the length and refuses it."""
        incoming, self._incoming = self._now_incoming(), None
        self._last = self._last or self._owner.draining or incoming.size > self._limits.body_bytes
        self._enter(Phase.ANSWER)
        self._transport.pause_reading()  # what follows waits in the kernel
        self._sent, self._stalled_seconds, self._stalled_since = 0, 0.0, self._since
        answer = self._answer = Answer(lambda: self._owner.call_soon_threadsafe(self._pump), most=self._limits.answer_bytes)
        self._bare = incoming.request.method == b"HEAD"
        environ = environment(incoming.request, self._ends, SpooledBody(incoming.body), incoming.size)
        environ[ENDING] = lambda: self._owner.draining

        def pause(go_on: Callable[[], None], seconds: float) -> None:
            self._owner.call_soon_threadsafe(lambda: self._wait(go_on, seconds))

        responding = Responding(self._owner.application, environ, answer, pause)

        def work() -> None:
            try:
                responding()
            finally:
                incoming.body.close()

        self._owner.submit(work, environ["PATH_INFO"])

    def _wait(self, go_on: Callable[[], None], seconds: float) -> None:
        """Waits for an application that pauses. Its thread is free, and the client is listened to, so that its leaving is noticed."""
        if self._phase is not Phase.ANSWER or self._owner.draining:
            self._owner.submit(go_on)
            return
        self._waiting = Waiting(go_on, self._owner.call_later(seconds, self._go_on))
        if not self._ahead:
            self._transport.resume_reading()

    def _go_on(self) -> None:
        """Goes on with the answer of an application that has paused."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.timer.cancel()
            self._transport.pause_reading()
            self._owner.submit(waiting.go_on)

    # -- answering ------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Sends what the application has written, as far as the client takes it."""
        answer = self._answer
        if answer is None or self._transport.is_closing():
            return
        answer.listen()
        if answer.broken:
            self._break_off()
            return
        try:
            while not self._full and self._answer is answer:
                ended = answer.ended  # before the bytes: what ends while they are taken is told again
                data = answer.take(CHUNK_BYTES)
                if not data:
                    if ended:
                        self._finish(answer)
                    return
                self._sent += len(data)
                self._send(*self._head_of(answer), h11.Data(data=data))
        except h11.LocalProtocolError:  # the answer is no HTTP: another length than it says, a line break in a header
            self._break_off()

    def _head_of(self, answer: Answer) -> list[h11.Event]:
        if self._begun:
            return []
        head = response(answer.begun_head(), last=self._last)
        self._begun = True
        return [head]

    def _finish(self, answer: Answer) -> None:
        self._send(*self._head_of(answer), h11.EndOfMessage())
        answer.abandon()
        self._answer = None
        self._useful = self._owner.now()
        if self._last or self._owner.draining or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._leave()
            return
        self._begin_next()

    def _begin_next(self) -> None:
        """Starts with the next request of this connection. Bytes that came after the last request belong to it."""
        came, self._http, self._head = self._http.trailing_data[0], self._parser(), HeadLines()
        self._begun = self._bare = self._ahead = False
        self._enter(Phase.IDLE)
        self._transport.resume_reading()
        if came:
            self.data_received(came)

    def _parser(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)

    def _break_off(self) -> None:
        """Handles a failure of the application. The client is told if nothing was sent yet; otherwise the answer is broken off."""
        if self._begun:
            self.abort()
        else:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "This is our fault and is in the log.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answers in place of the application, and closes the connection."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE} and not self._begun:
            body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}).encode()
            headers = ((b"Content-Type", b"application/problem+json"), (b"Content-Length", str(len(body)).encode()))
            data = [] if self._bare else [h11.Data(data=body)]
            self._send(response(Head(status.value, status.phrase.encode(), headers), last=True), *data, h11.EndOfMessage())
        self._leave()

    def _send(self, *events: h11.Event) -> None:
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))

    def _leave(self) -> None:
        """Closes after the last bytes. A client that still sends is read for a while, because closing at once would discard the answer."""
        if self._phase is Phase.LEAVING:
            return
        read_whole = self._http.their_state in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED} or self._phase is Phase.IDLE
        if self._answer is not None:
            self._answer.abandon()
            self._answer = None
        self._drop_body()
        self._enter(Phase.LEAVING)
        if read_whole:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # it has been reset, which the loop has not told yet
            self._transport.abort()
        else:
            self._transport.resume_reading()

    # -- steps ----------------------------------------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since = phase, self._owner.now()

    def _deadline(self) -> float:
        limits, waiting = self._limits, self._transport.get_write_buffer_size()
        match self._phase:
            case Phase.IDLE:
                return self._since + limits.idle_seconds + waiting / limits.slowest_bytes_per_second
            case Phase.HEAD:
                return self._since + limits.head_seconds
            case Phase.BODY:
                return self._since + limits.transfer_seconds(self._now_incoming().received)
            case Phase.LEAVING:
                return self._since + limits.linger_seconds + waiting / limits.slowest_bytes_per_second
            case Phase.ANSWER:
                if not self._full:
                    return float("inf")  # the application's turn
                allowed = limits.transfer_seconds(self._sent - waiting)
                return self._stalled_since + allowed - self._stalled_seconds

    def _drop_body(self) -> None:
        if self._incoming is not None:
            self._incoming.body.close()
            self._incoming = None


def _address(info: Any) -> tuple[str, int]:
    return (str(info[0]), int(info[1])) if isinstance(info, tuple) and len(info) >= 2 else ("", 0)

"""A TCP proxy in front of RabbitMQ that loses and doubles messages, and can fall silent."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

PROTOCOL_HEADER = 8  # bytes with which a client begins
METHOD, HEADER = 1, 2  # types of frames
PUBLISH, CONSUME = (60, 40), (60, 20)  # methods: class and number
HINTS, NOWHERE = b"jobwright.", b"nowhere---"  # the begin of the names of queues, and of one that nobody has


class Frame(NamedTuple):
    """A frame of AMQP 0-9-1: as it came, its type, and what it carries."""

    raw: bytes
    type: int
    payload: bytes

    @property
    def method(self) -> tuple[int, int] | None:
        """Class and number of a method; None for other frames."""
        return struct.unpack_from(">HH", self.payload) if self.type == METHOD else None


class AmqpProxy:
    """Passes frames on to RabbitMQ at `port`, except that of the messages that announce runs a share is `dropped` (published to a queue that
    does not exist, so RabbitMQ confirms it) and a share is `doubled`. With `deaf`, connections that consume hear nothing more; with
    `silent`, nobody does."""

    def __init__(self, port: int, *, dropped: float = 0.0, doubled: float = 0.0, seed: int = 7) -> None:
        self._target, self.dropped, self.doubled = port, dropped, doubled
        self._dice, self.counts = random.Random(seed), {"dropped": 0, "doubled": 0}
        self.deaf = self.silent = self.closed = False
        self.published = 0  # messages of all kinds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.closed = True
        self._listener.close()

    def _accept(self) -> None:
        while not self.closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=_Passage(self, client, self._target).serve, daemon=True).start()

    def fate(self) -> str:
        """What becomes of the next message."""
        chance = self._dice.random()
        fate = "dropped" if chance < self.dropped else "doubled" if chance < self.dropped + self.doubled else "passed"
        if fate in self.counts:
            self.counts[fate] += 1
        return fate


class _Passage:
    """One connection. A client that waits for each confirmation takes one too many for that of the next message."""

    def __init__(self, proxy: AmqpProxy, client: socket.socket, port: int) -> None:
        self._proxy, self._client, self._port = proxy, client, port
        self._consumes, self._heard_nothing = False, False

    def serve(self) -> None:
        with suppress(OSError), self._client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._answers, args=(server,), daemon=True)
            back.start()
            with self._client.makefile("rb") as stream:
                server.sendall(stream.read(PROTOCOL_HEADER))
                frames = _frames(stream)
                for frame in frames:
                    self._consumes = self._consumes or frame.method == CONSUME
                    raw = frame.raw
                    self._proxy.published += frame.method == PUBLISH
                    if frame.method == PUBLISH and HINTS in raw and b"jobwright.probe" not in raw:
                        raw = self._of_fate([frame, *_content(frames)])
                    if not self._proxy.silent:
                        server.sendall(raw)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _of_fate(self, message: list[Frame]) -> bytes:
        raw, fate = b"".join(frame.raw for frame in message), self._proxy.fate()
        if fate == "dropped":
            return message[0].raw.replace(HINTS, NOWHERE) + raw[len(message[0].raw) :]
        return raw * 2 if fate == "doubled" else raw

    def _answers(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if self._proxy.silent or (self._consumes and self._proxy.deaf):
                    self._heard_nothing = True
                if not self._heard_nothing:
                    self._client.sendall(data)
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)


def _frames(stream: BinaryIO) -> Iterator[Frame]:
    """The frames that a client sends."""
    while len(head := stream.read(7)) == 7:
        kind, _channel, size = struct.unpack(">BHI", head)
        rest = stream.read(size + 1)
        yield Frame(head + rest, kind, rest[:-1])


def _content(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The header of a message, and its body."""
    header = next(frames)
    assert header.type == HEADER
    yield header
    (left,) = struct.unpack_from(">Q", header.payload, 4)
    while left > 0:
        body = next(frames)
        left -= len(body.payload)
        yield body

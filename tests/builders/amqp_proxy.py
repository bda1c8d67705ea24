"""A proxy in front of RabbitMQ that loses and doubles messages."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tests.builders.broker_proxy import Passage, Proxy

PROTOCOL_HEADER = 8  # bytes with which a client begins
METHOD, HEADER = 1, 2  # types of frames
PUBLISH, CONSUME = (60, 40), (60, 20)  # methods: class and number
HINTS, NOWHERE = b"jobwright.", b"nowhere---"  # how the names of queues begin, and that of one which does not exist


class Frame(NamedTuple):
    """A frame of AMQP 0-9-1: as it came, its type, and what it carries."""

    raw: bytes
    type: int
    payload: bytes

    @property
    def method(self) -> tuple[int, int] | None:
        """Class and number of a method; None for other frames."""
        return struct.unpack_from(">HH", self.payload) if self.type == METHOD else None


class _Passage(Passage):
    """A client that waits for each confirmation takes one too many for that of the next message."""

    def pass_on(self, server: socket.socket) -> None:
        with self.client.makefile("rb") as stream:
            server.sendall(stream.read(PROTOCOL_HEADER))
            frames = _frames(stream)
            for frame in frames:
                self.waits = self.waits or frame.method == CONSUME
                raw = frame.raw
                self.proxy.published += frame.method == PUBLISH
                if frame.method == PUBLISH and HINTS in raw and b"jobwright.probe" not in raw:
                    raw = self._of_fate([frame, *_content(frames)])
                if not self.proxy.silent:
                    server.sendall(raw)

    def _of_fate(self, message: list[Frame]) -> bytes:
        raw, fate = b"".join(frame.raw for frame in message), self.proxy.fate()
        if fate == "dropped":
            return message[0].raw.replace(HINTS, NOWHERE) + raw[len(message[0].raw) :]
        return raw * 2 if fate == "doubled" else raw


class AmqpProxy(Proxy):
    """A proxy in front of RabbitMQ. A message that is dropped is published to a queue that does not exist, so RabbitMQ confirms it."""

    passage = _Passage


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

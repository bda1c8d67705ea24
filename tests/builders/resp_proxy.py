"""A proxy in front of Redis that loses and doubles messages."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tests.builders.broker_proxy import Passage, Proxy


class _Passage(Passage):
    """Answers keep the order of their commands, also those to commands that the proxy makes up: each asks for an answer of the same form."""

    def pass_on(self, server: socket.socket) -> None:
        for raw, words in _commands(self.client):
            name = words[0].upper()
            self.waits = self.waits or name == b"BRPOP"
            self.proxy.published += name == b"LPUSH"
            if name == b"LPUSH" and b"jobwright.run" in words[-1]:
                fate = self.proxy.fate()
                if fate == "dropped":
                    raw = _command(b"LLEN", words[1])  # answered by a number, as LPUSH is
                elif fate == "doubled":
                    raw = _command(b"LPUSH", words[1], words[-1], words[-1])
            if not self.proxy.silent:
                server.sendall(raw)


class RespProxy(Proxy):
    """A proxy in front of Redis. A command (LPUSH) that is dropped is answered as if it had been done."""

    passage = _Passage


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _commands(client: socket.socket) -> Iterator[tuple[bytes, list[bytes]]]:
    """The commands that a client sends, as they came and by their words."""
    with client.makefile("rb") as stream:
        while head := stream.readline():
            words = []
            raw = head
            for _ in range(int(head[1:])):
                length = stream.readline()
                word = stream.read(int(length[1:]) + 2)
                raw += length + word
                words.append(word[:-2])
            yield raw, words

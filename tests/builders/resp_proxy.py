"""A TCP proxy in front of Redis that loses and doubles messages, and can fall silent."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress


class RespProxy:
    """Passes commands on to Redis at `port`, except that of those that put a run into a queue (LPUSH), a share is `dropped` (answered as if
    it had been done) and a share is `doubled`. With `deaf`, connections that wait for messages (BRPOP) hear nothing more."""

    def __init__(self, port: int, *, dropped: float = 0.0, doubled: float = 0.0, seed: int = 7) -> None:
        self._target, self.dropped, self.doubled = port, dropped, doubled
        self._dice, self.counts = random.Random(seed), {"dropped": 0, "doubled": 0}
        self.deaf = self.closed = False
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
    """One connection. Answers keep the order of their commands, also those that the proxy makes up: Redis does an ECHO of the same form."""

    def __init__(self, proxy: RespProxy, client: socket.socket, port: int) -> None:
        self._proxy, self._client, self._port = proxy, client, port
        self._waits, self._heard_nothing = False, False

    def serve(self) -> None:
        with suppress(OSError), self._client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._answers, args=(server,), daemon=True)
            back.start()
            for raw, words in _commands(self._client):
                name = words[0].upper()
                self._waits = self._waits or name == b"BRPOP"
                if name == b"LPUSH" and b"jobwright.run" in words[-1]:
                    fate = self._proxy.fate()
                    if fate == "dropped":
                        raw = _command(b"LLEN", words[1])  # answered by a number, as LPUSH is
                    elif fate == "doubled":
                        raw = _command(b"LPUSH", words[1], words[-1], words[-1])
                server.sendall(raw)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if self._waits and self._proxy.deaf:
                    self._heard_nothing = True
                if not self._heard_nothing:
                    self._client.sendall(data)
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)


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

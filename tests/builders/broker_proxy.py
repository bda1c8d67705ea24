"""A TCP proxy in front of a message broker that loses and doubles messages, and can fall silent."""

from __future__ import annotations

import random
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar


class Proxy:
    """Passes on what clients send to the broker at `port`, except that of the messages that announce runs a share is `dropped` and a share is
    `doubled`. With `deaf`, connections that wait for messages hear nothing more; with `silent`, nobody does."""

    passage: ClassVar[type[Passage]]

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
            threading.Thread(target=self.passage(self, client, self._target).serve, daemon=True).start()

    def fate(self) -> str:
        """Draws what becomes of the next message."""
        chance = self._dice.random()
        fate = "dropped" if chance < self.dropped else "doubled" if chance < self.dropped + self.doubled else "passed"
        if fate in self.counts:
            self.counts[fate] += 1
        return fate


class Passage(ABC):
    """One connection through a proxy. `waits` is set when it begins to wait for messages."""

    def __init__(self, proxy: Proxy, client: socket.socket, port: int) -> None:
        self.proxy, self.client, self._port = proxy, client, port
        self.waits, self._heard_nothing = False, False

    def serve(self) -> None:
        """Passes on what both sides send, until one of them ends the connection."""
        with suppress(OSError), self.client, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=self._answers, args=(server,), daemon=True).start()
            self.pass_on(server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    @abstractmethod
    def pass_on(self, server: socket.socket) -> None:
        """Sends the server what the client sends, changed by the fate of each message, until the client ends the connection."""

    def _answers(self, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if self.proxy.silent or (self.waits and self.proxy.deaf):
                    self._heard_nothing = True
                if not self._heard_nothing:
                    self.client.sendall(data)
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

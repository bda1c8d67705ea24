"""A TCP proxy in front of a Unix socket that does to connections what networks do."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from pathlib import Path


class Proxy:
    """`mode` is one of pass, hole (takes everything and says nothing), reset, delay (0.3 s each way), throttle (20 kB/s) and swallow
    (the answers of the next requests are lost and the connection is cut)."""

    def __init__(self, path: Path) -> None:
        self._path, self.mode = path, "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = False
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._path))
        except OSError:
            client.close()
            return
        with client, server, selectors.DefaultSelector() as selector:
            for one in (client, server):
                selector.register(one, selectors.EVENT_READ)
            while not self._closing:
                for key, _ in selector.select(0.2):
                    if not self._move(key.fileobj, server if key.fileobj is client else client, client):
                        return
                if self.mode == "reset":
                    self._reset(client)
                    return

    def _move(self, source: socket.socket, target: socket.socket, client: socket.socket) -> bool:
        """Pass on what came; False where the connection ends."""
        try:
            data = source.recv(65_536)
            if not data:
                return False
            if self.mode == "hole":
                while self.mode == "hole" and not self._closing:
                    time.sleep(0.05)
                return False
            if self.mode == "swallow" and source is not client and len(data) > 60:
                self.swallowed += 1
                self._reset(client)
                return False
            if self.mode == "delay":
                time.sleep(0.3)
            if self.mode == "throttle":
                time.sleep(len(data) / 20_000)
            target.sendall(data)
        except OSError:
            return False
        return True

    @staticmethod
    def _reset(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

"""Channels, and an HTTP receiver that keeps what it gets."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """A server. `answers` are the statuses of the next requests, then 200; `hold` keeps each request until it is set. `failing` is the share
    of requests that get 503, as `chance` wants it. `began` are the times of what it `got`, and `arrived` is how many requests came."""

    url: str = ""
    answers: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    began: list[datetime] = field(default_factory=list)
    hold: threading.Event | None = None
    close_after_reading: bool = False
    arrived: int = 0
    failing: float = 0.0
    chance: random.Random = field(default_factory=random.Random)

    @property
    def keys(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextmanager
def receiver() -> Iterator[Receiver]:
    kept, lock = Receiver(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            began = datetime.now(UTC)
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed meanwhile
                return
            with lock:
                kept.arrived += 1
            if kept.hold is not None:
                kept.hold.wait(60)
            with lock:
                status = kept.answers.pop(0) if kept.answers else 503 if kept.chance.random() < kept.failing else 200
                status, headers = status if isinstance(status, tuple) else (status, {})
                if status < 300 or kept.close_after_reading:
                    kept.got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                    kept.began.append(began)
            if kept.close_after_reading:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "2")
            with suppress(OSError):  # the sender was killed meanwhile
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()

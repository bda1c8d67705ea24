"""A load balancer that goes by /ready: it asks each backend ten times a second, and sends requests to those that say 200."""

from __future__ import annotations

import itertools
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

CHECK_SECONDS = 0.1


class Balancer:
    """It repeats no request: one that a backend does not answer fails with 502. `backends` may change at any time."""

    def __init__(self, backends: list[str]) -> None:
        self.backends, self._ready = backends, list[str]()
        self._turns, self._closing = itertools.count(), threading.Event()
        balancer = self

        class Handler(BaseHTTPRequestHandler):
            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = balancer.send(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = _forward

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.check()
        for work in (self._server.serve_forever, self._watch):
            threading.Thread(target=work, daemon=True).start()

    @property
    def ready(self) -> list[str]:
        """The backends that were ready when it last asked."""
        return self._ready

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Sends one request to the next backend that is ready."""
        ready = self._ready
        if not ready:
            return 502, b'{"title": "no backend is ready"}'
        chosen = ready[next(self._turns) % len(ready)]
        try:
            answer = httpx.request(method, chosen + path, headers=headers, content=body, timeout=60)
        except httpx.HTTPError as error:
            return 502, f'{{"title": "{type(error).__name__}"}}'.encode()
        return answer.status_code, answer.content

    def check(self) -> None:
        """Asks all backends."""
        self._ready = [backend for backend in list(self.backends) if self._is_ready(backend)]

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _watch(self) -> None:
        while not self._closing.wait(CHECK_SECONDS):
            self.check()

    @staticmethod
    def _is_ready(backend: str) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{backend}/ready", timeout=5).status_code == 200
        return False

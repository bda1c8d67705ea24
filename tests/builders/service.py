"""A service that Jobwright calls, on a real HTTP server, and what it reports."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
from flask import Flask

from app.audit.model import Actor
from app.jobs.model import Job
from app.services import Services
from templates_lib.connections.service import new_key
from templates_lib.signatures import signed_headers

RESET = "reset"  # an answer: the connection is torn down
NAME = "email-service"


@dataclass(frozen=True)
class Call:
    """One request that a service got."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Callable[[Call], Answer | str]


def done(call: Call) -> Answer:
    """The work is done."""
    return Answer(200, {"success": True, "itemsProcessed": 3, "itemsSucceeded": 3, "itemsFailed": 0})


def accepted(call: Call) -> Answer:
    """The work goes on."""
    return Answer(202)


class Receiver:
    """A service on its own port. `reply` answers each call; `calls` are those that came."""

    def __init__(self, reply: Reply = done) -> None:
        self.reply, self.calls = reply, list[Call]()
        self.key = new_key()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                call = Call(self.path, dict(self.headers), raw, time.monotonic())
                receiver.calls.append(call)
                answer = receiver.reply(call)
                if answer == RESET:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                assert isinstance(answer, Answer)
                body = answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):  # the caller was killed, or the connection was reset
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError, ValueError):
                    super().finish()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Of its connection."""
        port = self._server.server_port
        key = {"id": "k1", "secret": self.key, "created_at": "2026-03-01T00:00:00Z"}
        return {"address": self.address, "plain": True, "hosts": [f"127.0.0.1:{port}"], "keys": [key]}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiver(reply: Reply = done) -> Iterator[Receiver]:
    made = Receiver(reply)
    try:
        yield made
    finally:
        made.close()


def connect_service(services: Services, actor: Actor, service: Receiver, name: str = NAME) -> None:
    """Creates the connection of a service."""
    services.connections.create(actor, name=name, kind="service", settings=service.settings)


def make_service_job(services: Services, actor: Actor, name: str = "weekly-digest", *, service: str = NAME, **fields: Any) -> Job:
    """A job that a service does."""
    given = fields.pop("parameters", {})
    parameters = {"service": service, "job_name": name, **given}
    return services.jobs.create(actor, {"name": name, "template_type": "service_job", "parameters": parameters, **fields})[0]


class Reports:
    """Sends the reports of a service over REST, signed with its key."""

    def __init__(self, app: Flask, key: str | None) -> None:
        self._client, self._key, self._count = app.test_client(), key, 0

    def __call__(
        self,
        token: str,
        report: str,
        body: Any = None,
        *,
        seconds: float = 0,
        key: str | None = None,
        message_id: str | None = None,
        **headers: str,
    ) -> Any:
        """Sends one; `token` is the token or the address of reports, and the clock of the service is `seconds` ahead."""
        self._count += 1
        raw = json.dumps({} if body is None else body).encode()
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        keys = [key or self._key] if key or self._key else []
        signed = signed_headers([one for one in keys if one], message_id or f"report-{self._count}", raw, now=at)
        path = urlsplit(token).path if "/" in token else f"/api/callbacks/{token}"
        sent = {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self._client.post(f"{path}/{report}", data=raw, content_type="application/json", headers=sent)


def post_report(address: str, report: str, body: Any, *, key: str) -> httpx.Response:
    """Sends one report over HTTP, signed; `address` is that of the attempt's reports."""
    raw = json.dumps(body).encode()
    message_id = f"{report}-{hashlib.sha256(address.encode() + raw).hexdigest()[:16]}"
    signed = signed_headers([key], message_id, raw, now=datetime.now(UTC))
    return httpx.post(f"{address}/{report}", content=raw, headers={"Content-Type": "application/json", **signed}, timeout=30)

"""The servers that the jobs of the demo talk to (mail, web, bus), and the service itself as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from app.demo.surprise import Surprise, must
from app.local_mongod import LocalMongod

PROGRAM = "/bin/echo"  # what jobs may start
PASSWORD = "demo-only-password"  # noqa: S105 - of a service that lives for seconds, on this machine alone
WAIT_SECONDS = 60.0

LARGEST_MAIL = 30_000_000  # bytes


@dataclass
class Inbox:
    """Everything that the demo's own mail server, web server and bus have received."""

    mails: list[bytes] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    commands: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def mongod(data_dir: Path) -> Iterator[str]:
    server = LocalMongod(data_dir)
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def mail_server(inbox: Inbox) -> Iterator[int]:
    """Runs a minimal mail server, which stores what SMTP clients send (RFC 5321). Yields its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()

        await say("220 demo ESMTP")
        while line := (await reader.readline()).decode().strip():
            verb = line.partition(" ")[0].upper()
            if verb == "DATA":
                await say("354 go on")
                inbox.mails.append((await reader.readuntil(b"\r\n.\r\n"))[:-5])
            await say("221 bye" if verb == "QUIT" else "250 demo" if verb in {"EHLO", "HELO"} else "250 ok")
            if verb == "QUIT":
                break

    with _serving(talk) as port:
        yield port


@contextmanager
def bus_server(inbox: Inbox) -> Iterator[int]:
    """Runs a minimal NATS server, which stores published messages (docs.nats.io, client protocol). Yields its port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        about = {"server_id": "demo", "server_name": "demo", "version": "2.9.0", "proto": 1, "headers": True, "max_payload": 1_000_000}
        writer.write(b"INFO " + json.dumps(about).encode() + b"\r\n")
        while line := (await reader.readline()).decode().split():
            if line[0] == "PING":
                writer.write(b"PONG\r\n")
            elif line[0] == "HPUB":
                inbox.commands.append((line[1], (await reader.readexactly(int(line[-1]) + 2))[int(line[-2]) : -2]))

    with _serving(talk) as port:
        yield port


@contextmanager
def _serving(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Iterator[int]:
    """Runs a server in a thread of its own. Yields its port."""

    async def talk_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(talk_and_close, "127.0.0.1", 0, limit=LARGEST_MAIL))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(stop())
        loop.close()


@contextmanager
def web_server(inbox: Inbox) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/work":
                self._answer(200, _work(json.loads(body)))
                return
            inbox.calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self._answer(204, None)

        def _answer(self, status: int, value: Any) -> None:
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._answer(200, {})

        def log_message(self, format: str, *args: Any) -> None:
            """Prints nothing, because the table is the output of the demo."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _work(body: Any) -> dict[str, Any]:
    """Returns the answer of a service with six items, two on each page."""
    at = body.get("cursor", 0)
    return {"success": True, "itemsProcessed": 2, "itemsSucceeded": 2, "itemsFailed": 0, "more": at < 4, "cursor": at + 2}


def _registry() -> str:
    return f"jobwright_demo_{os.getpid()}"


@contextmanager
def service(folder: Path, uri: str, ports: Sequence[int], more: Mapping[str, str]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Runs `jobwright serve` as a process on a free port, with `more` settings. Its jobs may call `ports` of this machine. Yields its
    address, a token from `jobwright token create`, and its environment."""
    port = free_port()
    environment = {
        **os.environ,
        "MONGODB_URI": uri,
        "JOBWRIGHT_DATABASE": _registry(),
        "JOBWRIGHT_DATA_DIR": str(folder / "data"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "JOBWRIGHT_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "JOBWRIGHT_ADMIN_EMAIL": "admin@localhost",
        "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD,
        "JOBWRIGHT_ALLOWED_HOSTS": ",".join(f"127.0.0.1:{port}" for port in ports),
        "JOBWRIGHT_COMMAND_PROGRAMS": PROGRAM,
        "JOBWRIGHT_LOG_FORMAT": "json",
        **more,
    }
    command = [sys.executable, "-m", "app.cli"]
    output = folder / "serve.log"
    with output.open("wb") as stream:
        process = subprocess.Popen([*command, "serve"], env=environment, stdout=stream, stderr=stream)  # noqa: S603 - ourselves
    try:
        address = f"http://127.0.0.1:{port}"
        _await_ready(process, address, output)
        create = [*command, "token", "create", "--user", "admin@localhost", "--name", "demo"]
        made = subprocess.run(create, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
        must(re.fullmatch(r"jw_\S+\n", made.stdout), f"no token was printed: {made.stdout}{made.stderr}")
        yield address, made.stdout.strip(), environment
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(_registry())
    must(code == 0, f"the service stopped with code {code}:\n{output.read_text()[-2000:]}")


def _await_ready(service: subprocess.Popen[bytes], address: str, output: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        must(service.poll() is None, f"the service ended at its start:\n{output.read_text()[-2000:]}")
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise Surprise(f"the service was not ready within {WAIT_SECONDS:g} s:\n{output.read_text()[-2000:]}")


def free_port() -> int:
    """Returns a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

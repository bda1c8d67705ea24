"""`jobwright demo`: the service, one job a template on data that it makes, and a table of what became of each."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from app.events import configure_logging
from app.local_mongod import LocalMongod
from templates_lib.webhook_trigger.template import sign

PASSWORD = "demo-only-password"  # noqa: S105 - of a service that lives for seconds, on this machine alone
WEBHOOK_SECRET = "demo-webhook-secret"  # noqa: S105 - the same
OLD, FRESH = 250, 120
WAIT_SECONDS = 60.0


class Surprise(Exception):
    """Something was not as it must be; the demo exits non-zero."""


@dataclass
class Inbox:
    """What the demo's own mail server and web server were sent."""

    mails: list[bytes] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    template: str
    outcome: str
    seconds: float
    proof: str
    page: str


def run_demo() -> int:
    """Do it all; returns the exit code, 0 where everything was as it must be."""
    began = time.monotonic()
    configure_logging(level="WARNING")
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobwright-demo-")))
            uri = os.environ.get("MONGODB_URI") or stack.enter_context(_mongod(folder / "data"))
            inbox = Inbox()
            smtp_port = stack.enter_context(_mail_server(inbox))
            hook_port = stack.enter_context(_web_server(inbox))
            address, token = stack.enter_context(_service(folder, uri, hook_port))
            database = stack.enter_context(_sample_data(uri))
            client = stack.enter_context(httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=10))
            rows = _Demo(client, database, inbox, uri, smtp_port, hook_port, folder, address).run()
            _print_table(rows, address, time.monotonic() - began)
    except Surprise as surprise:
        print(f"\nThis should not be: {surprise}", file=sys.stderr)
        return 1
    return 0


@dataclass
class _Demo:
    client: httpx.Client
    database: Any
    inbox: Inbox
    uri: str
    smtp_port: int
    hook_port: int
    folder: Path
    address: str

    def run(self) -> list[Row]:
        """Connections, then one job a template: made, run, proved."""
        self._connect("Shop database", "mongodb", {"uri": self.uri, "database": self.database.name})
        self._connect("Mail", "smtp", {"host": "127.0.0.1", "port": self.smtp_port, "security": "none", "sender": "jobs@example.com"})
        self._connect("Files", "file_store", {"path": str(self.folder / "exports")})
        return [
            self._job("data_export", "Export of fresh users", self._export_parameters(), self._prove_export),
            self._job("database_cleanup", "Cleanup of inactive users", self._cleanup_parameters(), self._prove_cleanup),
            self._job("email_notification", "Note to the team", self._mail_parameters(), self._prove_mail),
            self._job("webhook_trigger", "Call after the night", self._hook_parameters(), self._prove_hook),
        ]

    def _connect(self, name: str, kind: str, settings: dict[str, Any]) -> None:
        row = self._call("POST", "/api/admin/connections", {"name": name, "kind": kind, "settings": settings})["connection"]
        probe = self._call("POST", f"/api/admin/connections/{row['_id']}/test", {})
        _must(probe["ok"], f"connection {name}: {probe['message']}")

    def _job(self, template: str, name: str, parameters: dict[str, Any], prove: Callable[[dict[str, Any]], str]) -> Row:
        schedule = {"type": "cron", "expression": "0 2 * * *", "timezone": "Europe/Berlin"}
        body = {"name": name, "template_type": template, "parameters": parameters, "schedule": schedule, "tags": ["demo"]}
        job = self._call("POST", "/api/admin/scheduler-jobs", body)["job"]
        execution_id = self._call("POST", f"/api/admin/scheduler-jobs/{job['_id']}/run", {})["execution_id"]
        execution = self._await_end(execution_id)
        _must(execution["status"] == "success", f"{name} ended as {execution['status']}: {execution['error']}")
        page = f"{self.address}/executions/{execution_id}"
        return Row(template, execution["status"], execution["duration_seconds"], prove(execution), page)

    def _await_end(self, execution_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            execution: dict[str, Any] = self._call("GET", f"/api/admin/job-executions/{execution_id}")["execution"]
            if execution["status"] not in {"queued", "running", "retrying"}:
                return execution
            time.sleep(0.05)
        raise Surprise(f"execution {execution_id} did not end within {WAIT_SECONDS:g} s")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body)
        _must(answer.is_success, f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        found: dict[str, Any] = answer.json()
        return found

    # -- what each job is given, and what proves that it did it ---------------------------------------------------

    def _export_parameters(self) -> dict[str, Any]:
        return {
            "connection": "Shop database", "collection": "users", "filter": {"lastActive": {"$gte": "6 months ago"}},
            "fields": ["_id", "email", "lastActive"], "sort": [{"field": "_id"}], "format": "csv", "compress": "gzip",
            "destination": {"connection": "Files", "path": "users-{date}.csv.gz"},
        }  # fmt: skip

    def _prove_export(self, execution: dict[str, Any]) -> str:
        path = self.folder / "exports" / execution["result"]["path"]
        rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
        _must([row["_id"] for row in rows] == [str(n) for n in range(OLD, OLD + FRESH)], "the export has other rows")
        return f"{len(rows)} rows in {path.name}"

    def _cleanup_parameters(self) -> dict[str, Any]:
        return {
            "connection": "Shop database", "collection": "users", "condition": {"lastActive": {"$lt": "6 months ago"}},
            "dryRun": False, "batch_size": 100,
        }  # fmt: skip

    def _prove_cleanup(self, execution: dict[str, Any]) -> str:
        left = sorted(row["_id"] for row in self.database["users"].find({}, {"_id": 1}))
        _must(left == list(range(OLD, OLD + FRESH)), f"{len(left)} documents are left, or the wrong ones")
        _must(execution["result"]["records_deleted"] == OLD, "the count is wrong")
        return f"{OLD} deleted, {len(left)} left, the right ones"

    def _mail_parameters(self) -> dict[str, Any]:
        return {
            "connection": "Mail", "recipients": ["ada@example.com", "grace@example.com"], "subject": "The night's work",
            "body": "The cleanup **ran**.", "template": "simple",
        }  # fmt: skip

    def _prove_mail(self, execution: dict[str, Any]) -> str:
        subjects = [message_from_bytes(mail)["Subject"] for mail in self.inbox.mails]
        _must(subjects == ["The night's work"] * 2, f"the mail server got {subjects}")
        return f"{execution['result']['sent']} mails arrived by SMTP"

    def _hook_parameters(self) -> dict[str, Any]:
        return {"url": f"http://127.0.0.1:{self.hook_port}/hook", "body": {"event": "nightly"}, "secret": WEBHOOK_SECRET}

    def _prove_hook(self, execution: dict[str, Any]) -> str:
        _must(len(self.inbox.calls) == 1, f"{len(self.inbox.calls)} calls arrived")
        headers, body = self.inbox.calls[0]
        expected = sign(WEBHOOK_SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        _must(headers["webhook-signature"] == expected, "the signature does not verify")
        _must(headers["idempotency-key"] == execution["_id"], "the idempotency key is another")
        _must(json.loads(body) == {"event": "nightly"}, "the body is another")
        return "one call, its signature verifies"


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise Surprise(otherwise)


@contextmanager
def _mongod(data_dir: Path) -> Iterator[str]:
    mongod = LocalMongod(data_dir)
    try:
        yield mongod.start()
    finally:
        mongod.stop()


@contextmanager
def _sample_data(uri: str) -> Iterator[Any]:
    """A shop's users: OLD of them inactive for a year, FRESH of them active yesterday."""
    with MongoClient[dict[str, Any]](uri) as client:
        name = f"jobwright_demo_shop_{os.getpid()}"
        now = datetime.now(UTC)
        client[name]["users"].insert_many(
            [
                {"_id": n, "email": f"user{n}@example.com", "lastActive": now - timedelta(days=365 if n < OLD else 1)}
                for n in range(OLD + FRESH)
            ]
        )
        try:
            yield client[name]
        finally:
            client.drop_database(name)


@contextmanager
def _mail_server(inbox: Inbox) -> Iterator[int]:
    """A mail server of a hundred lines less: it takes what SMTP clients send (RFC 5321) and keeps it."""

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
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(talk, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextmanager
def _web_server(inbox: Inbox) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent: the table is the demo's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _registry() -> str:
    return f"jobwright_demo_{os.getpid()}"


@contextmanager
def _service(folder: Path, uri: str, hook_port: int) -> Iterator[tuple[str, str]]:
    """`jobwright serve` as its own process on a free port, with a token from `jobwright token create`; yields address and token."""
    environment = {
        **os.environ, "MONGODB_URI": uri, "JOBWRIGHT_DATABASE": _registry(), "JOBWRIGHT_DATA_DIR": str(folder / "data"),
        "HOST": "127.0.0.1", "PORT": str(_free_port()), "JOBWRIGHT_ADMIN_EMAIL": "admin@localhost", "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD,
        "JOBWRIGHT_ALLOWED_HOSTS": f"127.0.0.1:{hook_port}", "JOBWRIGHT_LOG_FORMAT": "json",
    }  # fmt: skip
    command = [sys.executable, "-m", "app.cli"]
    output = folder / "serve.log"
    with output.open("wb") as stream:
        service = subprocess.Popen([*command, "serve"], env=environment, stdout=stream, stderr=stream)  # noqa: S603 - ourselves
    try:
        address = f"http://127.0.0.1:{environment['PORT']}"
        _await_ready(service, address, output)
        create = [*command, "token", "create", "--user", "admin@localhost", "--name", "demo"]
        made = subprocess.run(create, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ourselves
        _must(re.fullmatch(r"jw_\S+\n", made.stdout), f"no token was printed: {made.stdout}{made.stderr}")
        yield address, made.stdout.strip()
    finally:
        service.send_signal(signal.SIGTERM)
        code = service.wait(60)
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(_registry())
    _must(code == 0, f"the service stopped with code {code}:\n{output.read_text()[-2000:]}")


def _await_ready(service: subprocess.Popen[bytes], address: str, output: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        _must(service.poll() is None, f"the service ended at its start:\n{output.read_text()[-2000:]}")
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise Surprise(f"the service was not ready within {WAIT_SECONDS:g} s:\n{output.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _print_table(rows: list[Row], address: str, seconds: float) -> None:
    print(f"\n{'template':<20} {'outcome':<9} {'seconds':>7}  proof")
    for row in rows:
        print(f"{row.template:<20} {row.outcome:<9} {row.seconds:>7.2f}  {row.proof}\n{'':<20} {row.page}")
    print(f"\nAll as it must be, at {address}, in {seconds:.1f} s; what was started is stopped. `make run` serves for good.")

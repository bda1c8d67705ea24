"""The world in which the worked examples of templates run: a shop's databases, files and mail, and the servers that jobs call."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from app.demo.servers import Inbox, bus_server, mail_server
from tests.support import Service

PROGRAMS = "/bin/echo /bin/env /bin/grep"
SERVICE = "email-service"


@dataclass(frozen=True)
class World:
    """A running Jobwright with the connections that the examples name. Texts such as https://shop.example.com stand for `web`."""

    service: Service
    client: httpx.Client
    uri: str
    database: str
    folder: Path
    web: str

    def refresh(self) -> None:
        """Creates the data anew, as each example finds them."""
        now = datetime.now(UTC)

        def ago(days: float) -> datetime:
            return now - timedelta(days=days)

        countries = ("DE", "AT", "CH")
        with MongoClient[dict[str, Any]](self.uri) as client:
            client.drop_database(self.database)
            shop = client[self.database]
            shop["sessions"].insert_many([{"_id": n, "lastSeen": ago(45 if n < 150 else 1)} for n in range(200)])
            states = ["inactive"] * 40 + ["active"] * 80
            shop["customers"].insert_many([{"_id": n, "lastActive": ago(250 if n < 50 else 5), "status": states[n]} for n in range(120)])
            orders = [{"_id": n, "at": ago(400 if n < 100 else n % 28), "country": countries[n % 3], "total": n % 90} for n in range(300)]
            shop["orders"].insert_many([{**order, "customer": {"email": f"customer{order['_id']}@example.com"}} for order in orders])
            states = ["resolved"] * 20 + ["closed"] * 10 + ["open"] * 30
            shop["tickets"].insert_many([{"_id": n, "status": s, "resolvedAt": ago(200 if n < 30 else 1)} for n, s in enumerate(states)])
            shop["requests"].insert_many([{"_id": n, "state": "done", "closed_on": ago(60 if n < 5 else 2)} for n in range(9)])
        for path, days in self._files():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("article,price\nmug,7\n")
            os.utime(path, (ago(days).timestamp(),) * 2)

    def _files(self) -> list[tuple[Path, float]]:
        store = self.folder / "files"
        exports = [(store / f"exports/orders-{n}.csv.gz", 100.0 - n) for n in range(4)] + [(store / "exports/orders-today.csv.gz", 0.0)]
        return [*exports, (store / "exports/prices.csv", 0), (store / "tmp/a.part", 3), (store / "tmp/deep/b.part", 3)]


@contextmanager
def world(mongod: str, folder: Path, database: str) -> Iterator[World]:
    """Yields the world, with its data."""
    with ExitStack() as stack:
        inbox = Inbox()
        web = stack.enter_context(_web())
        smtp, bus = stack.enter_context(mail_server(inbox)), stack.enter_context(bus_server(inbox))
        host = f"127.0.0.1:{web}"
        settings = {"JOBWRIGHT_ALLOWED_HOSTS": host, "JOBWRIGHT_COMMAND_PROGRAMS": PROGRAMS}
        service = Service("serve", uri=mongod, database=database, data_dir=folder / "data", warm=True, **settings)
        stack.callback(service.stop)
        client = stack.enter_context(service.wait_ready().api())
        made = World(service, client, mongod, f"{database}_shop", folder, f"http://{host}")
        with MongoClient[dict[str, Any]](mongod) as databases:
            stack.callback(_drop, mongod, made.database)
            assert made.database not in databases.list_database_names()
        made.refresh()
        with closing(sqlite3.connect(folder / "ledger.db")) as ledger, ledger:
            ledger.execute("CREATE TABLE bookings (day TEXT, cents INTEGER)")
            ledger.executemany("INSERT INTO bookings VALUES (?, ?)", [("2026-01-01", 9), ("2026-01-02", 50), ("2026-01-03", -7)])
        for name, kind, values in (
            ("shop", "mongodb", {"uri": mongod, "database": made.database}),
            ("mail", "smtp", {"host": "127.0.0.1", "port": smtp, "security": "none", "sender": "jobs@example.com"}),
            ("files", "file_store", {"path": str(folder / "files")}),
            ("ledger", "sql", {"url": f"sqlite:///{folder}/ledger.db"}),
            ("moderation", "http", {"hosts": [host], "plain": True, "proof": "none"}),
            ("bus", "nats", {"servers": [f"nats://127.0.0.1:{bus}"], "subjects": ["orders.>"]}),
        ):
            answer = client.post("/api/admin/connections", json={"name": name, "kind": kind, "settings": values})
            assert answer.status_code == 201, answer.text
        yield made


def _drop(uri: str, database: str) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(database)


@contextmanager
def _web() -> Iterator[int]:
    """Serves every address that the examples call."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            if self.path == "/work":
                at = body.get("cursor", 0)
                self._answer(
                    200, {"success": True, "itemsProcessed": 2, "itemsSucceeded": 2, "itemsFailed": 0, "more": at < 4, "cursor": at + 2}
                )
            elif self.path.endswith("/execute"):
                self._answer(200, {"success": True, "itemsProcessed": 20, "itemsSucceeded": 20, "itemsFailed": 0})
            else:
                self._answer(204, None)

        do_PUT = do_POST

        def do_GET(self) -> None:
            self._answer(302 if self.path == "/old" else 200, {"status": "ok"})

        def do_HEAD(self) -> None:
            self._answer(200, None)

        def _answer(self, status: int, value: Any) -> None:
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/health")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()

"""The jobs of the demo, one for each template: their parameters, and the check that each has done its work."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from app.demo.servers import PROGRAM, Inbox
from app.demo.surprise import must
from templates_lib.backup.restore import restore
from templates_lib.messages import amount
from templates_lib.webhook_trigger.template import sign

WEBHOOK_SECRET = "demo-webhook-secret"  # noqa: S105 - of a call from this machine to itself
OLD, FRESH = 250, 120
FILES = "Files"
SHOP = "Shop database"
MAIL = "Mail"
LEDGER = "Ledger"
SERVICE = "Crawler"
BUS = "Bus"
Execution = Mapping[str, Any]


@dataclass(frozen=True)
class Shop:
    """Everything that the jobs work on: the database of a shop, its files, and the servers that they call."""

    database: Database[dict[str, Any]]
    inbox: Inbox
    folder: Path
    hook_port: int

    @property
    def hook(self) -> str:
        return f"http://127.0.0.1:{self.hook_port}/hook"

    @property
    def ledger(self) -> Path:
        """The path of the SQLite file."""
        return self.folder / "ledger.db"


@dataclass(frozen=True)
class DemoJob:
    """One job. `parameters` makes its parameters. `prove` checks its work and returns a short proof; it raises Surprise if the
    work was not done."""

    template: str
    name: str
    parameters: Callable[[Shop], dict[str, Any]]
    prove: Callable[[Shop, Execution], str]


@contextmanager
def sample_data(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Yields the database of a shop with customers, orders and tickets: OLD of each from long ago, FRESH from yesterday."""
    with MongoClient[dict[str, Any]](uri) as client:
        database, now = client[f"jobwright_demo_shop_{os.getpid()}"], datetime.now(UTC)
        when = [now - timedelta(days=400 if n < OLD else 1) for n in range(OLD + FRESH)]
        database["customers"].insert_many([{"_id": n, "email": f"customer{n}@example.com", "lastActive": at} for n, at in enumerate(when)])
        database["orders"].insert_many([{"_id": n, "at": at, "cents": n * 7} for n, at in enumerate(when)])
        database["tickets"].insert_many([{"_id": n, "status": "resolved", "resolvedAt": at} for n, at in enumerate(when)])
        try:
            yield database
        finally:
            client.drop_database(database.name)


def write_ledger(shop: Shop) -> None:
    """Creates the SQLite file of the shop, with bookings of two days. A read-only connection needs an existing file."""
    with closing(sqlite3.connect(shop.ledger)) as database, database:
        database.execute("CREATE TABLE bookings (day TEXT, cents INTEGER)")
        database.executemany("INSERT INTO bookings VALUES (?, ?)", [("2026-01-01", 100), ("2026-01-01", 50), ("2026-01-02", 7)])


def _left(shop: Shop, collection: str, expected: range) -> None:
    left = sorted(row["_id"] for row in shop.database[collection].find({}, {"_id": 1}))
    must(left == list(expected), f"{len(left)} documents are left in {collection}, or the wrong ones")


def _export_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": SHOP,
        "collection": "customers",
        "filter": {"lastActive": {"$gte": "6 months ago"}},
        "fields": ["_id", "email", "lastActive"],
        "sort": [{"field": "_id"}],
        "format": "csv",
        "compress": "gzip",
        "destination": {"connection": FILES, "path": "customers-{date}.csv.gz"},
    }


def _prove_export(shop: Shop, execution: Execution) -> str:
    path = shop.folder / "exports" / execution["result"]["path"]
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    must([row["_id"] for row in rows] == [str(n) for n in range(OLD, OLD + FRESH)], "the export has other rows")
    return f"{amount(len(rows), 'row')} in {path.name}"


def _cleanup_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": SHOP,
        "collection": "customers",
        "condition": {"lastActive": {"$lt": "6 months ago"}},
        "dryRun": False,
        "batch_size": 100,
    }


def _prove_cleanup(shop: Shop, execution: Execution) -> str:
    _left(shop, "customers", range(OLD, OLD + FRESH))
    must(execution["result"]["records_deleted"] == OLD, "the count is wrong")
    return f"{OLD} deleted, {FRESH} left, the right ones"


def _mail_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": MAIL,
        "recipients": ["ada@example.com", "grace@example.com"],
        "subject": "The night's work",
        "body": "The cleanup **ran**.",
        "template": "simple",
    }


def _prove_mail(shop: Shop, execution: Execution) -> str:
    subjects = [message_from_bytes(mail)["Subject"] for mail in shop.inbox.mails]
    must(subjects == ["The night's work"] * 2, f"the mail server got {subjects}")
    return f"{amount(execution['result']['sent'], 'mail')} arrived by SMTP"


def _hook_parameters(shop: Shop) -> dict[str, Any]:
    return {"url": shop.hook, "body": {"event": "nightly"}, "secret": WEBHOOK_SECRET}


def _prove_hook(shop: Shop, execution: Execution) -> str:
    must(len(shop.inbox.calls) == 1, f"{amount(len(shop.inbox.calls), 'call')} arrived")
    headers, body = shop.inbox.calls[0]
    expected = sign(WEBHOOK_SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    must(headers["webhook-signature"] == expected, "the signature does not verify")
    must(headers["idempotency-key"] == execution["_id"], "the idempotency key is another")
    must(json.loads(body) == {"event": "nightly"}, "the body is another")
    return "one call, its signature verifies"


def _prove_test(_shop: Shop, execution: Execution) -> str:
    must(execution["progress"]["done"] == execution["progress"]["total"] > 0, "the progress stopped half-way")
    return f"said {execution['result']['message']!r}"


def _check_parameters(shop: Shop) -> dict[str, Any]:
    return {"checks": [{"url": shop.hook, "within_seconds": 5}]}


def _prove_check(_shop: Shop, execution: Execution) -> str:
    (row,) = execution["result"]["checks"]
    must(row["ok"] and row["status"] == 200, f"the check says {row}")
    return str(row["words"])


def _archive_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": SHOP,
        "collection": "orders",
        "condition": {"at": {"$lt": "1 year ago"}},
        "to": "files",
        "dryRun": False,
        "destination": {"connection": FILES, "path": "archive/orders-{date}"},
    }


def _prove_archive(shop: Shop, execution: Execution) -> str:
    _left(shop, "orders", range(OLD, OLD + FRESH))
    (file,) = execution["result"]["files"]
    lines = gzip.decompress((shop.folder / "exports" / file["path"]).read_bytes()).splitlines()
    ids = sorted(int(json.loads(line)["_id"]["$numberInt"]) for line in lines)
    must(ids == list(range(OLD)), "the archive holds other orders")
    return f"{amount(len(ids), 'order')} moved into a file, {FRESH} left"


def _ticket_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": SHOP,
        "collection": "tickets",
        "older_than_days": 90,
        "statuses": ["resolved"],
        "archive": "tickets_archive",
        "dryRun": False,
    }


def _prove_tickets(shop: Shop, _execution: Execution) -> str:
    _left(shop, "tickets", range(OLD, OLD + FRESH))
    _left(shop, "tickets_archive", range(OLD))
    return f"{OLD} archived, {FRESH} left"


def _file_parameters(shop: Shop) -> dict[str, Any]:
    for name, days in (("customers-2025-01-01.csv.gz", 400), ("customers-yesterday.csv.gz", 1)):
        path = shop.folder / "exports" / name
        path.write_text("an export")
        stamp = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (stamp, stamp))
    return {"store": FILES, "pattern": "*.csv.gz", "older_than_days": 30, "dryRun": False}


def _prove_files(shop: Shop, execution: Execution) -> str:
    names = {path.name for path in (shop.folder / "exports").glob("*.csv.gz")}
    must("customers-2025-01-01.csv.gz" not in names and "customers-yesterday.csv.gz" in names, f"there are {sorted(names)}")
    return f"{execution['result']['files_deleted']} old file deleted, {len(names)} left"


def _aggregation_parameters(_shop: Shop) -> dict[str, Any]:
    sums = {"$group": {"_id": "$status", "tickets": {"$sum": 1}}}
    return {"connection": SHOP, "collection": "tickets", "pipeline": [sums], "into": "tickets_by_status"}


def _prove_aggregation(shop: Shop, _execution: Execution) -> str:
    rows = list(shop.database["tickets_by_status"].find())
    must(rows == [{"_id": "resolved", "tickets": FRESH}], f"the rows are {rows}")
    return f"one row: {FRESH} resolved"


def _sql_parameters(_shop: Shop) -> dict[str, Any]:
    return {
        "connection": LEDGER,
        "statement": "SELECT day, sum(cents) AS cents FROM bookings WHERE cents > :least GROUP BY day ORDER BY day",
        "values": {"least": 10},
        "destination": {"connection": FILES, "path": "bookings-{date}.csv"},
    }


def _prove_sql(shop: Shop, execution: Execution) -> str:
    rows = list(csv.reader((shop.folder / "exports" / execution["result"]["path"]).read_text().splitlines()))
    must(rows == [["day", "cents"], ["2026-01-01", "150"]], f"the rows are {rows}")
    return "the sum of a day, in a file"


def _service_parameters(shop: Shop) -> dict[str, Any]:
    return {
        "connection": SERVICE,
        "url": f"http://127.0.0.1:{shop.hook_port}/work",
        "job_name": "crawl_pending",
        "config": {"batchSize": 2},
    }


def _prove_service(_shop: Shop, execution: Execution) -> str:
    answer = execution["result"]
    must((answer["records_processed"], answer["batches"]) == (6, 3), f"the service counted {answer}")
    return "6 items in 3 batches"


def _prove_backup(shop: Shop, execution: Execution) -> str:
    file = shop.folder / "exports" / execution["result"]["path"]
    copy = shop.database.client[f"{shop.database.name}_copy"]
    try:
        counts = restore(file, copy)
        must(counts["customers"] == copy["customers"].count_documents({}) == FRESH, f"the backup gives back {counts}")
    finally:
        shop.database.client.drop_database(copy.name)
    return f"{amount(sum(counts.values()), 'document')} came back out of {file.name}"


def _command_parameters(_shop: Shop) -> dict[str, Any]:
    return {"connection": BUS, "subject": "shop.cleanup", "payload": {"olderThanDays": 30}}


def _prove_command(shop: Shop, _execution: Execution) -> str:
    must(shop.inbox.commands == [("shop.cleanup", b'{"olderThanDays":30}')], f"the bus got {shop.inbox.commands}")
    return "one command on shop.cleanup"


def _program_parameters(_shop: Shop) -> dict[str, Any]:
    return {"program": PROGRAM, "arguments": ['::result {"parcels": 12, "sender": "$HOME; *"}']}


def _prove_program(_shop: Shop, execution: Execution) -> str:
    result = execution["result"]
    must((result["exit_code"], result["parcels"], result["sender"]) == (0, 12, "$HOME; *"), f"the program reported {result}")
    return f"{PROGRAM} ended with 0, and no shell read its argument"


def _report_parameters(_shop: Shop) -> dict[str, Any]:
    by_day = [
        {"$group": {"_id": {"$dateToString": {"date": "$at", "format": "%Y-%m-%d"}}, "orders": {"$sum": 1}, "cents": {"$sum": "$cents"}}},
        {"$sort": {"_id": 1}},
    ]
    question = {"connection": SHOP, "collection": "orders", "pipeline": by_day}
    section = {"title": "Orders by day", "question": question, "chart": {"kind": "bar", "label": "_id", "values": ["orders"]}}
    return {
        "title": "Orders until {{ now | date }}",
        "sections": [section],
        "formats": ["html", "pdf", "csv"],
        "destination": {"connection": FILES, "path": "reports/orders"},
        "mail": {"connection": MAIL, "recipients": ["owner@example.com"]},
    }


def _prove_report(shop: Shop, execution: Execution) -> str:
    files = {file["path"]: (shop.folder / "exports" / file["path"]).read_bytes() for file in execution["result"]["files"]}
    must(sorted(files) == ["reports/orders.csv", "reports/orders.html", "reports/orders.pdf"], f"the files are {sorted(files)}")
    must(files["reports/orders.pdf"].startswith(b"%PDF"), "the PDF is none")
    must(b"<svg" in files["reports/orders.html"], "the page has no chart")
    must(execution["result"]["sent"] == 1, "the report was not mailed")
    return "a page, a PDF and a CSV, mailed too"


JOBS = (
    DemoJob("data_export", "Export of fresh customers", _export_parameters, _prove_export),
    DemoJob("database_cleanup", "Cleanup of inactive customers", _cleanup_parameters, _prove_cleanup),
    DemoJob("email_notification", "Note to the team", _mail_parameters, _prove_mail),
    DemoJob("webhook_trigger", "Call after the night", _hook_parameters, _prove_hook),
    DemoJob("test_scheduler", "Heartbeat", lambda shop: {"seconds": 0.4}, _prove_test),
    DemoJob("http_health_check", "Is the shop up?", _check_parameters, _prove_check),
    DemoJob("data_archive", "Archive of old orders", _archive_parameters, _prove_archive),
    DemoJob("ticket_cleanup", "Archive of resolved tickets", _ticket_parameters, _prove_tickets),
    DemoJob("mongodb_aggregation", "Tickets by status", _aggregation_parameters, _prove_aggregation),
    DemoJob("sql_query", "Bookings by day", _sql_parameters, _prove_sql),
    DemoJob("service_call", "Work of the crawler", _service_parameters, _prove_service),
    DemoJob("message_command", "Command to the shop", _command_parameters, _prove_command),
    DemoJob("command", "Count of parcels", _program_parameters, _prove_program),
    DemoJob("backup", "Backup of the shop", lambda shop: {"connection": SHOP, "store": FILES, "name": "shop", "keep": 7}, _prove_backup),
    DemoJob("report_generation", "Orders of the shop", _report_parameters, _prove_report),
    DemoJob("file_cleanup", "Cleanup of old exports", _file_parameters, _prove_files),
)

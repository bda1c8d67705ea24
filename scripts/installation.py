"""A believable installation: a shop's sixty jobs with three months of history, failures, and one that runs now."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pymongo import MongoClient
from pymongo.database import Database

from app.jobs.model import Job, job_from
from app.queue.execution import Execution
from app.queue.model import Status
from app.samples.history import PastRun, ended, past_execution, past_log

Document = dict[str, Any]
HISTORY = timedelta(days=90)
MOST_RUNS = 700  # of one job; of what runs each minute the latest are kept, as retention does
PORTION = 2_000
SEED = 20


@dataclass(frozen=True)
class Sketch:
    """A job of the shop: `seconds` is how long a run takes, `fails` the share of runs that do, `why` what they say then."""

    name: str
    kind: str
    cron: str
    tags: Sequence[str]
    group: str
    seconds: float
    fails: float = 0.0
    why: str = "no route to host"
    said: str = "Done"
    enabled: bool = True


CITIES = ("Berlin", "Hamburg", "Leipzig", "Munich", "Vienna", "Zurich")
SKETCHES = (
    Sketch("Remove inactive users", "database_cleanup", "0 2 * * 0", ["gdpr"], "privacy", 41, 0.02, said="Deleted 182 documents"),
    Sketch("Remove abandoned carts", "database_cleanup", "20 3 * * *", ["shop"], "shop", 12, 0.01, said="Deleted 1,204 documents"),
    Sketch("Remove expired sessions", "database_cleanup", "*/30 * * * *", ["shop"], "shop", 1.4, said="Deleted 61 documents"),
    Sketch("Count what would go", "database_cleanup", "0 */6 * * *", ["gdpr"], "privacy", 2.1, said="182 documents would go"),
    Sketch("Orders of the week", "data_export", "30 6 * * 1-5", ["finance", "export"], "finance", 95, 0.03, said="Wrote 5,120 rows"),
    Sketch("Invoices for the tax office", "data_export", "0 5 1 * *", ["finance"], "finance", 310, said="Wrote 18,002 rows"),
    Sketch(
        "Stock for the warehouse", "data_export", "15 * * * *", ["export"], "warehouse", 22, 0.06, "the store is full", "Wrote 940 rows"
    ),
    Sketch("Customers for the newsletter", "data_export", "40 4 * * 2", ["marketing", "export"], "marketing", 64, said="Wrote 12,400 rows"),
    Sketch("Weekly numbers", "report_generation", "0 8 * * 1", ["finance", "report"], "finance", 17, 0.05, said="Mailed to 6 people"),
    Sketch("Sales of yesterday", "report_generation", "30 7 * * *", ["report"], "marketing", 9, said="Mailed to 4 people"),
    Sketch("Returns by supplier", "report_generation", "0 9 1 * *", ["report"], "warehouse", 14, said="Stored as a PDF"),
    Sketch("Tell the data warehouse", "webhook_trigger", "*/15 * * * *", ["export"], "warehouse", 0.8, 0.015, "status 503", "204 in 0.8 s"),
    Sketch("Tell the search index", "webhook_trigger", "*/10 * * * *", ["shop"], "shop", 0.4, 0.002, "status 502", "202 in 0.4 s"),
    Sketch("Warm the cache", "webhook_trigger", "5 * * * *", ["shop"], "shop", 3.2, said="200 in 3.2 s"),
    Sketch(
        "Ask for reviews",
        "email_notification",
        "0 17 * * *",
        ["marketing"],
        "marketing",
        6,
        0.04,
        "the relay refused 3 addresses",
        "Sent 41 mails",
    ),
    Sketch("Remind of unpaid invoices", "email_notification", "0 10 * * 2,4", ["finance"], "finance", 4, said="Sent 12 mails"),
    Sketch("Birthday greetings", "email_notification", "0 9 * * *", ["marketing"], "marketing", 2, said="Sent 3 mails", enabled=False),
    Sketch(
        "Archive old orders",
        "data_archive",
        "30 1 * * 6",
        ["gdpr"],
        "privacy",
        540,
        0.08,
        "the connection was closed",
        "Moved 40,000 orders",
    ),
    Sketch("Archive closed tickets", "ticket_cleanup", "0 19 * * *", ["support"], "support", 8, said="Archived 27 tickets"),
    Sketch("Back up the shop", "backup", "45 0 * * *", ["backup"], "operations", 260, 0.02, "the store is full", "12 collections, 1.4 GB"),
    Sketch("Back up the support desk", "backup", "50 0 * * *", ["backup"], "operations", 75, said="5 collections, 210 MB"),
    Sketch("Remove old exports", "file_cleanup", "10 5 * * *", ["export"], "operations", 1.9, said="Deleted 14 files"),
    Sketch("Is the shop up", "http_health_check", "*/5 * * * *", ["watch"], "operations", 0.3, 0.004, "took 5.1 s", "200 in 0.2 s"),
    Sketch(
        "Is the payment gateway up", "http_health_check", "*/5 * * * *", ["watch"], "operations", 0.5, 0.01, "status 503", "200 in 0.4 s"
    ),
    Sketch("Tickets by status", "mongodb_aggregation", "0 * * * *", ["support", "report"], "support", 2.6, said="5 rows"),
    Sketch("Revenue by day", "mongodb_aggregation", "25 2 * * *", ["finance", "report"], "finance", 33, said="90 rows"),
    *(
        Sketch(f"Till of {city}", "data_export", f"{n * 7} 22 * * 1-6", ["tills"], "finance", 18 + n, 0.01 * n, said="Wrote 310 rows")
        for n, city in enumerate(CITIES)
    ),
    *(
        Sketch(f"Is {city} up", "http_health_check", f"{n}-59/10 * * * *", ["watch", "tills"], "operations", 0.2, 0.003 * n, "took 5.0 s")
        for n, city in enumerate(CITIES)
    ),
    *(
        Sketch(f"Delivery list {city}", "report_generation", f"{n * 5} 4 * * 1-6", ["tills"], "warehouse", 11 + n, said="Mailed 2")
        for n, city in enumerate(CITIES)
    ),
    *(
        Sketch(f"Prices for {city}", "webhook_trigger", f"{n * 3} */2 * * *", ["tills"], "shop", 0.6, 0.004, "status 504", "200 in 0.5 s")
        for n, city in enumerate(CITIES)
    ),
    *(Sketch(f"Heartbeat of node {n}", "test_scheduler", f"{n} * * * *", ["watch"], "operations", 0.1) for n in range(1, 10)),
    Sketch(
        "Rebuild the recommendations",
        "test_scheduler",
        "0 3 * * *",
        ["shop"],
        "shop",
        1_450,
        0.12,
        "the model did not converge",
        "Trained on 2 M orders",
    ),
)

# Jobs whose last run failed.
FAILING = frozenset({"Stock for the warehouse", "Archive old orders", "Is the payment gateway up", "Weekly numbers", "Till of Leipzig"})

# Which jobs run after which, besides their schedules.
AFTER = {
    "Tell the data warehouse": ("Stock for the warehouse",),
    "Returns by supplier": ("Stock for the warehouse",),
    "Remove old exports": ("Back up the shop", "Back up the support desk"),
    "Count what would go": ("Remove inactive users",),
}


def fill(client: httpx.Client, uri: str, folder: str, *, hook: str) -> dict[str, str]:
    """Connections, a calendar, a derived template, the jobs of SKETCHES and their history; returns the jobs' ids by name.

    `client` speaks REST as a super-admin; `hook` is an address that answers. The last job runs now.
    """
    _sample_data(uri)
    connections = (
        ("Shop database", "mongodb", {"uri": uri, "database": "shop"}),
        ("Exports", "file_store", {"path": f"{folder}/exports"}),
        ("Mail relay", "smtp", {"host": "127.0.0.1", "port": 9, "security": "none", "sender": "jobs@example.com"}),
    )
    for name, kind, settings in connections:
        client.post("/api/admin/connections", json={"name": name, "kind": kind, "settings": settings}).raise_for_status()
    ids = {sketch.name: _create(client, sketch, _parameters(sketch, hook)) for sketch in SKETCHES}
    for name, others in AFTER.items():
        client.put(f"/api/admin/scheduler-jobs/{ids[name]}", json={"depends_on": [{"job": job_id} for job_id in others]}).raise_for_status()
    with MongoClient[Document](uri, tz_aware=True) as mongo:
        _remember(mongo["jobwright"], ids)
    client.post(f"/api/admin/scheduler-jobs/{ids[SKETCHES[-1].name]}/run").raise_for_status()
    return ids


def _create(client: httpx.Client, sketch: Sketch, parameters: Document) -> str:
    body = {
        "name": sketch.name,
        "template_type": sketch.kind,
        "parameters": parameters,
        "tags": list(sketch.tags),
        "group": sketch.group,
        "retry_policy": {"max_retries": 1},
        "enabled": sketch.enabled,
        "schedule": {"type": "cron", "expression": sketch.cron, "timezone": "Europe/Berlin"},
    }
    answer = client.post("/api/admin/scheduler-jobs", json=body)
    if answer.status_code != 201:
        raise ValueError(f"{sketch.name}: {answer.text}")
    made: str = answer.json()["job"]["_id"]
    return made


def _parameters(sketch: Sketch, hook: str) -> Document:
    shop: Document = {"connection": "Shop database"}
    mail: Document = {"connection": "Mail relay", "recipients": ["team@example.com"], "subject": sketch.name}
    store: Document = {"connection": "Exports", "path": f"{sketch.name.lower().replace(' ', '-')}-{{date}}.csv"}
    table: Document = {"title": "Orders", "question": {**shop, "collection": "orders", "pipeline": [{"$limit": 50}]}}
    match sketch.kind:
        case "database_cleanup":
            return {**shop, "collection": "users", "condition": {"lastActive": {"$lt": "1 year ago"}}}
        case "data_export":
            return {**shop, "collection": "orders", "format": "csv", "filter": {"createdAt": {"$gte": "1 week ago"}}, "destination": store}
        case "data_archive":
            condition = {"createdAt": {"$lt": "1 year ago"}}
            return {
                **shop,
                "collection": "orders",
                "condition": condition,
                "to": "files",
                "destination": {**store, "path": "archive/{date}"},
            }
        case "report_generation":
            return {"title": sketch.name, "sections": [table], "formats": ["html"], "destination": {**store, "path": "reports"}}
        case "webhook_trigger":
            return {"url": hook, "body": {"event": sketch.name}}
        case "email_notification":
            return {**mail, "body": "See **the shop**."}
        case "ticket_cleanup":
            return {**shop, "collection": "tickets", "older_than_days": 90, "statuses": ["resolved"], "archive": "tickets_archive"}
        case "backup":
            return {**shop, "store": "Exports", "name": "shop"}
        case "file_cleanup":
            return {"store": "Exports", "pattern": "*.csv", "older_than_days": 30}
        case "http_health_check":
            return {"checks": [{"url": hook, "within_seconds": 5}]}
        case "mongodb_aggregation":
            counts = {"$group": {"_id": "$status", "count": {"$sum": 1}}}
            return {**shop, "collection": "tickets", "pipeline": [counts], "into": "tickets_by_status"}
    return {"seconds": 900} if sketch.seconds > 600 else {}


def _sample_data(uri: str) -> None:
    with MongoClient[Document](uri) as mongo:
        now = datetime.now(UTC)
        rows = [{"email": f"user{n}@example.com", "lastActive": now - timedelta(days=n % 400)} for n in range(4000)]
        mongo["shop"]["users"].insert_many(rows)
        mongo["shop"]["orders"].insert_many([{"n": n, "total": n * 7 % 300, "createdAt": now - timedelta(hours=n)} for n in range(2000)])
        mongo["shop"]["tickets"].insert_many([{"n": n, "status": ("open", "resolved")[n % 2], "resolvedAt": now} for n in range(300)])


# -- what has been ----------------------------------------------------------------------------------------------------


def _remember(database: Database[Document], ids: dict[str, str]) -> None:
    """History as the engine would have left it, up to a few minutes ago."""
    chance, now = random.Random(SEED), datetime.now(UTC)
    rows: list[Document] = []
    logs: list[Document] = []
    for sketch in SKETCHES:
        row = database["dynamic_jobs"].find_one({"_id": ids[sketch.name]})
        if row is None:
            raise LookupError(sketch.name)
        job = job_from(row)
        due = job.definition.schedule.trigger.latest(now - HISTORY, now - timedelta(minutes=3), MOST_RUNS)
        mine = [_run(chance, sketch, job, at, last=at == due[-1]) for at in due]
        rows += mine
        logs += [
            _log(execution)
            for place, execution in enumerate(mine)
            if execution["started_at"] and (execution["error"] or place >= len(mine) - 60)
        ]
        if mine:
            made = min(now - HISTORY, due[0]) - timedelta(days=1)
            seen = {"last_run_at": due[-1], "last_status": mine[-1]["status"], "created_at": made, "updated_at": made}
            database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": seen})
    for portion in _portions(rows):
        database["job_executions"].insert_many(portion, ordered=False)
    database["execution_logs"].insert_many(logs)


def _run(chance: random.Random, sketch: Sketch, job: Job, due: datetime, *, last: bool) -> Document:
    """One execution of the past; now and then one fails, times out, or is skipped because the one before it still ran."""
    lucky, age = chance.random(), (datetime.now(UTC) - due).days
    seconds = round(sketch.seconds * chance.lognormvariate(0, 0.22) * (1 + (90 - age) / 400), 3)
    late = timedelta(milliseconds=chance.randint(30, 900))
    if lucky > 0.9985:
        skipped = Execution.due(job, due + late, at=due, overlap=job.definition.overlap, available_at=due).as_document()
        return ended(skipped, Status.SKIPPED, due + late) | {"reason": "overlap"}
    fails = lucky < sketch.fails or (last and sketch.name in FAILING)
    status = Status.SUCCESS if not fails else Status.TIMEOUT if lucky < sketch.fails / 8 else Status.FAILED
    result = None if fails else {"message": sketch.said, "records_processed": int(seconds * 40)}
    run = PastRun(due=due, late=late, seconds=seconds, status=status, result=result, error=sketch.why if fails else None)
    return past_execution(job, run)


def _log(row: Document) -> Document:
    error = row["error"]
    lines = [("INFO", f"Starting {row['job_name']}"), *(("INFO", f"batch {n + 1} of 8: {n * 125 + 125} done") for n in range(8))]
    if error:
        lines += [("WARNING", "the answer is slow; waiting a little"), ("ERROR", error["message"])]
    else:
        lines.append(("INFO", row["result"]["message"]))
    return past_log(row, lines)


def _portions(rows: list[Document]) -> Iterator[list[Document]]:
    for first in range(0, len(rows), PORTION):
        yield rows[first : first + PORTION]

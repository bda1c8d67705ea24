"""How long the server takes for each page, over a large registry and a long history, and by which index each question is answered."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener

from app.accounts.model import Role
from app.accounts.signin import Visitor
from app.audit.model import SYSTEM
from app.config import Settings
from app.execution.log_store import chunk
from app.factory import Store, build_services, create_app, migrate
from app.jobs.model import Job
from app.jobs.registry_store import stored
from app.mongo import open_database
from app.queue.model import Status, Trigger
from app.services import Services
from app.triggers import CronTrigger
from tests.builders.queue import execution_document
from tests.support import KEY

Document = dict[str, Any]
JOBS, EXECUTIONS = 10_000, 1_000_000
HISTORY = timedelta(days=90)
LOG_LINES = 100_000
PORTION = 5_000
WARM, REQUESTS = 3, 40  # the database reads from its disk what it has not read yet
TARGET_MS = 100.0
SEED = 7
KINDS = ("noop", "database_cleanup", "webhook_trigger", "http_health_check", "test_scheduler")


class Questions(CommandListener):
    """Remembers what was asked of the database, for an explanation afterwards."""

    def __init__(self) -> None:
        self.asked: list[Document] = []
        self.listens = False

    def started(self, event: Any) -> None:
        if self.listens and event.command_name in {"find", "aggregate", "count", "distinct"}:
            plain = {
                key: value for key, value in event.command.items() if key not in {"lsid", "$db", "$clusterTime", "txnNumber", "maxTimeMS"}
            }
            self.asked.append(plain)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def pages(uri: str, folder: Path, row: Callable[..., None], *, jobs: int = JOBS, executions: int = EXECUTIONS) -> None:
    """Load the registry, then ask for each page REQUESTS times as a super-admin; prints p95 and the indexes of its questions."""
    questions = Questions()
    client: MongoClient[Document] = MongoClient(uri, tz_aware=True, tzinfo=UTC, event_listeners=[questions])
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    try:
        migrate(store)
        settings = Settings(data_dir=str(folder / "pages"), secret_key=KEY, max_jobs=jobs + 10, max_jobs_per_creator=jobs + 10)
        services = build_services(settings, store)
        began = time.perf_counter()
        watched = load_registry(services, store.database, jobs, executions)
        print(f"{jobs:,} jobs and {executions:,} executions loaded in {time.perf_counter() - began:.0f} s")
        browser = _signed_in(create_app(services), services)
        for name, path in _addresses(watched):
            _measure(browser, store.database, questions, row, name, path)
    finally:
        client.drop_database(store.database.name)
        client.close()


def _addresses(watched: Document) -> Iterator[tuple[str, str]]:
    job, run = watched["job_id"], watched["_id"]
    yield from (
        ("dashboard", "/"),
        ("jobs", "/jobs"),
        ("jobs, page 200", "/jobs?page=200"),
        ("jobs, searched", "/jobs?q=job+77"),
        ("jobs, failing", "/jobs?last=failed"),
        ("jobs, of a tag", "/jobs?tag=t3"),
        ("jobs, by next run", "/jobs?sort=next_run_at"),
        ("job", f"/jobs/{job}"),
        ("job's versions", f"/jobs/{job}/revisions"),
        ("job's form", f"/jobs/{job}/edit"),
        ("new job", "/jobs/new?template=http_health_check"),
        ("executions", "/executions"),
        ("executions, failed", "/executions?status=failed"),
        ("executions of a job", f"/executions?job={job}"),
        ("executions, succeeded, page 100", "/executions?status=success&page=100"),
        ("execution, 100,000 lines", f"/executions/{run}"),
        ("execution compared", f"/executions/{run}/compare"),
        ("calendar, month", "/calendar"),
        ("calendar, week", "/calendar?view=week"),
        ("calendar, day", "/calendar?view=day"),
        ("templates", "/templates"),
        ("template", "/templates/noop"),
        ("approvals", "/approvals"),
        ("connections", "/connections"),
        ("blackouts", "/calendars"),
        ("users", "/users"),
        ("services", "/services"),
        ("service accounts", "/service-accounts"),
        ("audit", "/audit"),
        ("system", "/system"),
        ("palette", "/palette?q=job+12"),
        ("account", "/account"),
        ("help", "/help/how-to/operate"),
    )


def _measure(
    browser: FlaskClient, database: Database[Document], questions: Questions, row: Callable[..., None], name: str, path: str
) -> None:
    questions.asked.clear()
    questions.listens = True
    began = time.perf_counter()
    _get(browser, path)
    first = (time.perf_counter() - began) * 1000
    questions.listens = False
    for _ in range(WARM):
        _get(browser, path)
    spent = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        _get(browser, path)
        spent.append((time.perf_counter() - began) * 1000)
    row(f"page {name}: p95 of {REQUESTS}", quantiles(spent, n=20)[-1], "ms", TARGET_MS, more_is_better=False)
    print(f"  the first {first:.0f} ms; {len(questions.asked)} questions: {', '.join(indexes_of(database, questions.asked))}")


def _get(browser: FlaskClient, path: str) -> None:
    with browser.get(path) as answer:
        assert answer.status_code == 200, f"{path}: {answer.status_code}"


def indexes_of(database: Database[Document], asked: list[Document]) -> list[str]:
    """The indexes that the questions are answered from, each with its collection; "all of …" where one reads it whole."""
    found: dict[str, None] = {}
    for command in asked:
        explained = {key: value for key, value in command.items() if key not in {"readConcern", "cursor"}}
        if "aggregate" in command:
            explained["cursor"] = {}
        collection = next(iter(command.values()))
        plan = database.command("explain", explained, verbosity="queryPlanner")
        for name in _named(plan):
            found.setdefault(f"{collection}.{name}" if name else f"all of {collection}")
    return sorted(found)


def _named(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        if plan.get("stage") == "COLLSCAN":
            yield ""
        if isinstance(plan.get("indexName"), str):
            yield plan["indexName"]
        for key, value in plan.items():
            if key not in {"rejectedPlans", "slotBasedPlan"}:
                yield from _named(value)
    elif isinstance(plan, list):
        for one in plan:
            yield from _named(one)


def _signed_in(app: Flask, services: Services) -> FlaskClient:
    user = services.accounts.create_user(SYSTEM, email="bench@example.com", password="a long one for nobody", role=Role.SUPER_ADMIN)
    browser = app.test_client()
    signed = services.signin.admit(services.accounts.get(replace(SYSTEM), user.id), Visitor("192.0.2.1"), "bench")
    with browser.session_transaction() as session:
        session["s"] = signed.secret
    return browser


# -- what there is ----------------------------------------------------------------------------------------------------


def load_registry(services: Services, database: Database[Document], jobs: int, executions: int) -> Document:
    """Jobs of a few kinds and many schedules, three months of executions, and one run with a long log; returns that run."""
    chance, now = random.Random(SEED), datetime.now(UTC)
    plain = services.jobs.create(SYSTEM, {"name": "plain", "template_type": "noop"})[0]
    made = [_job(chance, services, plain, number, now) for number in range(jobs)]
    for first in range(0, jobs, PORTION):
        database["dynamic_jobs"].insert_many([stored(job) | {"seat": n} for n, job in enumerate(made[first : first + PORTION], first + 1)])
    ended: Document = {}
    rows: list[Document] = []
    for place in range(executions):
        row = _execution(chance, made[place % jobs], now - HISTORY * (1 - (place + 1) / executions))
        rows.append(row)
        ended = row if row["status"] == Status.FAILED else ended
        if len(rows) == PORTION or place == executions - 1:
            database["job_executions"].insert_many(rows, ordered=False)
            rows = []
    lines = [{"timestamp": now, "level": "INFO", "message": f"line {n} of a log that is long"} for n in range(1000)]
    chunks = [chunk(ended["_id"], 1, n + 1, lines) for n in range(LOG_LINES // 1000)]
    database["execution_logs"].insert_many(chunks)
    return ended


def _job(chance: random.Random, services: Services, plain: Job, number: int, now: datetime) -> Job:
    minute, hour = chance.randrange(60), chance.randrange(24)
    expression = chance.choice(
        (f"{minute} {hour} * * *", f"{minute} {hour} * * {chance.randrange(7)}", f"{minute} * * * *", "*/15 * * * *")
    )
    trigger = CronTrigger(expression=expression, timezone=chance.choice(("UTC", "Europe/Berlin")))
    schedule = replace(plain.definition.schedule, trigger=trigger)
    definition = replace(
        plain.definition,
        name=f"job {number}",
        template_type=chance.choice(KINDS),
        tags=(f"t{number % 40}",),
        group=f"g{number % 12}",
        description="One of many.",
        schedule=schedule,
        enabled=number % 20 > 0,
    )
    due = trigger.next_after(now) if definition.enabled else None
    last = chance.choices(("success", "failed", None), (90, 6, 4))[0]
    return replace(
        plain,
        id=str(uuid.UUID(int=chance.getrandbits(128))),
        definition=definition,
        next_run_at=due,
        last_status=last,
        template_version=services.catalogue.get(definition.template_type).version,
        last_run_at=now if last else None,
    )


def _execution(chance: random.Random, job: Job, at: datetime) -> Document:
    seconds = round(chance.lognormvariate(1, 1), 3)
    row = execution_document(
        job, now=at, triggered_by=Trigger.SCHEDULE, scheduled_for=at, execution_id=str(uuid.UUID(int=chance.getrandbits(128)))
    )
    status = chance.choices((Status.SUCCESS, Status.FAILED, Status.SKIPPED), (95, 4, 1))[0]
    ran = status is not Status.SKIPPED
    error = {"type": "TemplateError", "message": "no route to host", "permanent": False, "kind": "error", "traceback": ""}
    end = at + timedelta(seconds=seconds if ran else 0)
    attempt = {
        "number": 1,
        "started_at": at,
        "completed_at": end,
        "status": status.value,
        "error": None,
        "host": "node-1",
        "worker": "node-1",
    }
    return {
        **{key: value for key, value in row.items() if key not in {"live", "queue_rank"}},
        "status": status.value,
        "completed_at": end,
        "started_at": at if ran else None,
        "duration_seconds": seconds if ran else None,
        "attempts": [attempt] if ran else [],
        "result": {"message": "Done", "records_processed": 40} if status is Status.SUCCESS else None,
        "error": error if status is Status.FAILED else None,
    }

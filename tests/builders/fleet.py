"""A planner and workers as processes, which share a database and a message broker."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.audit.model import SYSTEM
from app.config import Settings
from app.factory import Store, build_services
from app.jobs.model import Job
from app.mongo import connect, open_database
from app.queue.model import Trigger
from tests.builders.queue import Queue, new_execution
from tests.support import KEY, Service, eventually

ENDED = {"status": {"$nin": ["queued", "running", "retrying"]}}


class Fleet:
    """`start` starts a process of the service, as the fixture of the fault tests does."""

    def __init__(self, start: Callable[..., Service], broker: str, *, uri: str, database: str, folder: Path, **settings: str) -> None:
        self._start = start
        self._settings = {"JOBWRIGHT_EXECUTOR": "celery", "CELERY_BROKER_URL": broker, "SCHEDULER_MAX_INSTANCES": "500", **settings}
        self.planner = self.process("scheduler").wait_ready()
        client = connect(uri)
        self.store = Store(client, open_database(client, database), None)
        self.services = build_services(Settings(secret_key=KEY, data_dir=str(folder / "own"), max_jobs=2000, max_instances=500), self.store)
        self.executions, self._queue = self.store.database["job_executions"], Queue(self.store.database)

    def process(self, command: str, **settings: str) -> Service:
        """One more process."""
        return self._start(command, **{**self._settings, **settings})

    def worker(self, routes: str = "default", **settings: str) -> Service:
        """A worker that takes messages."""
        worker = self.process(f"worker --routes {routes}", **settings).wait_ready()
        eventually(lambda: worker.event("broker.connected"))
        return worker

    def job(self, **fields: Any) -> Job:
        """A job, which any number of its runs may have at once."""
        body = {
            "name": f"job {uuid.uuid4().hex[:8]}",
            "template_type": "noop",
            "parameters": {},
            "overlap": "allow",
            "concurrency": {"max_instances": 500},
            "retry_policy": {"max_retries": 20, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        return self.services.jobs.create(SYSTEM, {**body, **fields})[0]

    def put(self, job: Job, count: int = 1) -> list[str]:
        """Runs of a job, in the queue as if a program had asked for them."""
        runs = [new_execution(job, now=datetime.now(UTC), triggered_by=Trigger.API) for _ in range(count)]
        for at in range(0, count, 1000):
            self._queue.queue.add(runs[at : at + 1000])
        return [run.id for run in runs]

    def wait_for(self, count: int, seconds: float = 60.0) -> None:
        """Waits until so many runs have ended."""
        eventually(lambda: self.executions.count_documents(ENDED) >= count, seconds=seconds, every=0.1)

    def outcomes(self) -> Counter[str]:
        """How many runs ended how."""
        return Counter(row["status"] for row in self.executions.find({}, {"status": 1}))

    def statuses(self, job: Job) -> list[str]:
        """How the runs of a job are."""
        return [row["status"] for row in self.executions.find({"job_id": job.id}, {"status": 1})]

    def owners(self, job: Job) -> set[str]:
        """The workers that took runs of a job."""
        return set(self.executions.distinct("attempts.worker", {"job_id": job.id}))

    def close(self) -> None:
        self.store.close()

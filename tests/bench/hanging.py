"""A service that hangs: what it adds to the time of other services' jobs."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Protocol

from app.audit.model import SYSTEM
from app.config import Settings
from app.factory import Store, build_node, build_services, launch_executor, migrate
from app.jobs.model import Job
from app.mongo import connect, open_database
from app.queue.model import Trigger
from tests.builders.queue import Queue, new_execution
from tests.builders.service import Answer, Call, connect_service, done, make_service_job, receiver
from tests.support import KEY, eventually

RUNS, EVERY_SECONDS = 200, 0.1  # of the job that is measured
HANGING = 50
ROUNDS = 3
TARGET_MS = 50.0
MANY: dict[str, Any] = {"overlap": "allow", "concurrency": {"max_instances": 100}, "retry_policy": {"max_retries": 0}}


class Row(Protocol):
    """Prints one figure."""

    def __call__(self, name: str, value: float, unit: str, target: float, *, more_is_better: bool) -> None: ...


def hanging(uri: str, folder: Path, row: Row) -> None:
    """One job runs every 100 ms, with and without 50 runs that wait for a service that does not answer: the 95th percentile of the time
    from the queue to the end."""
    client = connect(uri)
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    migrate(store)
    settings = replace(Settings(secret_key=KEY), data_dir=str(folder / "hanging"), max_instances=500)
    services = build_services(settings, store)
    queue, executions = Queue(store.database), store.database["job_executions"]
    let_go = threading.Event()

    def hang(call: Call) -> Answer:
        let_go.wait()
        return done(call)

    with receiver() as quick, receiver(hang) as slow:
        connect_service(services, SYSTEM, quick, "quick")
        connect_service(services, SYSTEM, slow, "slow")
        measured, others = (make_service_job(services, SYSTEM, name, service=name, **MANY) for name in ("quick", "slow"))
        node = build_node(settings, store, services, launch_executor(settings))
        node.start()
        try:
            _p95(queue, executions, measured, 50)  # as in an installation that is not just started
            with_it, without = list[float](), list[float]()
            for _ in range(ROUNDS):
                let_go.clear()
                without.append(_p95(queue, executions, measured, RUNS))
                queue.queue.add([new_execution(others, now=datetime.now(UTC), triggered_by=Trigger.API) for _ in range(HANGING)])
                eventually(lambda: len(node.running.parts.executor.held()) >= settings.pool_size // 2)
                with_it.append(_p95(queue, executions, measured, RUNS))
                let_go.set()
                eventually(lambda: executions.find_one({"live": True}) is None)
        finally:
            let_go.set()
            node.drain(1.0)
            services.samples.close()
            client.drop_database(store.database.name)
            client.close()
    before, after = sorted(without)[ROUNDS // 2], sorted(with_it)[ROUNDS // 2]
    row(f"a service hangs ({HANGING} runs): added to p95 of other jobs", max(after - before, 0.1), "ms", TARGET_MS, more_is_better=False)
    print(f"  p95 of {RUNS} runs, ms: {before:.1f} without, {after:.1f} with it; ratio {after / before:.2f}")


def _p95(queue: Queue, executions: Any, job: Job, count: int) -> float:
    """The 95th percentile of the milliseconds from the queue to the end, of runs that are asked for one after the other."""
    rows, due = [], time.monotonic()
    for _ in range(count):
        rows.append(new_execution(job, now=datetime.now(UTC), triggered_by=Trigger.API))
        queue.queue.add(rows[-1:])
        due += EVERY_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
    ids = [row.id for row in rows]
    eventually(lambda: executions.count_documents({"_id": {"$in": ids}, "status": "success"}) == count, every=0.1)
    spans = [row["completed_at"] - row["queued_at"] for row in executions.find({"_id": {"$in": ids}})]
    return quantiles([span.total_seconds() * 1000 for span in spans], n=20)[18]

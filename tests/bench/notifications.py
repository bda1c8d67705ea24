"""From the end of an execution to the first byte of its notification."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Protocol

from app.audit.model import SYSTEM
from app.config import Settings
from app.factory import Store, build_node, build_services, launch_executor, migrate
from app.mongo import connect, open_database
from app.queue.model import Trigger
from tests.builders.channels import receiver
from tests.builders.queue import Queue, new_execution
from tests.support import KEY, eventually

RUNS = 200
TARGET_MS = 2_000.0


class Row(Protocol):
    """Prints one figure."""

    def __call__(self, name: str, value: float, unit: str, target: float, *, more_is_better: bool) -> None: ...


def notifications(uri: str, folder: Path, row: Row) -> None:
    """Runs end one after the other, and each notifies a channel: the 95th percentile of the time from the end to the request."""
    client = connect(uri)
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    migrate(store)
    settings = replace(Settings(secret_key=KEY), data_dir=str(folder / "notifications"), allowed_hosts=("127.0.0.1",), notify_at_once=RUNS)
    services = build_services(settings, store)
    queue = Queue(store.database)
    with receiver() as target:
        services.channels.create(SYSTEM, name="ops", type="webhook", settings={"url": target.url})
        body: dict[str, Any] = {"name": "Told", "template_type": "noop", "notifications": {"on_success": ["channel:ops"]}}
        job = services.jobs.create(SYSTEM, body)[0]
        node = build_node(settings, store, services, launch_executor(settings))
        node.start()
        try:
            for count in range(1, RUNS + 1):
                queue.queue.add([new_execution(job, now=datetime.now(UTC), triggered_by=Trigger.API)])
                eventually(lambda count=count: len(target.got) >= count, every=0.005)
        finally:
            node.drain(1.0)
            services.samples.close()
        ended = {found["_id"]: found["completed_at"] for found in store.database["job_executions"].find()}
        spans = [
            (at - ended[sent["data"]["execution_id"]]).total_seconds() * 1_000
            for at, (_, sent) in zip(target.began, target.got, strict=True)
        ]
    client.drop_database(store.database.name)
    client.close()
    row("end of a run to first byte of its notification, p95", quantiles(spans, n=20)[18], "ms", TARGET_MS, more_is_better=False)
    print(f"  median {median(spans):.1f} ms, slowest {max(spans):.1f} ms, {RUNS} runs")

"""A network and a replica set that misbehave between the service and its database."""

from __future__ import annotations

import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.faults.conftest import LIVE, MINUTES
from tests.faults.proxy import Proxy
from tests.support import Service, eventually, seconds_of

ROUNDS = max(1, int(MINUTES))


def every_second(client: Any, trace: Path) -> str:
    body = {
        "name": "tick",
        "template_type": "noop",
        "parameters": {"file": str(trace)},
        "overlap": "queue",
        "schedule": {"type": "cron", "expression": "* * * * * *"},
    }
    return str(client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"])


def settled(client: Any, job: str, executions: Any, trace: Path) -> None:
    """Every second from the first to a last one is there, ran once, and nothing is left over."""
    last = datetime.now(UTC)
    eventually(lambda: executions.find_one({"job_id": job, "scheduled_for": {"$gte": last}}) is not None)
    eventually(lambda: client.post(f"/api/admin/scheduler-jobs/{job}/disable").status_code == 200)
    eventually(lambda: executions.count_documents(LIVE) == 0)
    rows = list(executions.find({"job_id": job}))
    due = seconds_of(rows)
    assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]
    assert {row["status"] for row in rows} <= {"success", "skipped"}
    started = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    assert set(started.values()) == {1}, "a run ran twice"
    assert set(started) == {row["_id"] for row in rows if row["status"] == "success"}


def test_a_proxy_that_holds_resets_delays_throttles_and_swallows(
    start: Callable[..., Service], registry: Any, mongod: str, tmp_path: Path
) -> None:
    proxy = Proxy(Path(urllib.parse.unquote(mongod.removeprefix("mongodb://").partition("/?")[0].rstrip("/"))))
    service = start("serve", uri=f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true", LOCK_TIMEOUT_SECONDS="60").wait_ready()
    trace = tmp_path / "trace"
    try:
        with service.client(service.token()) as client:
            job = every_second(client, trace)
            eventually(lambda: trace.exists() and trace.read_text().count("end") >= 2)
            for mode in ("reset", "swallow", "delay", "throttle", "swallow", "hole") * ROUNDS:
                proxy.mode = mode
                time.sleep(2.5)  # the fault lasts so long
                proxy.mode = "pass"
                ran = trace.read_text().count("end")
                eventually(lambda ran=ran: trace.read_text().count("end") > ran + 1)
            assert proxy.swallowed > 0
            settled(client, job, registry["job_executions"], trace)
    finally:
        proxy.close()


def test_a_primary_that_steps_down_again_and_again(start: Callable[..., Service], registry: Any, mongod: str, tmp_path: Path) -> None:
    service = start("serve", LOCK_TIMEOUT_SECONDS="60").wait_ready()
    trace = tmp_path / "trace"
    with service.client(service.token()) as client, MongoClient[dict[str, Any]](mongod) as admin:
        job = every_second(client, trace)
        eventually(lambda: trace.exists() and trace.read_text().count("end") >= 2)
        for _ in range(3 * ROUNDS):
            admin.admin.command("replSetStepDown", 1, force=True)
            ran = trace.read_text().count("end")
            eventually(lambda ran=ran: trace.read_text().count("end") > ran + 1)
        settled(client, job, registry["job_executions"], trace)

"""Five nodes with many jobs, of which many are due each second; nodes are killed meanwhile. Nothing is lost, and nothing runs twice."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.conftest import LIVE
from tests.lengths import LONG
from tests.support import Service, eventually

NODES = 5
JOBS, DUE_A_SECOND, SECONDS = (20_000, 200, 600) if LONG else (400, 20, 12)
KILL_EACH_SECONDS = 30 if LONG else 4
SETTINGS = {"JOBWRIGHT_ISOLATION": "reused", "SCHEDULER_EXECUTOR_POOL_SIZE": "4", "JOBWRIGHT_MAX_JOBS": "100000"}


def test_many_jobs_on_five_nodes_that_are_killed(start: Callable[..., Service], registry: Any) -> None:
    web = start("web").wait_ready()
    nodes = [start("scheduler", **SETTINGS) for _ in range(NODES)]
    for node in nodes:
        node.wait_ready()
    begins = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    with web.api() as client:
        _make_jobs(client, registry["dynamic_jobs"], begins)
    killed = 0
    for second in range(KILL_EACH_SECONDS, SECONDS, KILL_EACH_SECONDS):
        time.sleep(max(0.0, (begins + timedelta(seconds=second) - datetime.now(UTC)).total_seconds()))
        nodes[killed % NODES].stop(kill=True)
        nodes[killed % NODES] = start("scheduler", **SETTINGS)
        killed += 1
    executions, due = registry["job_executions"], DUE_A_SECOND * SECONDS
    eventually(lambda: executions.count_documents({"scheduled_for": {"$ne": None}}) >= due, seconds=300, every=0.5)
    eventually(lambda: executions.count_documents(LIVE) == 0, seconds=300, every=0.5)
    rows = list(executions.find({}, {"job_id": 1, "scheduled_for": 1, "status": 1, "started_at": 1, "attempts.status": 1}))
    planned = Counter((row["job_id"], row["scheduled_for"]) for row in rows)
    expected = {
        (f"j{number:06}", begins + timedelta(seconds=number // DUE_A_SECOND + period * (JOBS // DUE_A_SECOND)))
        for number in range(JOBS)
        for period in range(SECONDS * DUE_A_SECOND // JOBS + 1)
        if number // DUE_A_SECOND + period * (JOBS // DUE_A_SECOND) < SECONDS
    }
    assert set(planned) == expected, "a due time was lost"
    assert set(planned.values()) == {1}, "a due time was doubled"
    assert Counter(row["status"] for row in rows) == {"success": due}
    assert all([attempt["status"] for attempt in row["attempts"]].count("success") == 1 for row in rows), "a run succeeded twice"
    delays = sorted((row["started_at"] - row["scheduled_for"]).total_seconds() for row in rows)
    print(
        f"\n{due:,} runs of {JOBS:,} jobs on {NODES} nodes, {killed} killed: start after "
        f"{delays[len(delays) // 2]:.3f} s (median), {delays[int(len(delays) * 0.99)]:.3f} s (99 %)"
    )


def _make_jobs(client: Any, jobs: Any, begins: datetime) -> None:
    """The same job so many times, each with its first due time; after the last second of the test none is due."""
    every = JOBS // DUE_A_SECOND
    body = {
        "name": "one",
        "template_type": "noop",
        "overlap": "queue",
        "enabled": False,
        "schedule": {"type": "interval", "interval_seconds": every},
        "retry_policy": {"max_retries": 20, "retry_delay_seconds": 0, "backoff": "fixed"},
    }
    made = client.post("/api/admin/scheduler-jobs", json=body)
    assert made.status_code == 201, made.text
    row = {name: value for name, value in jobs.find_one({"_id": made.json()["job"]["id"]}).items() if "seat" not in name}
    end_at = begins + timedelta(seconds=SECONDS, milliseconds=-500)
    for first in range(0, JOBS, 10_000):
        jobs.insert_many(
            [
                {
                    **row,
                    "_id": f"j{number:06}",
                    "name": f"job {number:06} {uuid.uuid4().hex[:4]}",
                    "enabled": True,
                    "schedule": {**row["schedule"], "start_at": begins + timedelta(seconds=number // DUE_A_SECOND), "end_at": end_at},
                    "next_run_at": begins + timedelta(seconds=number // DUE_A_SECOND),
                }
                for number in range(first, min(JOBS, first + 10_000))
            ],
            ordered=False,
        )

"""A job that limits itself, on nodes that are killed: never more runs than the limit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import Service, eventually

JOBS = "/api/admin/scheduler-jobs"
RUNS, WANTED = 4, 24


def test_nodes_that_are_killed_never_start_more_runs_than_the_limit(start: Callable[..., Service], registry: Any) -> None:
    web, nodes = start("web").wait_ready(), [start("scheduler") for _ in range(3)]
    body = {
        "name": "limited",
        "template_type": "test_scheduler",
        "parameters": {"seconds": 2},
        "overlap": "allow",
        "concurrency": {"max_instances": 3},
        "retry_policy": {"max_retries": 9, "retry_delay_seconds": 1},
        "run_limit": {"runs": RUNS, "seconds": 3600, "excess": "queue"},
    }
    with web.api() as api:
        job = api.post(JOBS, json=body).raise_for_status().json()["job"]["id"]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: api.post(f"{JOBS}/{job}/run", json={}).status_code, range(WANTED)))
    assert answers == [202] * WANTED
    executions = registry["job_executions"]

    def started() -> int:
        return int(executions.count_documents({"job_id": job, "started_at": {"$ne": None}}))

    for node in nodes[:2]:
        eventually(lambda: executions.count_documents({"job_id": job, "status": "running"}))
        node.stop(kill=True)
        start("scheduler")
    eventually(lambda: executions.count_documents({"job_id": job, "status": "success"}) == RUNS)
    later = {"job_id": job, "status": "queued", "available_at": {"$gt": datetime.now(UTC) + timedelta(minutes=30)}}
    eventually(lambda: executions.count_documents(later) == WANTED - RUNS)
    assert started() == RUNS
    (kept,) = registry["job_starts"].find()
    assert len(kept["starts"]) == RUNS

"""Many schedulers and workers, killed again and again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.conftest import LIVE, MINUTES, overlapping
from tests.support import Service, eventually, seconds_of

CROWD_SECONDS = max(15, int(MINUTES * 20))
WORKERS_KILLED = 99 if MINUTES else 11  # and once more at the end: a policy has a hundred retries at most


def test_five_schedulers_one_killed_each_second_double_and_miss_nothing(
    start: Callable[..., Service], registry: Any, tmp_path: Path
) -> None:
    """Five on one host; each second one of them dies by -9 and another takes its seat. Runs that are lost are tried again."""
    web = start("web").wait_ready()
    token, trace = web.token(), tmp_path / "trace"
    trace.touch()
    schedulers = [start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="3") for _ in range(5)]
    for scheduler in schedulers:
        scheduler.wait_ready()
    begins = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    with web.client(token) as client:
        body = {
            "name": "tick",
            "template_type": "noop",
            "parameters": {"file": str(trace)},
            "overlap": "queue",
            "schedule": {
                "type": "cron",
                "expression": "* * * * * *",
                "start_at": begins.isoformat(),
                "end_at": (begins + timedelta(seconds=CROWD_SECONDS)).isoformat(),
            },
            "retry_policy": {"max_retries": 100, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
    for kill in range(CROWD_SECONDS):
        time.sleep(max(0.0, (begins + timedelta(seconds=kill + 0.5) - datetime.now(UTC)).total_seconds()))
        schedulers[kill % 5].stop(kill=True)
        schedulers[kill % 5] = start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="3")
    executions = registry["job_executions"]
    eventually(lambda: executions.count_documents({}) == CROWD_SECONDS, every=0.2)
    eventually(lambda: executions.count_documents(LIVE) == 0, every=0.2)
    rows = list(executions.find({"job_id": job}))
    assert seconds_of(rows) == [begins + timedelta(seconds=n) for n in range(CROWD_SECONDS)]
    assert Counter(row["status"] for row in rows) == {"success": CROWD_SECONDS}
    assert overlapping(trace.read_text().splitlines()) == []


def test_a_worker_killed_mid_job_is_noticed_each_time_and_its_run_succeeds_in_the_end(
    start: Callable[..., Service], registry: Any, tmp_path: Path
) -> None:
    """One run, whose worker dies in the middle WORKERS_KILLED times and once more: so many lost attempts, one success, never two at once."""
    web = start("web").wait_ready()
    token, trace = web.token(), tmp_path / "trace"
    trace.touch()
    with web.client(token) as client:
        body = {
            "name": "long",
            "template_type": "noop",
            "parameters": {"seconds": 3600, "file": str(trace)},
            "retry_policy": {"max_retries": 100, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
    worker = start("scheduler", LOCK_TIMEOUT_SECONDS="1")
    for kill in range(WORKERS_KILLED):
        eventually(lambda kill=kill: trace.read_text().count("start") == kill + 1)
        worker.stop(kill=True)
        worker = start("scheduler", LOCK_TIMEOUT_SECONDS="1")
    eventually(lambda: trace.read_text().count("start") == WORKERS_KILLED + 1)
    registry["job_executions"].update_one({"_id": run}, {"$set": {"parameters.seconds": 0}})
    worker.stop(kill=True)
    start("scheduler", LOCK_TIMEOUT_SECONDS="1")
    ended = eventually(lambda: registry["job_executions"].find_one({"_id": run, "status": "success"}))
    assert [attempt["status"] for attempt in ended["attempts"]] == ["failed"] * (WORKERS_KILLED + 1) + ["success"]
    assert {attempt["reason"] for attempt in ended["attempts"][:-1]} == {"lost_worker"}
    assert [attempt["number"] for attempt in ended["attempts"]] == list(range(1, WORKERS_KILLED + 3))
    starts = [float(line.split()[4]) for line in trace.read_text().splitlines() if line.startswith("start")]
    assert starts == sorted(starts)


def test_two_hundred_workers_killed_between_claim_and_start(
    start: Callable[..., Service], registry: Any, mongod: str, database_name: str, tmp_path: Path
) -> None:
    web = start("web", SCHEDULER_MAX_INSTANCES="300").wait_ready()
    token, trace = web.token(), tmp_path / "trace"
    with web.client(token) as client:
        body = {
            "name": "claimed",
            "template_type": "noop",
            "parameters": {"file": str(trace)},
            "overlap": "allow",
            "concurrency": {"max_instances": 300},
            "retry_policy": {"max_retries": 1, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        for _ in range(200):
            client.post(f"/api/admin/scheduler-jobs/{job}/run").raise_for_status()
    subprocess.run([sys.executable, "-m", "tests.faults.claim_and_die", mongod, database_name, "200"], check=True)
    executions = registry["job_executions"]
    assert executions.count_documents({"status": "running"}) == 200
    start("scheduler").wait_ready()
    eventually(lambda: executions.count_documents({"status": "success"}) == 200)
    assert all([one["status"] for one in row["attempts"]] == ["failed", "success"] for row in executions.find())
    started = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    assert (len(started), set(started.values())) == (200, {1}), "what was claimed and not begun ran once"

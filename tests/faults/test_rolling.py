"""Three schedulers and two web servers behind a load balancer, restarted one after the other under load."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.builders.balancer import Balancer
from tests.faults.conftest import LIVE, overlapping
from tests.support import PATIENCE_SECONDS, Service, eventually, seconds_of

NOTICE_SECONDS = "600"  # the test ends it with a second signal, as soon as the balancer has noticed
JOBS = 3


class Load:
    """Asks and starts runs through the balancer without a pause, and keeps what was answered."""

    def __init__(self, address: str, token: str, job: str) -> None:
        self.answers, self._stop, self._job = Counter[int](), threading.Event(), job
        self._client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_SECONDS)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _work(self) -> None:
        while not self._stop.wait(0.02):
            for method, path in (("GET", "/api/admin/scheduler-jobs"), ("POST", f"/api/admin/scheduler-jobs/{self._job}/run")):
                self.answers[self._client.request(method, path).status_code] += 1


def test_a_rolling_restart_loses_no_due_time_and_no_request(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    webs = [start("web", JOBWRIGHT_DRAIN_NOTICE_SECONDS=NOTICE_SECONDS) for _ in range(2)]
    schedulers = [start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="3") for _ in range(3)]
    for service in (*webs, *schedulers):
        service.wait_ready()
    trace = tmp_path / "trace"
    trace.touch()
    token, balancer = webs[0].token(), Balancer([web.address for web in webs])
    with webs[0].client(token) as client:
        asked = client.post("/api/admin/scheduler-jobs", json={"name": "asked", "template_type": "noop", "overlap": "allow"})
        due = [_each_second(client, number, trace) for number in range(JOBS)]
    load = Load(balancer.address, token, asked.json()["job"]["id"])
    for scheduler in list(schedulers):
        assert scheduler.stop() == 0
        schedulers.append(start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="3").wait_ready())
    for web in list(webs):
        gone = web.address
        web.process.terminate()
        eventually(lambda gone=gone: gone not in balancer.ready)
        count = load.answers.total()
        eventually(lambda count=count: load.answers.total() > count + 1)  # none is on its way to the one that left
        assert web.stop() == 0
        balancer.backends.remove(gone)
        fresh = start("web", JOBWRIGHT_DRAIN_NOTICE_SECONDS=NOTICE_SECONDS).wait_ready()
        webs.append(fresh)
        balancer.backends.append(fresh.address)
        eventually(lambda fresh=fresh: httpx.get(f"{fresh.address}/ready").status_code == 200)
        balancer.check()
        count = load.answers.total()
        eventually(lambda count=count: load.answers.total() > count)
    load.stop()
    balancer.close()
    assert set(load.answers) == {200, 202}, f"requests failed: {load.answers}"
    with webs[-1].client(token) as client:
        for job in due:
            assert client.post(f"/api/admin/scheduler-jobs/{job}/disable").status_code == 200
    executions = registry["job_executions"]
    eventually(lambda: executions.count_documents(LIVE) == 0)
    for job in due:
        rows = list(executions.find({"job_id": job, "status": {"$ne": "skipped"}}))
        seconds = seconds_of(rows)
        assert seconds == [seconds[0] + timedelta(seconds=n) for n in range(len(seconds))], "a due time was missed or doubled"
        assert Counter(row["status"] for row in rows) == {"success": len(rows)}
    assert overlapping(trace.read_text().splitlines()) == []


def _each_second(client: httpx.Client, number: int, trace: Path) -> str:
    body = {
        "name": f"tick {number}",
        "template_type": "noop",
        "parameters": {"file": str(trace)} if number == 0 else {},
        "overlap": "queue",
        "schedule": {"type": "cron", "expression": "* * * * * *", "start_at": datetime.now(UTC).isoformat()},
        "retry_policy": {"max_retries": 100, "retry_delay_seconds": 0, "backoff": "fixed"},
    }
    answer = client.post("/api/admin/scheduler-jobs", json=body)
    return str(answer.json()["job"]["id"])

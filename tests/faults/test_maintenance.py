"""Nothing starts after maintenance was acknowledged: on any node, whatever it was just doing, also where it was stopped meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import Service, eventually

SWITCH = "/api/admin/maintenance"
WATCHED_SECONDS = 1.5  # after each acknowledgement
NODES = 3
ROUNDS = 3


class Crowd:
    """Nodes that start runs all the time, and the times at which the runs themselves say that they began."""

    def __init__(self, start: Callable[..., Service], trace: Path, isolation: str) -> None:
        self.trace = trace
        trace.touch()
        self.web = start("web").wait_ready()
        self.nodes = [start("scheduler", JOBWRIGHT_ISOLATION=isolation, SCHEDULER_EXECUTOR_POOL_SIZE="4") for _ in range(NODES)]
        for node in self.nodes:
            node.wait_ready()

    def feed(self, client: httpx.Client) -> str:
        body = {
            "name": "tick",
            "template_type": "noop",
            "parameters": {"file": str(self.trace)},
            "overlap": "queue",
            "concurrency": {"max_instances": 3},
            "retry_policy": {"max_retries": 100, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        job = str(client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"])
        for _ in range(40):
            client.post(f"/api/admin/scheduler-jobs/{job}/run")
        return job

    def starts(self) -> list[float]:
        return [float(line.split()[-1]) for line in self.trace.read_text().splitlines() if line.startswith("start ")]


@pytest.fixture(params=["process", "reused"])
def crowd(request: pytest.FixtureRequest, start: Callable[..., Service], tmp_path: Path) -> Crowd:
    return Crowd(start, tmp_path / "trace", request.param)


def keep_busy(client: httpx.Client, crowd: Crowd, job: str) -> int:
    """Have runs wait, and some begin; returns how many have begun."""
    before = len(crowd.starts())
    for _ in range(25):
        assert client.post(f"/api/admin/scheduler-jobs/{job}/run").status_code == 202
    eventually(lambda: len(crowd.starts()) > before)
    return before


def test_nothing_starts_after_the_acknowledgement(crowd: Crowd, registry: Any) -> None:
    with crowd.web.client(crowd.web.token()) as client:
        job = crowd.feed(client)
        for _ in range(ROUNDS):
            keep_busy(client, crowd, job)
            answer = client.put(SWITCH, json={"reason": "moving"})
            acknowledged = time.time()
            assert answer.status_code == 200
            run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()
            time.sleep(WATCHED_SECONDS)  # what must not happen has this long to happen
            assert [at for at in crowd.starts() if at > acknowledged] == []
            assert run["message"] == "Run queued: maintenance is on (moving)"
            assert registry["job_executions"].find_one({"_id": run["execution_id"]})["status"] == "queued"
            assert client.delete(SWITCH).status_code == 200
            eventually(lambda: registry["job_executions"].count_documents({"live": True}) == 0, every=0.1)


def test_a_node_that_was_stopped_starts_nothing_when_it_goes_on(crowd: Crowd, registry: Any) -> None:
    dice = random.Random(11)
    with crowd.web.client(crowd.web.token()) as client:
        job = crowd.feed(client)
        for round_ in range(ROUNDS):
            keep_busy(client, crowd, job)
            stopped = crowd.nodes[round_ % NODES].process
            time.sleep(dice.uniform(0, 0.05))  # the line at which it is stopped is what varies
            os.kill(stopped.pid, signal.SIGSTOP)
            try:
                assert client.put(SWITCH, json={"reason": "moving"}).status_code == 200
                acknowledged = time.time()
            finally:
                os.kill(stopped.pid, signal.SIGCONT)
            time.sleep(WATCHED_SECONDS)  # as above
            assert [at for at in crowd.starts() if at > acknowledged] == []
            assert client.delete(SWITCH).status_code == 200
            eventually(lambda: registry["job_executions"].count_documents({"live": True}) == 0, every=0.1)

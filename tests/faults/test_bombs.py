"""Jobs that try to take the machine down, many at once, while others must start as ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import Service, alive, eventually

BOMBS = {
    "memory": "MemoryError",
    "flood_print": None,
    "many_processes": "TooManyProcesses",
    "many_files": "OSError",
    "burn": "Timeout",
    "huge_result": "ResultTooLarge",
}


def test_others_start_while_bombs_go_off(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    service = start("serve", SCHEDULER_EXECUTOR_POOL_SIZE="12", JOBWRIGHT_JOB_MEMORY_MB="1024", JOBWRIGHT_JOB_PROCESSES="50").wait_ready()
    trace = tmp_path / "trace"
    with service.client(service.token()) as client:

        def make(name: str, template: str, parameters: dict[str, Any], **more: Any) -> str:
            body = {"name": name, "template_type": template, "parameters": parameters, "retry_policy": {"max_retries": 0}, **more}
            return str(client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"])

        bombs = {how: make(how, "misbehave", {"how": how}, timeout_seconds=4) for how in BOMBS}
        good = make("good", "noop", {"file": str(trace)})
        runs = {how: client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"] for how, job in bombs.items()}
        waits = []
        for n in range(12):
            asked = time.time()
            client.post(f"/api/admin/scheduler-jobs/{good}/run").raise_for_status()
            eventually(lambda n=n: trace.exists() and trace.read_text().count("end") == n + 1, seconds=10)
            waits.append([float(line.split()[4]) for line in trace.read_text().splitlines() if line.startswith("start")][-1] - asked)
            rows = f"/api/admin/job-executions?job_id={good}&status=success"
            eventually(lambda rows=rows, n=n: client.get(rows).json()["total"] == n + 1)
        assert max(waits) < 2.0, f"others had to wait: {waits}"
        for how, run in runs.items():
            path = f"/api/admin/job-executions/{run}"
            ended = eventually(
                lambda path=path: (e := client.get(path).json()["execution"])["status"] in {"failed", "success", "timeout"} and e,
                seconds=20,
            )
            assert (ended["error"] or {}).get("type") == BOMBS[how], (how, ended["error"])


def test_eight_stubborn_trees_are_ended_together_within_the_grace(start: Callable[..., Service], tmp_path: Path) -> None:
    """Each ignores SIGTERM and has three orphans in sessions of their own that do too."""
    service = start("serve", JOBWRIGHT_KILL_GRACE_SECONDS="2").wait_ready()
    with service.client(service.token()) as client:
        for n in range(8):
            body = {
                "name": f"stubborn {n}",
                "template_type": "misbehave",
                "timeout_seconds": 5,
                "retry_policy": {"max_retries": 0},
                "parameters": {"how": "stubborn_tree", "file": str(tmp_path / f"pids {n}")},
            }
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            client.post(f"/api/admin/scheduler-jobs/{job}/run").raise_for_status()
        files = [tmp_path / f"pids {n}" for n in range(8)]
        eventually(lambda: all(path.exists() and len(path.read_text().split()) == 4 for path in files))
        pids = [int(pid) for path in files for pid in path.read_text().split()]
        assert all(alive(pid) for pid in pids)
        path = "/api/admin/job-executions?status=timeout"
        eventually(lambda: client.get(path).json()["total"] == 8, seconds=20)
        assert [pid for pid in pids if alive(pid)] == []
        spans = [row["duration_seconds"] for row in client.get(path).json()["executions"]]
        assert max(spans) < 5 + 2 + 5, "they were not ended one after the other"

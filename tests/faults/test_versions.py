"""A node of the version before and one of this version work on one database, and so do their web servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.scheduling.node_store import NodeStore
from tests.faults.conftest import LIVE
from tests.support import ADMIN, KEY, KINDS, PASSWORD, Service, eventually, seconds_of

ROOT = Path(__file__).parents[2]
BEFORE = (ROOT / "tests" / "data" / "upgrade" / "version_before").read_text().strip()
SECONDS = 8
NARROW = {"SCHEDULER_EXECUTOR_POOL_SIZE": "1"}  # so that one node alone cannot take all runs


class Earlier(Service):
    """A process of the version before, whose code is in `tree`."""

    tree: Path

    def __init__(self, command: str, *, tree: Path, **settings: Any) -> None:
        super().__init__("--version", **settings)
        self.process.wait(60)
        self.environment["PYTHONPATH"] = f"{tree}{os.pathsep}{KINDS}"
        self.log = self.data_dir / f"before-{command}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", command],
                env=self.environment,
                cwd=tree,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of the version before, out of the history."""
    made = tmp_path / "before"
    made.mkdir()
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE], capture_output=True, check=False)
    if archive.returncode != 0:
        if os.environ.get("REQUIRE_HISTORY") == "1":
            pytest.fail(f"the history lacks {BEFORE}")
        pytest.skip("there is no history with the version before")
    subprocess.run(["tar", "-x", "-C", str(made)], input=archive.stdout, check=True)
    return made


@pytest.fixture
def start_before(mongod: str, database_name: str, tmp_path: Path, tree: Path) -> Iterator[Callable[[str], Earlier]]:
    running: list[Earlier] = []

    def begin(command: str) -> Earlier:
        folder = tmp_path / f"data-{len(running)}"
        running.append(Earlier(command, tree=tree, uri=mongod, database=database_name, data_dir=folder, JOBWRIGHT_SECRET_KEY=KEY, **NARROW))
        return running[-1]

    yield begin
    for service in running:
        service.stop(kill=True)


def test_both_versions_run_each_due_time_once_and_show_each_others_records(
    start: Callable[..., Service], start_before: Callable[[str], Earlier], registry: Any, tree: Path
) -> None:
    old_web, old_engine = start_before("web"), start_before("scheduler")
    old_web.wait_ready()
    old_engine.wait_ready()
    assert not (tree / "app" / "health.py").exists()
    new_web, new_engine = start("web").wait_ready(), start("scheduler", **NARROW).wait_ready()  # it migrates under the old ones
    token = new_web.token()
    begins = (datetime.now(UTC) + timedelta(seconds=6)).replace(microsecond=0)
    with old_web.client(token) as old, new_web.client(token) as new:
        jobs = [_due_each_second(client, number, begins) for number, client in enumerate((old, new, old, new, old, new))]
        runs = [
            client.post(f"/api/admin/scheduler-jobs/{jobs[0]}/run", headers={"X-Request-Id": "by-hand"}).json() for client in (new, old)
        ]
        executions = registry["job_executions"]
        eventually(lambda: executions.count_documents({"triggered_by": "schedule"}) >= SECONDS * len(jobs))
        eventually(lambda: executions.count_documents(LIVE) == 0)
        for job in jobs:
            rows = list(executions.find({"job_id": job, "triggered_by": "schedule"}))
            assert seconds_of(rows) == [begins + timedelta(seconds=n) for n in range(SECONDS)]
            assert Counter(row["status"] for row in rows) == {"success": SECONDS}
        nodes = {attempt["worker"] for row in executions.find({}) for attempt in row["attempts"]}
        assert len(nodes) == 2, "both nodes ran some"
        (left,) = NodeStore(registry).names_of_other_versions(version("jobwright"))
        assert left.partition(" ")[0] in nodes, "`jobwright migrate --post` waits for the one of the version before"
        ids = [run["execution_id"] for run in runs if "execution_id" in run]
        assert len(ids) == 2, runs
        for client in (old, new):
            for execution_id in ids:
                assert client.get(f"/api/admin/job-executions/{execution_id}").json()["execution"]["status"] == "success"
    for web in (old_web, new_web):
        with closing(signed_in(web)) as browser:
            for path in (*(f"/executions/{execution_id}" for execution_id in ids), "/executions", f"/jobs/{jobs[1]}", "/", "/system"):
                assert browser.get(path).status_code == 200, path
    assert new_engine.stop() == 0
    assert old_engine.stop() == 0


def _due_each_second(client: httpx.Client, number: int, begins: datetime) -> str:
    body = {
        "name": f"tick {number}",
        "template_type": "noop",
        "overlap": "allow",
        "concurrency": {"max_instances": 3},
        "schedule": {
            "type": "cron",
            "expression": "* * * * * *",
            "start_at": begins.isoformat(),
            "end_at": (begins + timedelta(seconds=SECONDS)).isoformat(),
        },
    }
    answer = client.post("/api/admin/scheduler-jobs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job"]["id"])


def signed_in(web: Service) -> httpx.Client:
    """A browser of the super-admin."""
    browser = httpx.Client(base_url=web.address, timeout=60)
    page = browser.get("/sign-in").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token is not None
    answer = browser.post("/sign-in", data={"csrf_token": token[1], "email": ADMIN, "password": PASSWORD})
    assert answer.status_code in {302, 303}, answer.text
    return browser

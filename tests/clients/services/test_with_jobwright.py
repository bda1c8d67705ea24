"""Services and a served Jobwright: one with the library, one without it, each registered, called and replaced while runs come in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.clients.services.driver import Program, free_port
from tests.clients.services.test_contract import COMMANDS
from tests.support import Service, eventually

LOAD = 40  # runs during a rolling deployment
ENDED = ("success", "failed", "timeout", "cancelled", "skipped", "missed")


class Installation:
    """A served Jobwright, and a service account whose token may register and enable jobs."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.database = f"services_{uuid.uuid4().hex[:8]}"
        port = free_port()
        settings = {
            "PORT": str(port),
            "JOBWRIGHT_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1",
            "SCHEDULER_MAX_INSTANCES": "50",
        }
        self.served = Service("serve", uri=uri, database=self.database, data_dir=folder / "data", warm=True, **settings).wait_ready()
        self.api = self.served.api()
        account = self.api.post("/api/admin/users", json={"email": "bot@example.com", "kind": "service", "role": "admin"})
        account.raise_for_status()
        made = self.api.post(
            f"/api/admin/users/{account.json()['user']['id']}/tokens", json={"name": "t", "scopes": ["services", "enable"]}
        )
        made.raise_for_status()
        self.token = made.json()["text"]
        self.key = self._first_key()

    def _first_key(self) -> str:
        """Registers the service once, to learn its key, which each instance gets."""
        with self.served.client(self.token) as client:
            manifest = {"version": "0", "address": "http://127.0.0.1:9", "ttlSeconds": 90, "jobs": []}
            answer = client.put("/api/services/contract-service/manifest", json=manifest)
            answer.raise_for_status()
            return str(answer.json()["signingKey"]["secret"])

    def service(self) -> dict[str, Any]:
        answer: httpx.Response = self.api.get("/api/services/contract-service").raise_for_status()
        found: dict[str, Any] = answer.json()
        return found.get("service", found)

    def job(self, name: str) -> str:
        """Returns the id of a registered job."""
        (job,) = self.api.get("/api/admin/scheduler-jobs", params={"name": name}).json()["jobs"]
        return str(job["id"])

    def allow_many(self, name: str) -> None:
        """Lets many runs of a job go on at one time, which is an admin's to decide."""
        body = {"overlap": "allow", "concurrency": {"max_instances": 50}}
        answer = self.api.put(f"/api/admin/scheduler-jobs/{self.job(name)}", json=body)
        assert answer.status_code == 200, answer.text

    def run(self, name: str, config: dict[str, Any]) -> str:
        """Runs a job, and returns the id of its execution."""
        answer = self.api.post(f"/api/admin/scheduler-jobs/{self.job(name)}/run", json={"parameters": {"config": config}})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution"]["id"])

    def execution(self, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/api/admin/job-executions/{execution}").json()["execution"]
        return found

    def ended(self, execution: str) -> dict[str, Any]:
        return eventually(lambda: found if (found := self.execution(execution))["status"] in ENDED else None, every=0.1)

    def log(self, execution: str) -> str:
        return self.api.get(f"/api/admin/job-executions/{execution}/logs").text

    def ready(self, version: str) -> int:
        """Returns how many instances of a version are ready."""
        return sum(one["version"] == version and one["state"] == "ready" for one in self.service()["instances"])


@pytest.fixture(scope="module")
def installation(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(mongod, tmp_path_factory.mktemp("installation"))
    yield made
    made.api.close()
    assert made.served.stop() == 0
    with MongoClient[dict[str, Any]](mongod) as client:
        client.drop_database(made.database)


Start = Callable[[str], Program]


@pytest.fixture(params=COMMANDS)
def start(request: pytest.FixtureRequest, installation: Installation, tmp_path: Path) -> Iterator[Start]:
    """Starts an instance of a version, and waits until Jobwright knows it."""
    started: list[Program] = []

    def start(version: str) -> Program:
        before = installation.ready(version)
        settings = {"VERSION": version, "JOBWRIGHT_TOKEN": installation.token, "JOBWRIGHT_SIGNING_KEYS": installation.key}
        command = COMMANDS[request.param]
        started.append(Program(command, installation.served.address, tmp_path / str(len(started)), **settings))
        eventually(started[-1].answers)
        eventually(lambda: installation.ready(version) > before)
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.terminate()
            program.ended()
        program.stop()


def test_a_registered_job_is_called_and_its_result_is_that_of_the_service(installation: Installation, start: Start) -> None:
    program = start(uuid.uuid4().hex[:6])
    execution = installation.run("count", {"items": 12, "bad": 2})
    ended = installation.ended(execution)
    assert ended["status"] == "success"
    assert (ended["result"]["itemsProcessed"], ended["result"]["itemsSucceeded"], ended["result"]["itemsFailed"]) == (12, 10, 2)
    assert program.effects(execution) == 1


def test_an_accepted_run_reports_its_log_and_its_end(installation: Installation, start: Start, tmp_path: Path) -> None:
    program, gate = start(uuid.uuid4().hex[:6]), tmp_path / "gate"
    execution = installation.run("gated", {"gate": str(gate)})
    eventually(lambda: "waiting at the gate" in installation.log(execution), every=0.1)
    assert installation.execution(execution)["status"] == "running"
    gate.touch()
    ended = installation.ended(execution)
    assert ended["status"] == "success", ended
    assert "through the gate" in installation.log(execution)
    assert program.effects(execution) == 1


def test_a_failure_is_that_of_the_service(installation: Installation, start: Start) -> None:
    start(uuid.uuid4().hex[:6])
    ended = installation.ended(installation.run("fails", {"how": "permanent"}))
    assert ended["status"] == "failed"
    assert "failed: permanent" in str(ended["attempts"])


def test_during_a_rolling_deployment_no_run_fails_and_none_is_done_twice(installation: Installation, start: Start) -> None:
    old, new = uuid.uuid4().hex[:6], uuid.uuid4().hex[:6]
    first = [start(old), start(old)]
    installation.allow_many("count")
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(installation.run, "count", {"items": number}) for number in range(LOAD)]
        second = [start(new)]
        first[0].terminate()
        first[0].ended()
        second.append(start(new))
        first[1].terminate()
        first[1].ended()
        executions = [run.result() for run in runs]
    assert {installation.ended(execution)["status"] for execution in executions} == {"success"}
    effects = {execution: sum(program.effects(execution) for program in (*first, *second)) for execution in executions}
    assert set(effects.values()) == {1}
    assert installation.ready(old) == 0

"""A served Jobwright for services that tests start."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from standardwebhooks import Webhook

from tests.clients.services.driver import Program, free_port
from tests.support import KEY, Service, eventually

ENDED = ("success", "failed", "timeout", "cancelled", "skipped", "missed")


class Installation:
    """A served Jobwright, and a service account whose token may register and enable jobs."""

    def __init__(self, uri: str, folder: Path, **settings: str) -> None:
        self._uri = uri
        self.database = f"services_{uuid.uuid4().hex[:8]}"
        port = free_port()
        environment = {
            "PORT": str(port),
            "JOBWRIGHT_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1",
            "SCHEDULER_MAX_INSTANCES": "50",
            "DEFAULT_MAX_RETRIES": "5",
            "DEFAULT_RETRY_DELAY": "1",
            "JOBWRIGHT_SECRET_KEY": KEY,
            **settings,
        }
        self._start = partial(Service, "serve", uri=uri, database=self.database, data_dir=folder / "data", warm=True, **environment)
        self.served = self._start().wait_ready()
        self.api = self.served.api()
        account = self.api.post("/api/admin/users", json={"email": "bot@example.com", "kind": "service", "role": "admin"})
        account.raise_for_status()
        made = self.api.post(
            f"/api/admin/users/{account.json()['user']['id']}/tokens", json={"name": "t", "scopes": ["services", "enable"]}
        )
        made.raise_for_status()
        self.token = made.json()["text"]
        self.keys = [self._first_key()]  # the newest one first

    @property
    def key(self) -> str:
        """A key that Jobwright and all running services have."""
        return self.keys[-1]

    def _first_key(self) -> str:
        """Registers the service once, to learn its key, which each instance gets."""
        with self.served.client(self.token) as client:
            manifest = {"version": "0", "address": "http://127.0.0.1:9", "ttlSeconds": 90, "jobs": []}
            answer = client.put("/api/services/contract-service/manifest", json=manifest)
            answer.raise_for_status()
            return str(answer.json()["signingKey"]["secret"])

    @contextmanager
    def away(self, *, kill: bool) -> Iterator[None]:
        """Stops Jobwright, or kills it with all its processes, and starts it again at the same address afterwards."""
        self.served.stop(kill=kill)
        yield
        self.served = self._start().wait_ready()

    def close(self) -> None:
        """Stops Jobwright and removes its database. Fails if it does not stop in order."""
        self.api.close()
        code = self.served.stop()
        with MongoClient[dict[str, Any]](self._uri) as client:
            client.drop_database(self.database)
        assert code == 0

    def service(self) -> dict[str, Any]:
        answer: httpx.Response = self.api.get("/api/services/contract-service").raise_for_status()
        found: dict[str, Any] = answer.json()
        service: dict[str, Any] = found.get("service", found)
        return service

    def job(self, name: str) -> str:
        """Returns the id of a registered job."""
        (job,) = self.jobs(name)
        return str(job["id"])

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Returns the jobs of this name: one, or none."""
        return list(self.api.get("/api/admin/scheduler-jobs", params={"name": name}).raise_for_status().json()["jobs"])

    def allow_many(self, name: str) -> None:
        """Lets many runs of a job go on at one time, which is an admin's to decide."""
        body = {"overlap": "allow", "concurrency": {"max_instances": 50}}
        answer = self.api.put(f"/api/admin/scheduler-jobs/{self.job(name)}", json=body)
        assert answer.status_code == 200, answer.text

    def run(self, name: str, config: dict[str, Any], *, retries: int | None = None) -> str:
        """Runs a job, after an admin has set its number of retries if that is given, and returns the id of its execution."""
        job = self.job(name)
        if retries is not None:
            policy = {"retry_policy": {"max_retries": retries, "retry_delay_seconds": 1, "backoff": "fixed"}}
            self.api.put(f"/api/admin/scheduler-jobs/{job}", json=policy).raise_for_status()
        answer = self.api.post(f"/api/admin/scheduler-jobs/{job}/run", json={"parameters": {"config": config}})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution"]["id"])

    def execution(self, execution: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/api/admin/job-executions/{execution}").json()["execution"]
        return found

    def attempts(self, execution: str) -> int:
        """Returns how many attempts of an execution have begun."""
        return max((attempt["number"] for attempt in self.execution(execution)["attempts"]), default=0)

    def ended(self, execution: str) -> dict[str, Any]:
        """Waits for the end of an execution, and returns it."""
        eventually(lambda: self.execution(execution)["status"] in ENDED, every=0.1)
        return self.execution(execution)

    def log(self, execution: str) -> str:
        return self.api.get(f"/api/admin/job-executions/{execution}/logs").text

    def ready(self, version: str) -> int:
        """Returns how many instances of a version are ready."""
        return sum(one["version"] == version and one["state"] == "ready" for one in self.service()["instances"])

    def report(self, url: str, body: Any, *, key: str | None = None, seconds: int = 0, unsigned: bool = False) -> httpx.Response:
        """Sends a report as a service does, signed with its key, or with another one, or at another time."""
        content, message = json.dumps(body), f"rep_{uuid.uuid4().hex}"
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        headers = {"Content-Type": "application/json"}
        if not unsigned:
            signature = Webhook(key or self.key).sign(message, moment, content)
            headers |= {"webhook-id": message, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}
        return httpx.post(url, content=content, headers=headers, timeout=60)

    def call(self, program: Program, job: str, execution: str, attempt: int = 1) -> httpx.Response:
        """Calls a service once more for an attempt that Jobwright has called it for, with the same id and signature key."""
        callback = program.callback(execution, attempt)
        body = {
            "jobName": job,
            "config": self.execution(execution)["parameters"]["config"],
            "executionId": execution,
            "triggeredBy": "admin",
            "attempt": attempt,
            "callback": {"url": callback, "token": callback.rpartition("/")[2], "heartbeatSeconds": 60},
        }
        content, message, moment = json.dumps(body), f"{execution}:{attempt}", datetime.now(UTC)
        headers = {"webhook-id": message, "webhook-timestamp": str(int(moment.timestamp()))}
        headers["webhook-signature"] = Webhook(self.key).sign(message, moment, content)
        return program.send(job, content, headers, execution)

    def rotate_key(self) -> None:
        """Makes a new signing key beside the one that services have. Services that start from now on get both."""
        answer = self.api.post("/api/services/contract-service/keys/rotate").raise_for_status().json()
        self.keys = [answer["secret"], self.key]

    def remove_previous_key(self) -> None:
        """Leaves the newest signing key alone."""
        self.api.delete("/api/services/contract-service/keys/previous").raise_for_status()
        self.keys = self.keys[:1]

    def program(self, command: list[str], folder: Path, version: str, **settings: str) -> Program:
        """Starts an instance of a service, and waits until Jobwright knows it."""
        before = self.ready(version)
        own = {"VERSION": version, "JOBWRIGHT_TOKEN": self.token, "JOBWRIGHT_SIGNING_KEYS": " ".join(self.keys), **settings}
        program = Program(command, self.served.address, folder, **own)
        eventually(program.answers)
        eventually(lambda: self.ready(version) > before)
        return program

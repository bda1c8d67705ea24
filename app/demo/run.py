"""Starts a service and runs the jobs of the demo through its REST interface."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.demo.example import JOB, example_service, has_example
from app.demo.jobs import BUS, FILES, JOBS, LEDGER, MAIL, SERVICE, SHOP, DemoJob, Shop, sample_data, write_ledger
from app.demo.servers import WAIT_SECONDS, Inbox, bus_server, free_port, mail_server, mongod, service, web_server
from app.demo.surprise import Surprise, must
from app.demo.workers import WORKERS, redis_server, workers
from app.events import configure_logging
from templates_lib.messages import amount

ANSWER_SECONDS = 60.0  # for one answer: of a busy machine, too


@dataclass(frozen=True)
class Row:
    """One line of the printed table."""

    template: str
    outcome: str
    seconds: float
    proof: str
    page: str


def run_demo(*, celery: bool = False) -> int:
    """Runs the demo; with `celery`, on Celery workers. Returns the exit code: 0 if every job has done its work, else 1."""
    began = time.monotonic()
    configure_logging(level="WARNING")
    print("Starting a service for the demo. Each job takes about a second.\n", flush=True)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobwright-demo-")))
            uri = os.environ.get("MONGODB_URI") or stack.enter_context(mongod(folder / "mongod"))
            inbox = Inbox()
            smtp_port = stack.enter_context(mail_server(inbox))
            hook_port = stack.enter_context(web_server(inbox))
            example_port = free_port()
            broker = stack.enter_context(redis_server(folder / "redis")) if celery else {}
            address, token, environment = stack.enter_context(service(folder, uri, (hook_port, example_port), broker))
            if celery:
                stack.enter_context(workers(folder, environment))
            shop = Shop(stack.enter_context(sample_data(uri)), inbox, folder, hook_port)
            client = stack.enter_context(
                httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_SECONDS)
            )
            demo = _Demo(client, address)
            demo.connect(SHOP, "mongodb", {"uri": uri, "database": shop.database.name})
            demo.connect(MAIL, "smtp", {"host": "127.0.0.1", "port": smtp_port, "security": "none", "sender": "jobs@example.com"})
            demo.connect(FILES, "file_store", {"path": str(folder / "exports")})
            write_ledger(shop)
            demo.connect(LEDGER, "sql", {"url": f"sqlite:///{shop.ledger}"})
            demo.connect(SERVICE, "http", {"hosts": [f"127.0.0.1:{hook_port}"], "plain": True, "proof": "none"})
            bus_port = stack.enter_context(bus_server(inbox))
            demo.connect(BUS, "nats", {"servers": [f"nats://127.0.0.1:{bus_port}"], "subjects": ["shop.>"]})
            print(f"{'template':<20} {'outcome':<9} {'seconds':>7}  proof")
            for job in JOBS:
                _print_row(demo.run(job, shop))
            jobs = len(JOBS)
            if has_example():
                stack.enter_context(example_service(address, demo.service_token(), example_port, folder))
                _print_row(demo.run_registered(example_port))
                jobs += 1
            seconds = time.monotonic() - began
            where = f" on {WORKERS} Celery workers" if celery else ""
            print(
                f"\n{amount(jobs, 'job')} did their work{where}, in {seconds:.1f} s.",
                "The service stops now. `make run` starts one that stays.",
            )
    except Surprise as surprise:
        print(f"\nThe demo failed: {surprise}", file=sys.stderr)
        return 1
    return 0


@dataclass
class _Demo:
    client: httpx.Client
    address: str

    def connect(self, name: str, kind: str, settings: dict[str, Any]) -> None:
        row = self._call("POST", "/api/admin/connections", {"name": name, "kind": kind, "settings": settings})["connection"]
        probe = self._call("POST", f"/api/admin/connections/{row['_id']}/test", {})
        must(probe["ok"], f"connection {name}: {probe['message']}")

    def run(self, job: DemoJob, shop: Shop) -> Row:
        """Creates the job, runs it and checks its work. Raises Surprise."""
        schedule = {"type": "cron", "expression": "0 2 * * *", "timezone": "Europe/Berlin"}
        body = {"name": job.name, "template_type": job.template, "parameters": job.parameters(shop), "schedule": schedule, "tags": ["demo"]}
        created = self._call("POST", "/api/admin/scheduler-jobs", body)["job"]
        execution_id = self._call("POST", f"/api/admin/scheduler-jobs/{created['_id']}/run", {})["execution_id"]
        execution = self._await_end(execution_id)
        must(execution["status"] == "success", f"{job.name} ended as {execution['status']}: {execution['error']}")
        page = f"{self.address}/executions/{execution_id}"
        return Row(job.template, execution["status"], execution["duration_seconds"], job.prove(shop, execution), page)

    def service_token(self) -> str:
        """Returns a token of a service account, which may register jobs."""
        body = {"email": "email-service@localhost", "kind": "service", "role": "admin"}
        user = self._call("POST", "/api/admin/users", body)["user"]
        made = self._call("POST", f"/api/admin/users/{user['_id']}/tokens", {"name": "example", "scopes": ["services"]})
        return str(made["text"])

    def run_registered(self, port: int) -> Row:
        """Waits until the example service at this port has registered its job, runs it and checks its work. Raises Surprise."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not (jobs := self._call("GET", f"/api/admin/scheduler-jobs?name={JOB}")["jobs"]):
            must(time.monotonic() < deadline, f"the example service did not register within {WAIT_SECONDS:g} s")
            time.sleep(0.05)
        execution_id = self._call("POST", f"/api/admin/scheduler-jobs/{jobs[0]['_id']}/run", {})["execution_id"]
        execution = self._await_end(execution_id)
        must(execution["status"] == "success", f"{JOB} ended as {execution['status']}: {execution['error']}")
        counted = execution["result"]["itemsSucceeded"]
        must(counted == 20, f"the example service counted {amount(counted, 'item')}")
        forged = {"jobName": JOB, "executionId": execution_id, "config": {}}
        unsigned = httpx.post(f"http://127.0.0.1:{port}/api/jobs/{JOB}/execute", json=forged, timeout=ANSWER_SECONDS)
        must(unsigned.status_code == 401, f"the example service answered an unsigned call with {unsigned.status_code}")
        proof = "20 items, by a service with the client library; it refused an unsigned call"
        page = f"{self.address}/executions/{execution_id}"
        return Row("service_job", execution["status"], execution["duration_seconds"], proof, page)

    def _await_end(self, execution_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            execution: dict[str, Any] = self._call("GET", f"/api/admin/job-executions/{execution_id}")["execution"]
            if execution["status"] not in {"queued", "running", "retrying"}:
                return execution
            time.sleep(0.05)
        raise Surprise(
            f"execution {execution_id} of {execution['job_name']} did not end within {WAIT_SECONDS:g} s: {execution['attempts']}"
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body)
        must(answer.is_success, f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content


def _print_row(row: Row) -> None:
    print(f"{row.template:<20} {row.outcome:<9} {row.seconds:>7.2f}  {row.proof}\n{'':<20} {row.page}", flush=True)

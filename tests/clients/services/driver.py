"""Jobwright's side of the protocol over HTTP: it takes registrations and reports, and calls a service that runs as a process of its own.

It signs and verifies with the library of Standard Webhooks, which neither service uses.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support import eventually

ROOT = Path(__file__).parents[3]
TOKEN = "jw_contract"


def free_port() -> int:
    """Returns a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Report:
    """A report as it came."""

    token: str
    name: str
    body: dict[str, Any]
    headers: dict[str, str]
    signed: bool
    answered: int


@dataclass
class Attempt:
    """An attempt that reports may belong to. `answers` gives other answers to its next reports."""

    token: str
    over: bool = False
    cancelling: bool = False
    answers: list[int] = field(default_factory=list)


class FakeJobwright:
    """Takes what services send. While `away`, it closes connections without an answer."""

    def __init__(self) -> None:
        self.keys = [f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}" for _ in range(2)]
        self.manifests: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.reports: list[Report] = []
        self.attempts: dict[str, Attempt] = {}
        self.away = False
        self.missed: list[str] = []  # the addresses that were asked for while it was away
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def attempt(self) -> Attempt:
        """Returns a new attempt with a token of its own."""
        made = Attempt(secrets.token_urlsafe(32))
        self.attempts[made.token] = made
        return made

    def of(self, attempt: Attempt, *names: str) -> list[Report]:
        """Returns the reports of an attempt that were taken, by their names."""
        with self.lock:
            return [one for one in self.reports if one.token == attempt.token and one.name in names and one.answered == 200]

    def end_of(self, attempt: Attempt) -> Report:
        """Waits for the report that ends an attempt, and returns it."""
        return eventually(lambda: self.of(attempt, "complete", "fail"))[0]

    # -- answers -----------------------------------------------------------------------------------------------------

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        jobwright = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                self._answer()

            def _answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if jobwright.away:
                    jobwright.missed.append(self.path)
                    self.close_connection = True
                    return
                status, body = jobwright.take(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        return Handler

    def take(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, Any]]:
        """Answers a request of a service."""
        with self.lock:
            if found := re.fullmatch("/api/callbacks/([^/]+)/([a-z]+)", path):
                return self._report(found[1], found[2], headers, raw)
            self.tokens.append(headers.get("authorization", ""))
            body = json.loads(raw)
            if method == "PUT" and path == "/api/services/contract-service/manifest":
                self.manifests.append(body)
                return 200, {"created": [job["name"] for job in body["jobs"]], "updated": [], "unchanged": [], "retired": []}
            if path == "/api/services/contract-service/heartbeat":
                self.heartbeats.append(body)
                return 200, {"ttlSeconds": 90}
            return 404, {"title": f"There is no {method} {path}"}

    def _report(self, token: str, name: str, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, Any]]:
        signed = self._is_signed(headers, raw)
        attempt = self.attempts.get(token)
        if attempt is None:
            status = 404
        elif attempt.answers:
            status = attempt.answers.pop(0)
        elif not signed:
            status = 401
        else:
            status = 409 if attempt.over else 200
        self.reports.append(Report(token, name, json.loads(raw), headers, signed, status))
        if attempt is not None and status == 200 and name in {"complete", "fail"}:
            attempt.over = True
        return status, {"status": "cancelling" if attempt is not None and attempt.cancelling else "running"}

    def _is_signed(self, headers: dict[str, str], raw: bytes) -> bool:
        for key in self.keys:
            try:
                Webhook(key).verify(raw, headers, json_parse=False)
            except WebhookVerificationError:
                continue
            return True
        return False


class Program:
    """A service that runs as a process of its own, and registers with the Jobwright at `jobwright`."""

    def __init__(self, command: list[str], jobwright: str, folder: Path, **settings: str) -> None:
        port = free_port()
        folder.mkdir(exist_ok=True)
        self.journal = folder / "journal"
        self.journal.touch()
        self.address = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'clients/python/src'}{os.pathsep}{ROOT}",
            "JOBWRIGHT_URL": jobwright,
            "JOBWRIGHT_SERVICE_ADDRESS": self.address,
            "JOBWRIGHT_INSTANCE_ADDRESS": self.address,
            "JOBWRIGHT_GRACE_SECONDS": "20",
            "JOURNAL": str(self.journal),
            "PORT": str(port),
            **settings,
        }
        words = [sys.executable if word == "python" else word.replace("{port}", str(port)) for word in command]
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=ROOT)
        self.client = httpx.Client(base_url=self.address, timeout=60)

    def answers(self) -> bool:
        """Returns whether the service takes requests. Fails if its process has ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get("/health").status_code < 500
        except httpx.TransportError:
            return False

    def effects(self, execution: str) -> int:
        """Returns how often the work of an execution was done."""
        return sum(line.split()[0] == execution for line in self.journal.read_text().splitlines())

    def callback(self, execution: str, attempt: int | None = None) -> str:
        """Waits until the work of an attempt has begun here, by default of any, and returns the address of its reports."""

        def begun() -> list[str]:
            """The addresses in the journal."""
            lines = [line.split() for line in self.journal.read_text().splitlines()]
            return [url for name, number, url in lines if name == execution and attempt in {None, int(number)}]

        return eventually(begun)[0]

    def send(self, job: str, body: str | bytes, headers: dict[str, str], key: str = "x") -> httpx.Response:
        """Sends a call as it is."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, **headers}
        return self.client.post(f"/api/jobs/{job}/execute", content=body, headers=headers)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Waits for the end of the process."""
        return self.process.wait(120)

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class CalledProgram(Program):
    """A program that is registered with a FakeJobwright, and called by the tests."""

    def __init__(self, command: list[str], jobwright: FakeJobwright, folder: Path, **settings: str) -> None:
        own = {"JOBWRIGHT_TOKEN": TOKEN, "JOBWRIGHT_SIGNING_KEYS": " ".join(jobwright.keys)}
        super().__init__(command, jobwright.address, folder, **own, **settings)
        self.jobwright = jobwright

    def wait_ready(self) -> CalledProgram:
        """Waits until the service answers, is registered, and has said that it is ready."""
        eventually(lambda: self.answers() and self.jobwright.heartbeats)
        return self

    def call(
        self, job: str, execution: str, config: dict[str, Any] | None = None, *, attempt: int = 1, callback: Attempt | None = None
    ) -> httpx.Response:
        """Calls a job as Jobwright does, signed with both keys, and returns the answer."""
        body = self.body(job, execution, config, attempt=attempt, callback=callback)
        return self.send(job, body, self.signed(body, f"{execution}:{attempt}"), execution)

    def body(
        self, job: str, execution: str, config: dict[str, Any] | None = None, *, attempt: int = 1, callback: Attempt | None = None
    ) -> str:
        """Returns the body of a call."""
        call: dict[str, Any] = {
            "jobName": job,
            "config": config or {},
            "executionId": execution,
            "triggeredBy": "scheduler",
            "triggeredByUser": None,
            "attempt": attempt,
            "later": {"a member": "that nobody knows"},
        }
        if callback is not None:
            deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            url = f"{self.jobwright.address}/api/callbacks/{callback.token}"
            call["callback"] = {"url": url, "token": callback.token, "heartbeatSeconds": 1, "deadline": deadline}
        return json.dumps(call)

    def signed(self, body: str, message: str, *, seconds: int = 0, keys: list[str] | None = None) -> dict[str, str]:
        """Returns the headers of a call that is signed with these keys, at a time in the past or future."""
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        signatures = [Webhook(key).sign(message, moment, body) for key in (self.jobwright.keys if keys is None else keys)]
        return {"webhook-id": message, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": " ".join(signatures)}

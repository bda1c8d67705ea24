"""What tests share: waiting for a condition, a signed-in client, servers that are real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from app.accounts.model import Scope
from tests.commands import Forked, jobwright

T = TypeVar("T")

KINDS = Path(__file__).parent / "kinds"
# Kinds made for tests leave marks in the test's own folder; a run under coverage leaves its data in the project's.
JOB_PATHS = (tempfile.gettempdir(), *([str(Path(__file__).parents[1])] if "COVERAGE_PROCESS_CONFIG" in os.environ else []))
PASSWORD = "correct horse battery"
KEY = "0Q2mBv8sLx4TzK7nWd1RfYj5HcGp3AeU6iVo9bNt"  # random; of tests alone
OTHER_KEY = "Xk3JqZ8vR1nM6wTfC0sYh7LbD4gPa9EuV2oKi5Wj"
ADMIN = "admin@example.com"


# How long a test waits for what comes in its own time. It says nothing about how fast that is: a busy machine is no failure.
PATIENCE_SECONDS = 180.0


def eventually(condition: Callable[[], T], *, seconds: float = PATIENCE_SECONDS, every: float = 0.02) -> T:
    """Waits for a condition and returns its first true value. Fails after `seconds`: give them only where the product promises a time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition}")
        time.sleep(every)


def alive(pid: int) -> bool:
    """True for a process that runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def seconds_of(rows: list[dict[str, Any]]) -> list[datetime]:
    """The due times that records stand for, summaries spelt out, for an every-second job."""
    found: list[datetime] = []
    for row in rows:
        missed = row.get("due_times")
        found += [missed["first"] + timedelta(seconds=n) for n in range(missed["count"])] if missed else [row["scheduled_for"]]
    return sorted(found)


class Service:
    """`jobwright serve`, `web`, `scheduler` or `worker`, perhaps with options, as a process of its own, with the test kinds installed.

    With `warm`, it is forked from a process that has imported the program (tests/commands.py), which takes a second less of the processor.
    """

    def __init__(self, command: str, *, uri: str, database: str, data_dir: Path, warm: bool = False, **settings: str) -> None:
        self.data_dir, self._token = data_dir, ""
        self.log = data_dir / f"{command.split()[0]}-{os.urandom(3).hex()}.log"
        data_dir.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_", "SCHEDULER_"))},
            "PYTHONPATH": str(KINDS),
            "JOBWRIGHT_DATABASE": database,
            "JOBWRIGHT_DATA_DIR": str(data_dir),
            "HOST": "127.0.0.1",
            "PORT": "0",
            "JOBWRIGHT_ADMIN_EMAIL": ADMIN,
            "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD,
            "JOBWRIGHT_LOG_FORMAT": "json",
            "JOBWRIGHT_RUNS_PER_HOUR": "100000",
            "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN": "100000",
            "JOBWRIGHT_API_RATE": "100000",
            "JOBWRIGHT_MAX_JOBS": "2000",
            "LOCK_TIMEOUT_SECONDS": "3",
            "JOBWRIGHT_JOB_PATHS": " ".join(JOB_PATHS),
            **settings,
        }
        if uri:
            self.environment["MONGODB_URI"] = uri
        self.process: subprocess.Popen[bytes] | Forked
        if warm and "LD_PRELOAD" not in settings:  # what the dynamic linker reads comes too late for a fork
            self.log.touch()
            self.process = Forked(self.environment, tuple(command.split()), out=self.log, err=self.log)
            return
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", *command.split()],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = PATIENCE_SECONDS) -> Service:
        eventually(lambda: self.event("service.ready") or self._fail_if_ended(), seconds=seconds)
        return self

    @property
    def address(self) -> str:
        return str(self.event("service.ready")["address"])

    def event(self, name: str) -> dict[str, Any]:
        return next((line for line in self.events() if line.get("event") == name), {})

    def events(self) -> list[dict[str, Any]]:
        import json

        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def stop(self, *, kill: bool = False) -> int:
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        return self.process.wait(60)

    def command(self, *words: str) -> str:
        """What another command says, run beside it."""
        return jobwright(self.environment, *words, check=True).stdout.strip()

    def token(self, email: str = ADMIN, *, scopes: Sequence[str] = ()) -> str:
        """Returns a new token; without `scopes`, one with the usual scopes of the owner."""
        return self.command("token", "create", "--user", email, "--name", "test", *(word for name in scopes for word in ("--scope", name)))

    def api(self) -> httpx.Client:
        """A REST client of the super-admin, whose token is made once and has all scopes."""
        self._token = self._token or self.token(scopes=[scope.value for scope in Scope])
        return self.client(self._token)

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_SECONDS)

    def _fail_if_ended(self) -> bool:
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
        return False


@contextmanager
def oidc_provider() -> Iterator[str]:
    """A real OpenID provider as a process (oidc-provider-mock), whose users say who they are: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{address}/.well-known/openid-configuration", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(answers)
        yield address
    finally:
        process.terminate()
        process.wait(10)

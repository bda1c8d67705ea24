"""A real nats-server with JetStream, started by the tests on a free port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import eventually

USERS = """
authorization { users: [
  { user: boss, password: boss-password }
  { user: jobs, password: jobs-password, permissions: { publish: ["jobs.>", "$JS.API.>"], subscribe: ["_INBOX.>"] } }
] }
"""


class NatsServer:
    """One server, which may be stopped and started again: it keeps its port and its streams."""

    def __init__(self, folder: Path, *, config: str = "", jetstream: bool = True) -> None:
        self._binary = nats_server()
        self._folder, self.port = folder, free_port()
        stored = f'jetstream {{ store_dir: "{folder / "streams"}" }}\n' if jetstream else ""
        (folder / "nats.conf").write_text(f"listen: 127.0.0.1:{self.port}\n{stored}{config}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        self._process = process = subprocess.Popen(
            [self._binary, "-c", str(self._folder / "nats.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def listens() -> bool:
            assert process.poll() is None
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        eventually(listens)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it; with SIGKILL as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, such as SIGSTOP: then it is there and says nothing."""
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running_nats(folder: Path, *, config: str = "", jetstream: bool = True) -> Iterator[NatsServer]:
    """A server that runs, and is ended at the end."""
    server = NatsServer(folder, config=config, jetstream=jetstream)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def nats_server() -> str:
    """The path of the program. Without one the test is skipped; in CI it fails."""
    path = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no nats-server: CI must have one")
        pytest.skip("no nats-server: apt-get install nats-server")
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

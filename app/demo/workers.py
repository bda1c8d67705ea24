"""Celery workers for the demo, with a Redis of their own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.broker.base import require_celery
from app.demo.servers import WAIT_SECONDS, free_port
from app.demo.surprise import must

WORKERS = 2


@contextmanager
def redis_server(folder: Path) -> Iterator[Mapping[str, str]]:
    """Runs a redis-server on a free port. Yields the settings by which Jobwright uses it. Raises Surprise, or StartError without Celery."""
    require_celery()
    program = shutil.which("redis-server")
    must(program, "the demo with Celery needs redis-server (Debian and Ubuntu: sudo apt-get install redis-server)")
    port = free_port()
    folder.mkdir()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as stream:
        process = subprocess.Popen([str(program), *options], stdout=stream, stderr=stream)  # noqa: S603 - the server of this demo
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _listens(port):
            must(
                process.poll() is None and time.monotonic() < deadline, f"redis-server did not start:\n{(folder / 'redis.log').read_text()}"
            )
            time.sleep(0.05)
        yield {"JOBWRIGHT_EXECUTOR": "celery", "CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0"}
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def workers(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Runs WORKERS times `jobwright worker`, and ends them. Raises Surprise if one does not end well."""
    command = [sys.executable, "-m", "app.cli", "worker"]
    running = []
    for number in range(WORKERS):
        log = folder / f"worker-{number + 1}.log"
        with log.open("wb") as stream:
            running.append((log, subprocess.Popen(command, env=dict(environment), stdout=stream, stderr=stream)))  # noqa: S603 - ourselves
    try:
        yield
    finally:
        for _, process in running:
            process.send_signal(signal.SIGTERM)
        codes = [(log, process.wait(60)) for log, process in running]
    for log, code in codes:
        must(code == 0, f"a worker stopped with code {code}:\n{log.read_text()[-2000:]}")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

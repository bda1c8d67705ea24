"""The example service of the client library: registers its jobs with the demo's Jobwright, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "clients/python"
JOB = "weekly-digest"


def has_example() -> bool:
    """Returns whether this is a checkout, which has the client library. An installed Jobwright has not."""
    return (CLIENT / "examples/email_service.py").exists()


@contextmanager
def example_service(address: str, token: str, port: int, folder: Path) -> Iterator[Path]:
    """Runs the example service on a port. Yields the file of its log."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("JOBWRIGHT_")},
        "PYTHONPATH": str(CLIENT / "src"),
        "PORT": str(port),
        "JOBWRIGHT_URL": address,
        "JOBWRIGHT_TOKEN": token,
        "JOBWRIGHT_SERVICE_ADDRESS": f"http://127.0.0.1:{port}",
        "JOBWRIGHT_GRACE_SECONDS": "2",
    }
    output = folder / "example.log"
    with output.open("wb") as stream:
        command = [sys.executable, str(CLIENT / "examples/email_service.py")]
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)  # noqa: S603 - ourselves
    try:
        yield output
    finally:
        process.terminate()
        process.wait(60)

"""A machine on which the commands of guides are run: a real Jobwright, and stand-ins for tools that a test cannot use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.mongo import connect
from tests.support import ADMIN, KEY, KINDS, PASSWORD, eventually

ROOT = Path(__file__).parents[3]
STANDING_IN = ("systemctl", "docker", "kubectl", "journalctl")
STUB, WARM = Path(__file__).with_name("stub.py"), Path(__file__).with_name("warm.py")


@dataclass
class Machine:
    """A machine on which the service runs: a home, backups, and the tools that the guides use."""

    home: Path
    environment: dict[str, str]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a script; the first command that fails ends it."""
        for name, here in (
            ("/var/backups/jobwright", str(self.home / "backups")),
            ("https://jobs.example.com", self.environment["SERVER"]),
            ("old_shop", f"{self.environment['JOBWRIGHT_DATABASE']}_old"),
        ):
            script = script.replace(name, here)
        words = ["bash", "-c", f"set -Eeuo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n{script}"]
        return subprocess.run(words, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def machine_of(mongod: str, tmp_path: Path) -> Iterator[Machine]:
    """Yields a machine on which Jobwright runs with a database of its own."""
    database_name = f"t_{uuid.uuid4().hex[:16]}"
    tools, home, state = tmp_path / "bin", tmp_path / "home", tmp_path / "state"
    for folder in (tools, home / "backups", home / ".config/jobwright", state):
        folder.mkdir(parents=True)
    program = str(state / "program.socket")
    scripts = {"jobwright": f'exec {sys.executable} -S {WARM} run {program} "$@"'}
    scripts |= {name: f'exec {sys.executable} -S {STUB} {name} "$@"' for name in STANDING_IN}
    packages = state / "packages"
    quiet = "--quiet --disable-pip-version-check --no-deps --no-build-isolation --upgrade"
    scripts |= {
        "pip": f'shift; exec {sys.executable} -m pip install {quiet} --target {packages} "$@"',
        "python": f'exec {sys.executable} "$@"',
    }
    for name, line in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": f"{packages}:{ROOT}:{KINDS}",
        "HOME": str(home),
        "GUIDE_STATE": str(state),
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": database_name,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_ADMIN_EMAIL": ADMIN,
        "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD,
        "JOBWRIGHT_LOG_FORMAT": "json",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "SERVER": f"http://127.0.0.1:{port}",
    }
    forking = subprocess.Popen([sys.executable, str(WARM), "serve", program], env={**os.environ, "PYTHONPATH": f"{ROOT}:{KINDS}"})
    eventually(lambda: Path(program).exists() and forking.poll() is None)
    made = Machine(home, environment)
    begun = made.run(
        "systemctl start jobwright-scheduler\n"
        f"jobwright token create --user {ADMIN} --name guide --scope read --scope write --scope run --scope admin > .config/jobwright/token"
    )
    assert begun.returncode == 0, begun.stderr
    yield made
    made.run("systemctl stop jobwright-scheduler")
    forking.kill()
    forking.wait()
    with connect(mongod) as client:
        for name in client.list_database_names():
            if name.startswith((database_name, "jobwright_test")):
                client.drop_database(name)

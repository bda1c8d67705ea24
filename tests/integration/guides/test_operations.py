"""Every command of the guides for operators, run in order against a real installation.

Blocks of `sh` in a guide are one script, which must not fail. Blocks of `js` are commands for the shell of MongoDB, which run against the
real server. `systemctl`, `docker`, `kubectl` and `journalctl` are stand-ins that check the names (stub.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.mongo import connect
from tests.support import ADMIN, KEY, KINDS, PASSWORD, eventually

ROOT = Path(__file__).parents[3]
GUIDES = ("operate", "back-up", "upgrade", "troubleshoot", "capacity")
SHORT_MEASURE = f"(cd {ROOT} && N=3 COPIES=1000 {sys.executable} -m tests.bench.capacity)"
STANDING_IN = ("systemctl", "docker", "kubectl", "journalctl")
STUB, WARM = Path(__file__).with_name("stub.py"), Path(__file__).with_name("warm.py")


def blocks(guide: str, kind: str) -> list[str]:
    """The blocks of code of one kind in a guide, without their indent."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", (ROOT / f"docs/how-to/{guide}.md").read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


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
        ):
            script = script.replace(name, here)
        words = ["bash", "-c", f"set -Eeuo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n{script}"]
        return subprocess.run(words, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def machine(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    tmp_path, database_name = tmp_path_factory.mktemp("machine"), f"t_{uuid.uuid4().hex[:16]}"
    tools, home, state = tmp_path / "bin", tmp_path / "home", tmp_path / "state"
    for folder in (tools, home / "backups", home / ".config/jobwright", state):
        folder.mkdir(parents=True)
    program = str(state / "program.socket")
    scripts = {"jobwright": f'exec {sys.executable} -S {WARM} run {program} "$@"'}
    scripts |= {name: f'exec {sys.executable} -S {STUB} {name} "$@"' for name in STANDING_IN}
    for name, line in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{KINDS}",
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


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_of_the_guide_works(machine: Machine, guide: str, mongod: str) -> None:
    script = "\n".join(blocks(guide, "sh"))
    done = machine.run(script.replace(".venv/bin/python -m tests.bench.capacity", SHORT_MEASURE))
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    with connect(mongod) as client:
        for line in "".join(blocks(guide, "js")).splitlines():
            target, command = re.fullmatch(r"db\.(adminCommand|runCommand)\((.*)\)", line).groups()  # type: ignore[union-attr]
            database = client.admin if target == "adminCommand" else client[machine.environment["JOBWRIGHT_DATABASE"]]
            assert database.command(json.loads(command))["ok"] == 1


def test_the_guides_name_only_commands_and_options_that_exist() -> None:
    """Commands in running text are not run. Those of `jobwright` must be known, with each of their options."""
    reference = (ROOT / "docs/reference/cli.md").read_text()
    for guide in (*GUIDES, "rotate-keys"):
        text = (ROOT / f"docs/how-to/{guide}.md").read_text()
        for named in re.findall(r"`jobwright ([^`\n]+)`", text):
            words = [word for word in named.split() if re.fullmatch(r"[a-z]+", word)]
            rows = [row for row in reference.splitlines() if re.match(rf"\| `jobwright {words[0]}\b", row)]
            assert rows, f"{guide}: {named}"
            options = re.findall(r"--[a-z-]+", named)
            assert any(all(option in row for option in options) for row in rows), f"{guide}: {named}"


@pytest.mark.parametrize("tool", ["bash", "curl", "openssl", "find"])
def test_the_tools_are_installed(tool: str) -> None:
    assert shutil.which(tool)

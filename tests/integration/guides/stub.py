"""Stands in for `systemctl`, `docker`, `kubectl` and `journalctl` while a guide is run: `python stub.py TOOL ARGUMENT…`.

The names of units, services and deployments must exist in deploy/ and compose.yaml. `systemctl` really starts and stops `jobwright serve`,
which does the work of the units jobwright-web and jobwright-scheduler.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[3]
STATE = Path(os.environ["GUIDE_STATE"])
UNITS = {path.stem.rstrip("@") for path in (ROOT / "deploy/systemd").glob("*.service")}
SERVICES = set(re.findall(r"^  ([a-z-]+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE))
MANIFESTS = "\n".join(path.read_text() for path in sorted((ROOT / "deploy/kubernetes").rglob("*.yaml")))
DEPLOYMENTS = set(re.findall(r"^kind: Deployment\n(?:[^\n]*\n)*?  name: ([a-z-]+)$", MANIFESTS, re.MULTILINE))
SERVER = "jobwright-scheduler"  # stopping or starting this unit stops or starts the server
SECONDS = 120.0


def main() -> int:
    """Checks a command, and carries it out if it is one of `systemctl`. Returns the exit code."""
    tool, *words = sys.argv[1:]
    plain = [word for word in words if not word.startswith("-")]
    if tool == "systemctl":
        action, units = plain[0], plain[1:]
        _require({unit.removesuffix(".service") for unit in units}, UNITS or {"jobwright-web", "jobwright-scheduler"}, tool)
        if SERVER in units and action in {"stop", "restart"}:
            _stop()
        if SERVER in units and action in {"start", "restart"}:
            _start()
    elif tool == "journalctl":
        _require({words[words.index("--unit") + 1]}, UNITS or {"jobwright-scheduler"}, tool)
    elif tool == "docker":
        named = {word.partition("=")[0] for word in plain[2:] if re.fullmatch(r"[a-z-]+(=[0-9]+)?", word)}
        assert plain[0] == "compose", words
        _require(named, SERVICES, tool)
    elif tool == "kubectl":
        _require({word.partition("/")[2] for word in plain if word.startswith("deployment/")}, DEPLOYMENTS, tool)
    return 0


def _require(named: set[str], existing: set[str], tool: str) -> None:
    if not named or not named <= existing:
        sys.exit(f"{tool}: {sorted(named)} should be among {sorted(existing)}")


def _stop() -> None:
    pid = int((STATE / "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _start() -> None:
    with (STATE / "server.log").open("ab") as log:
        process = subprocess.Popen(["jobwright", "serve"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    (STATE / "pid").write_text(str(process.pid))
    deadline = time.monotonic() + SECONDS
    while not _is_ready():
        assert process.poll() is None, (STATE / "server.log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORT']}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())

"""Runs the program fast: each command, and each service, is forked from a process that has imported the program already.

That spares the second of processor time that an interpreter takes to import it. tests/integration/test_start.py and the tests of security
start `python -m app.cli` itself.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

LONGEST_SECONDS = 180.0
PROGRAM = ["app.cli", "app.process", "app.factory", "app.api", "app.exchange.service", "app.webserver", "web", __name__]
_context: ForkServerContext | None = None


class Forked:
    """A process of the program, with what tests use of subprocess.Popen."""

    def __init__(self, environment: Mapping[str, str], words: tuple[str, ...], *, out: Path, err: Path) -> None:
        global _context
        if _context is None:
            _context = multiprocessing.get_context("forkserver")
            _context.set_forkserver_preload(PROGRAM)
        self._process = _context.Process(target=_run, args=(dict(environment), words, str(out), str(err)))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


def jobwright(environment: Mapping[str, str], *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a command of `jobwright` in a process and an environment of its own, and returns what subprocess.run would.

    With `check`, a command that fails raises AssertionError.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = Forked(environment, words, out=out, err=err)
        try:
            code = process.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        done = subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _run(environment: dict[str, str], words: tuple[str, ...], out: str, err: str) -> None:
    """What the forked process does: a session, an environment and outputs of its own, then the command."""
    os.setsid()
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["jobwright", *words]

    from app.cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

"""Runs commands of the command line fast: each is forked from a process that has imported the program already.

tests/integration/test_start.py tests that `python -m app.cli` itself starts, and how it reports a wrong call.
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

LONGEST_SECONDS = 60.0
_context: ForkServerContext | None = None


def jobwright(environment: Mapping[str, str], *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a command of `jobwright` in a process and an environment of its own, and returns what subprocess.run would.

    With `check`, a command that fails raises AssertionError.
    """
    global _context
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(["app.cli", "app.factory", "app.exchange.service", __name__])
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _context.Process(target=_command, args=(dict(environment), words, str(out), str(err)))
        process.start()
        process.join(LONGEST_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, LONGEST_SECONDS)
        done = subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _command(environment: dict[str, str], words: tuple[str, ...], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
    sys.argv = ["jobwright", *words]

    from app.cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

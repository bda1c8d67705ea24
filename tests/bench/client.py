"""Figures of the client library: how long its import takes, and how large its wheel is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[2] / "clients/python"
PROGRAM = (
    f"import sys, time; sys.path.insert(0, {str(PACKAGE / 'src')!r})\n"
    "began = time.perf_counter(); import jobwright_client; print((time.perf_counter() - began) * 1000)"
)

Row = Callable[..., None]


def client(row: Row) -> None:
    """Prints the figures. The import is measured in an interpreter that has imported nothing but its own start."""
    times = [float(subprocess.run([sys.executable, "-I", "-S", "-c", PROGRAM], capture_output=True, check=True).stdout) for _ in range(15)]
    row("client library: import, median of 15 processes", median(times), "ms", 50.0, more_is_better=False)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "package"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, str(copy)]
        subprocess.run(words, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        row("client library: size of its wheel", wheel.stat().st_size / 1000, "kB", 200.0, more_is_better=False)

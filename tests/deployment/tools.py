"""Where the tools that check deployments are, and what deployments say about settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from app.config import SERVICE_URL, Settings
from tests.unit.project.sources import ROOT

DEPLOY = ROOT / "deploy"
TOOLS = ROOT / ".venv" / "deployment-tools" / "bin"
DRAIN_SLACK = 10  # seconds that a node needs beside JOBWRIGHT_DRAIN_SECONDS (docs/how-to/operate.md)
SETTINGS = {item.metadata["name"] for item in fields(Settings)}


def tool(name: str, *, package: str = "") -> str:
    """Returns the path of a tool, from `make setup-tests` or else PATH. In CI a missing one fails, elsewhere it skips the test."""
    found = str(TOOLS / name) if (TOOLS / name).exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        advice = f"no {name}: {f'apt-get install {package}' if package else 'run make setup-tests'}"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    return found


def run(*words: str | Path, **environment: str) -> str:
    """Runs a tool and returns what it printed. A tool that fails fails the test with its words."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=180, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def unknown_settings(names: Iterable[str]) -> set[str]:
    """Returns those of the variables that look like settings of Jobwright and are none: a misspelt one would do nothing."""
    plain = {name.removesuffix("_FILE") for name in names if not name.startswith("OTEL_")}  # of OpenTelemetry (docs/how-to/traces.md)
    return {name for name in plain if name not in SETTINGS and not name.endswith(SERVICE_URL)}

"""Set-up says what it does in numbered steps, and what went wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.project.sources import ROOT


def program(path: Path, *lines: str) -> None:
    """A program of a few lines of shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose tools do nothing."""
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "setup.sh")
    (tmp_path / "requirements.lock").write_text("a==1 \\\nb==2 \\\n")
    program(tmp_path / "scripts" / "system-packages.sh", "exit 0")
    program(tmp_path / "python", 'if [ "$1" = -m ]; then mkdir -p .venv/bin && cp -n python .venv/bin/python; fi')
    return tmp_path


def set_up(project: Path) -> tuple[int, list[str]]:
    done = subprocess.run(["./setup.sh", "./python"], cwd=project, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_it_says_its_steps_and_how_long_it_took(project: Path) -> None:
    code, told = set_up(project)
    assert code == 0
    assert told[0].startswith("Setting up Jobwright in .venv, once. It takes one to two minutes")
    assert [line.strip()[:3] for line in told[1:-1]] == ["1/4", "2/4", "3/4", "4/4"]
    assert "install 2 Python packages" in told[3]
    assert told[-1].startswith("Set-up took ")


def test_a_step_that_fails_shows_what_it_said(project: Path) -> None:
    program(project / "scripts" / "system-packages.sh", "echo Install: libcurl4", "exit 1")
    code, told = set_up(project)
    assert code == 1
    assert told[-2:] == ["Install: libcurl4", "Set-up failed in this step: 1/4 Check system packages"]


def test_a_python_that_is_too_old_is_named(project: Path) -> None:
    program(project / "python", 'test "$1" = --version && echo Python 3.9.2', "exit 1")
    code, told = set_up(project)
    assert code == 1
    assert told == [
        "Jobwright needs Python 3.11 or newer. ./python is Python 3.9.2. Name another one: make setup PYTHON=python3.12",
    ]

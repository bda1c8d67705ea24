"""The systemd units: accepted by systemd, hardened, and with time to drain."""

from __future__ import annotations

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from app.config import load_settings
from tests.deployment.tools import DEPLOY, DRAIN_SLACK, run, tool, unknown_settings

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/jobwright/bin/jobwright"
MOST_EXPOSURE = 26  # tenths of what `systemd-analyze security` calls the exposure level; docs/how-to/deploy.md states it
RUNNING = [unit for unit in UNITS if "migrate" not in unit.name]


class Unit(ConfigParser):
    """A unit file, read as far as no name stands twice in a section but Environment."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(path)


def settings() -> dict[str, str]:
    text = (DEPLOY / "systemd" / "jobwright.env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture
def copied(tmp_path: Path) -> list[Path]:
    """The units with a program that is there, as an installation has it."""
    for unit in UNITS:
        (tmp_path / unit.name.replace("@", "@1")).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return sorted(tmp_path.iterdir())


def test_systemd_accepts_the_units_and_finds_them_hardened(copied: list[Path]) -> None:
    analyze = tool("systemd-analyze", package="systemd")
    done = subprocess.run([analyze, "verify", "--man=no", *copied], capture_output=True, text=True, check=False, timeout=120)
    ours = [line for line in done.stderr.splitlines() if "jobwright" in line]
    assert ours == []
    for unit in copied:
        run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit)
    assert f"{MOST_EXPOSURE / 10:.1f}" in (DEPLOY.parent / "docs" / "how-to" / "deploy.md").read_text()


def test_a_bad_unit_is_noticed(copied: list[Path]) -> None:
    analyze, unit = tool("systemd-analyze", package="systemd"), copied[0]
    unit.write_text(
        re.sub(r"^(ProtectSystem|CapabilityBoundingSet|SystemCallFilter)=.*\n", "", unit.read_text(), flags=re.M) + "\nUnknown=1\n"
    )
    weak = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}", unit], capture_output=True, check=False
    )
    assert weak.returncode != 0
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert "Unknown" in verified.stderr


def test_settings_are_known_and_accepted(tmp_path: Path) -> None:
    given = settings()
    assert unknown_settings(given) == set()
    for name, path in given.items():
        if name.endswith("_FILE"):
            assert path.startswith(f"{given['JOBWRIGHT_DATA_DIR']}/secret.files/"), "where jobs cannot read it"
            (tmp_path / Path(path).name).write_text("0Q2mBv8sLx4TzK7nWd1RfYj5HcGp3AeU")
            given[name] = str(tmp_path / Path(path).name)
    load_settings(given)


@pytest.mark.parametrize("unit", RUNNING, ids=lambda unit: unit.name)
def test_a_unit_starts_on_a_migrated_database_and_has_time_to_drain(unit: Path) -> None:
    parsed, given = Unit(unit), settings()
    assert given["JOBWRIGHT_MIGRATE"] == "never"
    assert "jobwright-migrate.service" in parsed["Unit"]["Requires"]
    assert "jobwright-migrate.service" in parsed["Unit"]["After"]
    service = parsed["Service"]
    assert service["ExecStart"].startswith(f"{PROGRAM} ")
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "78")
    if "web" in unit.name:
        return
    assert int(service["TimeoutStopSec"]) >= float(given["JOBWRIGHT_DRAIN_SECONDS"]) + DRAIN_SLACK
    assert (service["KillMode"], service["OOMPolicy"], service["Delegate"]) == ("mixed", "continue", "yes")
    assert service["Environment"].startswith("JOBWRIGHT_HEALTH_PORT=")

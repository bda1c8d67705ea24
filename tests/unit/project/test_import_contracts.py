"""The import contracts of pyproject.toml: their lists are complete, and each of them catches a forbidden import."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS: dict[str, dict[str, Any]] = {one["name"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}

# One forbidden import for each contract: the file that gets it, and the import.
BREACHES = {
    "The stages of a job import one way": ("app/audit/model.py", "import app.jobs.model"),
    "Templates know nothing of the service": ("templates_lib/cells.py", "import flask"),
    "Kinds of job do not import each other": ("templates_lib/report_generation/template.py", "import templates_lib.backup.template"),
    "APScheduler has one door": ("app/bulk/service.py", "import apscheduler"),
    "NATS is spoken by its connection and its template alone": ("app/notification/mail.py", "import nats"),
    "The form generator is pure": ("web/forms/field.py", "import flask"),
    "What all pages share imports no page": ("web/filters.py", "import web.views.common"),
    "The parent of job processes holds no door to the registry's database": ("app/sandbox/zygote.py", "import app.mongo"),
}


def lint(folder: Path) -> str:
    """What lint-imports prints for the project in `folder`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(folder)}).stdout


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports prints for a copy of the project that has every forbidden import."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PROJECT["tool"]["importlinter"]["root_packages"]:
        shutil.copytree(ROOT / package, folder / package, ignore=lambda at, names: [one for one in names if not _is_code(Path(at) / one)])
    for file, line in BREACHES.values():
        with (folder / file).open("a") as code:
            code.write(f"\n{line}\n")
    return lint(folder)


def _is_code(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")


def test_every_contract_has_a_breach_here() -> None:
    assert set(BREACHES) == set(CONTRACTS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_forbidden_import_breaks_its_contract(name: str, broken: str) -> None:
    assert f"{name} BROKEN" in broken


def test_every_stage_of_the_service_has_its_layer() -> None:
    """A new folder or module of app/ must say where it stands."""
    layers = {one.strip() for row in CONTRACTS["The stages of a job import one way"]["layers"] for one in row.split("|")}
    there = {
        f"app.{path.stem}" for path in (ROOT / "app").iterdir() if _is_code(path) and path.stem != "__init__" and path.stem != "locale"
    }
    assert there <= layers


def test_every_template_is_kept_from_importing_the_others() -> None:
    points = PROJECT["project"]["entry-points"]["jobwright.templates"].values()
    kinds = {point.partition(".template:")[0] for point in points}
    assert kinds == set(CONTRACTS["Kinds of job do not import each other"]["modules"])

"""The import contracts of pyproject.toml: their lists are complete, and each of them catches a forbidden import."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.project.sources import sources

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS: dict[str, dict[str, Any]] = {one["name"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}

# One forbidden import for each contract: the file that gets it, and the import.
BREACHES = {
    "The stages of a job import one way": ("app/audit/model.py", "import app.jobs.model"),
    "Templates know nothing of the service": ("templates_lib/cells.py", "import flask"),
    "Kinds of job do not import each other": ("templates_lib/report_generation/template.py", "import templates_lib.backup.template"),
    "APScheduler has one door": ("app/bulk/service.py", "import apscheduler"),
    "NATS has one door": ("templates_lib/message_command/template.py", "import nats"),
    "Jobwright does not need its client library": ("app/samples/service.py", "import jobwright_client"),
    "Celery has one door": ("app/node/runner.py", "import celery"),
    "Apprise has one door": ("app/notification/sending.py", "import apprise"),
    "OpenTelemetry has one door": ("app/node/sweeper.py", "import opentelemetry"),
    "Faces import no store": ("app/api/exchange/routes.py", "import app.jobs.list_store"),
    "The form generator is pure": ("web/forms/field.py", "import app.clock"),
    "What all pages share imports no page": ("web/filters/texts.py", "import web.views.common"),
    "The sandbox has no door to the registry's database": ("app/sandbox/handles.py", "import app.mongo"),
    "Job processes import nothing of the service but the sandbox": ("app/sandbox/child.py", "import app.events"),
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


def _stages() -> set[str]:
    """Every module of the service that the contract of the layers names."""
    layers = CONTRACTS["The stages of a job import one way"]["layers"]
    return {name.strip() for row in layers for name in row.split("|")} - {"web", "templates_lib"}


def test_every_contract_has_a_breach_here() -> None:
    assert set(BREACHES) == set(CONTRACTS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_forbidden_import_breaks_its_contract(name: str, broken: str) -> None:
    assert f"{name} BROKEN" in broken


def test_every_stage_of_the_service_has_its_layer() -> None:
    """A new folder or module of app/ must say where it stands."""
    modules = {f"app.{path.stem}" for path in (ROOT / "app").iterdir() if _is_code(path) and path.stem != "__init__"}
    assert modules == _stages()


def test_the_stores_that_faces_must_not_import_are_all_that_there_are() -> None:
    modules = {path.relative_to(ROOT).with_suffix("") for path in sources("app")}
    stores = {path.as_posix().replace("/", ".") for path in modules if path.name == "store" or path.name.endswith("_store")}
    assert stores == set(CONTRACTS["Faces import no store"]["forbidden_modules"])


def test_the_form_generator_may_use_only_the_ground() -> None:
    forbidden = set(CONTRACTS["The form generator is pure"]["forbidden_modules"])
    assert _stages() - forbidden == {"app.durations", "app.errors", "app.instants", "app.validation", "app.zones"}
    assert forbidden - _stages() == {"flask", "pymongo"}


def test_what_all_pages_share_is_every_module_of_the_web_but_its_pages() -> None:
    shared = set(CONTRACTS["What all pages share imports no page"]["source_modules"])
    modules = {f"web.{path.stem}" for path in (ROOT / "web").iterdir() if _is_code(path) and path.stem != "__init__"}
    assert modules - shared - {"web.locale", "web.templates", "web.static", "web.help"} == {"web.refusals", "web.setup", "web.views"}


@pytest.mark.parametrize(
    ("library", "doors"),
    [
        ("apscheduler", {"app.node.ticks"}),
        ("nats", {"templates_lib.connections.nats", "templates_lib.connections.nats_client", "app.integrations.nats.connection"}),
        ("celery", {"app.broker.celery_app", "app.broker.consumer"}),
        ("kombu", {"app.broker.celery_app"}),
        ("opentelemetry", {"app.traces.otlp"}),
        ("apprise", {"app.notification.channels.apprise.child"}),
    ],
)
def test_a_library_with_one_door_is_imported_there_and_nowhere_else(library: str, doors: set[str]) -> None:
    """The contract lists the door by hand; this finds every module that imports the library, at its head or in a function."""
    importers = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sources("app", "web", "templates_lib", "migrations_scripts")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(name.name.partition(".")[0] == library for name in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == library)
    }
    assert importers == doors


def test_every_template_is_kept_from_importing_the_others() -> None:
    points = PROJECT["project"]["entry-points"]["jobwright.templates"].values()
    kinds = {point.partition(".template:")[0] for point in points}
    assert kinds == set(CONTRACTS["Kinds of job do not import each other"]["modules"])

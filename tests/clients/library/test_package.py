"""The package stands alone: it imports only the standard library, is read by old Pythons, and its README and wheel are right."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
from jobwright_client.settings import Settings
from jobwright_client.testing import Jobwright

PACKAGE = Path(__file__).parents[3] / "clients/python"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))
PROJECT: dict[str, Any] = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
README = (PACKAGE / "README.md").read_text()
DOCS = PACKAGE.parents[1] / "docs"
PAGES = ["tutorial/write-a-service.md", "de/tutorial/write-a-service.md", "how-to/client-library.md", "de/how-to/client-library.md"]


class _WithoutTypeChecking(ast.NodeTransformer):
    """Drops what only type checkers read; they know typing_extensions by themselves."""

    def visit_If(self, node: ast.If) -> Any:
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def test_it_needs_no_other_package() -> None:
    assert PROJECT["project"]["dependencies"] == []
    roots = {
        name.partition(".")[0]
        for path in SOURCES
        for node in ast.walk(_WithoutTypeChecking().visit(ast.parse(path.read_text())))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert roots - set(sys.stdlib_module_names) == {"jobwright_client"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_its_syntax_is_that_of_the_oldest_python(path: Path) -> None:
    version = tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
    assert version == (3, 9)
    ast.parse(path.read_text(), feature_version=version)
    assert "from __future__ import annotations" in path.read_text() or path.stem == "__init__"


def test_importing_it_does_not_import_what_takes_long() -> None:
    late = ["asyncio", "urllib.request", "http.client", "ssl", "sqlite3", "email", "uuid", "wsgiref", "socketserver", "concurrent.futures"]
    program = f"import sys, jobwright_client; print([name for name in {late} if name in sys.modules])"
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE / 'src')!r}); {program}"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_wheel_has_its_types_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(copy)]
    subprocess.run(words, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"jobwright_client/{path.name}" for path in SOURCES} | {"jobwright_client/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"jobwright_client", "jobwright_client-0.1.0.dist-info"}
    metadata = zipfile.ZipFile(wheel).read("jobwright_client-0.1.0.dist-info/METADATA").decode()
    assert "Requires-Dist" not in metadata
    assert "Requires-Python: >=3.9" in metadata


def run(block: str, values: dict[str, Any]) -> None:
    exec(compile(block, "README.md", "exec"), values)  # noqa: S102 - the page's own code


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_code_of_the_readme_runs_in_the_order_in_which_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBWRIGHT_URL", "JOBWRIGHT_TOKEN", "JOBWRIGHT_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("jobwright_client.Service.drain_on_sigterm", lambda self: None)
    monkeypatch.setattr("jobwright_client.Service.start", lambda self, **_: None)
    first, *others, last = blocks(README)
    module = types.ModuleType("readme")  # dataclasses look for the module of their class
    monkeypatch.setitem(sys.modules, "readme", module)
    values = module.__dict__
    run(first, values)
    started = dict(values)
    for block in others:
        run(block, values)
    monkeypatch.undo()
    run(last, started)
    started["test_the_digest_is_sent"]()
    started["test_forged_calls_are_refused"]()


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declaration, tests = blocks((DOCS / page).read_text())
    module = types.ModuleType("page")  # dataclasses look for the module of their class
    monkeypatch.setitem(sys.modules, "page", module)
    run(declaration, module.__dict__)
    run(tests, module.__dict__)
    named = re.findall(r"^def (test_\w+)", tests, re.MULTILINE)
    assert len(named) >= 2
    for name in named:
        module.__dict__[name]()


def test_the_guide_quotes_what_the_library_logs() -> None:
    sources = "".join(path.read_text() for path in SOURCES)
    for page in PAGES[2:]:
        rows = re.findall(r"^\| `(.*?)` \|", (DOCS / page).read_text(), re.MULTILINE)
        assert len(rows) == 8
        for row in rows:
            for words in re.split(r"[….:0-9]+", row):
                assert words.strip() in sources


def test_the_readme_has_each_setting_of_the_environment() -> None:
    named = set(re.findall(r"^\| `(JOBWRIGHT_[A-Z_]+)`", README, re.MULTILINE))
    source = (PACKAGE / "src/jobwright_client/settings.py").read_text()
    assert named == set(re.findall(r'variables, "(JOBWRIGHT_[A-Z_]+)"', source))
    assert Settings.from_environment(dict.fromkeys(named, "")) == Settings()


def test_the_readme_has_each_method_of_the_context() -> None:
    from jobwright_client import JobContext

    public = {name for name in vars(JobContext) if not name.startswith("_")} - {"counted"}
    assert [name for name in public if f"context.{name}" not in README] == []


def test_the_example_runs_its_jobs() -> None:
    import email_service

    with Jobwright(email_service.service) as jobwright:
        runs = {job: jobwright.run(job) for job in email_service.service.jobs}
    assert {job: run.status for job, run in runs.items()} == dict.fromkeys(runs, "success")
    assert runs["weekly-digest"].result["itemsSucceeded"] == 20
    assert runs["bounce-check"].result["itemsFailed"] == 5


def test_a_job_that_two_tests_run_starts_anew_in_each() -> None:
    import email_service

    for _ in range(2):
        with Jobwright(email_service.service) as jobwright:
            assert jobwright.run("re-engagement-email", {"readers": 1}).execution_id == "execution-1"

"""A template of one's own: the package of `template new`, the template contract, and the tutorial, command by command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from app.errors import Conflict, NotFound, ValidationFailed
from app.jobtemplates.catalogue import Catalogue
from app.template_tools.contract import check_template
from app.template_tools.scaffold import scaffold
from templates_lib.base import JobResult, JobTemplate, RunContext, TemplateError
from tests.support import KEY, Service, eventually

ROOT = Path(__file__).parents[3]
TUTORIAL = ROOT / "docs/tutorial/write-a-template.md"
OURS = [
    entry.template.type for entry in Catalogue.discover() if entry.template.category != "Tests" or entry.template.type == "test_scheduler"
]


@pytest.mark.parametrize("kind", OURS)
def test_each_built_in_template_keeps_the_contract(kind: str) -> None:
    assert check_template(Catalogue.discover(), kind) == []


class Lax(JobTemplate):
    """Breaks every rule."""

    type, name, description, category, icon = "lax", "Lax", "x", "Tests", "ban"
    destructive = True
    network = False
    parameters_schema = {
        "type": "object",
        "properties": {"who": {"type": "string"}, "how": {}},
        "examples": [{"who": "a"}, {"who": 5}, {"who": "deaf"}, {"who": "once"}],
    }
    runs = 0

    def check(self, params: Mapping[str, Any]) -> Any:
        return [] if len(params.get("who", "")) < 1000 else 1 / 0

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        if params["who"] == "deaf" and ctx.stop.wait(1):
            import time

            time.sleep(6)
        if params["who"] == "once" and ctx.attempt > 1:
            raise TemplateError("it is there already")
        return JobResult("x", {"value": float("nan")} if params["who"] == "a" else {})


def test_every_breach_of_the_contract_is_found() -> None:
    found = {(breach.rule, breach.text) for breach in check_template(Catalogue({"lax": Lax()}), "lax")}
    assert {rule for rule, _ in found} == {
        "documents itself",
        "draws a form",
        "survives hostile parameters",
        "has examples",
        "previews without effect",
        "stops when cancelled",
        "returns JSON",
        "can run twice",
    }
    assert any("division by zero" in text for _, text in found)
    assert any("example 2 is wrong at /who" in text for _, text in found)
    with pytest.raises(NotFound):
        check_template(Catalogue({}), "lax")


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "../x", "a" * 60, "ä", "a b"])
def test_a_name_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed):
        scaffold(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    assert scaffold("x1", tmp_path)
    with pytest.raises(Conflict):
        scaffold("x1", tmp_path)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TUTORIAL.read_text(), re.S | re.M)


def test_the_tutorial_command_by_command(mongod: str, database_name: str, tmp_path: Path) -> None:
    packages, work = tmp_path / "packages", tmp_path / "work"
    work.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(packages),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_TARGET": str(packages),
        "PIP_UPGRADE": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_QUIET": "2",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": database_name,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
        "JOBWRIGHT_SECRET_KEY": KEY,
    }

    def follow(block: str) -> None:
        for line in block.strip().splitlines():
            command = line.removeprefix("$ ")
            ran = subprocess.run(["bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"

    begin, again, apply = blocks("console")
    follow(begin)
    package = work / "jobwright-greet-people" / "jobwright_greet_people"
    (package / "template.py").write_text(blocks("python")[0])
    (package / "README.md").write_text(blocks("markdown")[0])
    (work / "greet.yaml").write_text(blocks("yaml")[0])
    follow(again)
    chosen = {"PYTHONPATH": str(packages), "JOBWRIGHT_SECRET_KEY": KEY}
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "data", **chosen).wait_ready()
    try:
        with service.client(service.token()) as client:
            follow(apply)
            done = lambda: [
                one
                for one in client.get("/api/admin/job-executions?status=success").json()["executions"]
                if one["template_type"] == "greet_people"
            ]
            (execution, *_) = eventually(done)
            assert execution["result"]["message"] == "Greeted 2 people"
            lines = client.get(f"/api/admin/job-executions/{execution['_id']}/logs").json()["logs"]
            assert [line["message"] for line in lines] == ["HELLO ADA", "HELLO GRACE"]
            bad = {"name": "bad", "template_type": "greet_people", "parameters": {"people": ["Voldemort"]}}
            refused = client.post("/api/admin/scheduler-jobs", json=bad)
            assert refused.json()["errors"] == [{"pointer": "/parameters/people/0", "detail": "is not greeted here"}]
    finally:
        service.stop()
    with MongoClient(mongod) as client:
        client.drop_database(database_name)

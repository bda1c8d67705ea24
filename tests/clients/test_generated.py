"""Clients that common generators make of the OpenAPI document are built and used."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support import Service

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = Service("serve", uri=mongod, database="clients", data_dir=tmp_path_factory.mktemp("clients"), warm=True).wait_ready()
    yield started
    assert started.stop() == 0
    with MongoClient(mongod) as client:
        client.drop_database("clients")


@pytest.fixture(scope="module")
def document(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    with service.api() as api:
        path.write_bytes(api.get("/api/openapi.json").content)
    return path


def run(*words: str | Path, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=folder, env=environment, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def generated(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the Python client, which can be imported."""
    folder = tmp_path_factory.mktemp("python")
    generator = Path(sys.executable).with_name("openapi-python-client")
    config = HERE / "openapi-python-client.yml"
    words = ("generate", "--path", document, "--output-path", folder / "generated_client", "--meta", "none", "--config", config)
    output = run(generator, *words, folder=folder)
    assert "WARNING" not in output, "an operation or a part of it was left out"
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def part(name: str) -> ModuleType:
    return importlib.import_module(f"generated_client.{name}")


@pytest.fixture
def client(generated: Path, service: Service) -> Iterator[Any]:
    with part("client").AuthenticatedClient(base_url=service.address, token=service.token()) as client:
        yield client


def test_a_python_program_creates_and_runs_a_job_and_reads_its_result(client: Any) -> None:
    models = part("models")
    body = models.JobDefinition.from_dict({"name": "by a client", "template_type": "noop", "parameters": {"seconds": 0.1}})
    created = part("api.jobs.create_job").sync(client=client, body=body)
    assert isinstance(created, models.JobEnvelope)
    assert created.job.id == created.job.field_id
    ran = part("api.jobs.run_job").sync(created.job.id, client=client, body=models.RunBody(), wait=60)
    assert isinstance(ran, models.RunEnvelope)
    execution = ran.execution
    assert (execution.ended, execution.status.value, execution.result.message) == (True, "success", "did nothing")
    assert execution.result.additional_properties == {"attempt": 1}
    assert execution.attempts[0].duration_seconds >= 0.1
    assert execution.attempts[0].usage.max_memory_mb > 0
    read = part("api.executions.get_execution").sync(execution.id, client=client)
    assert [line.message for line in read.logs] == ["ran"]


def test_a_python_program_reads_a_problem(client: Any) -> None:
    models = part("models")
    refused = part("api.jobs.create_job").sync(
        client=client, body=models.JobDefinition.from_dict({"name": "x", "template_type": "nothing"})
    )
    assert isinstance(refused, models.ProblemOut)
    assert (refused.type_, refused.status) == ("/api/problems/validation-failed", 422)
    assert [wrong.pointer for wrong in refused.errors] == ["/template_type"]
    missing = part("api.jobs.get_job").sync("none", client=client)
    assert (missing.type_, missing.title) == ("/api/problems/not-found", "Not found")


def test_a_python_program_sends_a_file_of_jobs_as_yaml(client: Any) -> None:
    import io

    file = part("types").File(payload=io.BytesIO(b"jobwright: 1\njobs:\n  - name: of a file\n    template_type: noop\n"))
    plan = part("api.jobs_as_files.plan_jobs_file").sync(client=client, body=file)
    assert not isinstance(plan, part("models").ProblemOut), plan
    assert [(step.name, step.action) for step in plan.steps] == [("of a file", "create")]


def test_typescript_types_compile(document: Path, tmp_path: Path) -> None:
    if not MODULES.is_dir() or shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("no Node.js, or no tests/clients/node_modules: CI must have both (make setup-tests)")
        pytest.skip("no Node.js, or no tests/clients/node_modules: make setup-tests")
    run("node", MODULES / "openapi-typescript/bin/cli.js", document, "-o", tmp_path / "jobwright.ts", folder=HERE)
    shutil.copy(HERE / "use.ts", tmp_path / "use.ts")
    tsc = MODULES / "typescript/bin/tsc"
    run(
        "node",
        tsc,
        "--strict",
        "--noEmit",
        "--skipLibCheck",
        "false",
        "--target",
        "es2022",
        "--module",
        "esnext",
        "use.ts",
        folder=tmp_path,
    )
    assert 'operations["streamExecutionEvents"]' in (tmp_path / "jobwright.ts").read_text()

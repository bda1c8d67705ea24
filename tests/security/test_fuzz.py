"""Schemathesis over the whole OpenAPI document, with a token of each role: no 5xx, no answer outside the document. What it sends
is mixed with NUL, direction marks, huge numbers and the ends of the calendar (tests/security/odd_values.py).

`make check` tries two examples an operation. `make check-long` and `make fuzz` look at the bounds of each parameter as well and try more
(FUZZ_EXAMPLES an operation and phase).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.commands import jobwright
from tests.lengths import LONG
from tests.support import Service

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3" if LONG else "2")
# Whoever may least is answered 403 nearly everywhere: the bounds of each parameter are looked at once.
PHASES = {"user": "fuzzing", "admin": "fuzzing", "super_admin": "examples,coverage,fuzzing" if LONG else "examples,fuzzing"}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    rates = {"JOBWRIGHT_STRANGER_RATE": "1000000", "JOBWRIGHT_API_RATE": "1000000"}
    started = Service("web", uri=mongod, database="fuzzed", data_dir=tmp_path_factory.mktemp("fuzzed"), **rates).wait_ready()
    environment = {**started.environment, "JOBWRIGHT_NEW_PASSWORD": "gravel lantern seven otters"}
    for role in ("user", "admin", "super_admin"):
        jobwright(environment, "user", "create", "--email", f"fuzz-{role}@example.com", "--role", role, check=True)
    yield started
    assert started.stop() == 0
    failed = [line for line in started.events() if line.get("event") == "request.failed"]
    with MongoClient(mongod) as client:
        client.drop_database("fuzzed")
    assert failed == []


@pytest.mark.parametrize("role", ["user", "admin", "super_admin"])
def test_no_answer_is_outside_the_document(service: Service, role: str, tmp_path: Path) -> None:
    token = service.token(f"fuzz-{role}@example.com")
    run = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{service.address}/api/openapi.json",
        "--max-examples",
        EXAMPLES,
        "--checks",
        CHECKS,
        "--phases",
        PHASES[role],
        "--continue-on-failure",
        "--no-color",
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "10",
        "--generation-deterministic",
        "-H",
        f"Authorization: Bearer {token}",
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.security.odd_values", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ, **hooks})
    _, _, failures = done.stdout.partition("= FAILURES =")
    assert done.returncode == 0, failures[:6000] or done.stdout[-6000:]
    assert "Tested:" in done.stdout

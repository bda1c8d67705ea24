"""The descriptions of the interfaces are valid, and follow the rules of a linter (Redocly): OpenAPI for REST, AsyncAPI for the bus."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from flask import Flask

HERE = Path(__file__).parent
LINTER = HERE / "node_modules" / ".bin" / "redocly"
ENVIRONMENT = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_the_linter_finds_nothing(name: str, app: Flask, tmp_path: Path) -> None:
    if shutil.which("node") is None or not LINTER.exists():
        if os.environ.get("CI"):
            pytest.fail("no Node.js, or `make setup-tests` was not run: CI must have both")
        pytest.skip("no Node.js, or `make setup-tests` was not run")
    document = tmp_path / f"{name}.json"
    document.write_bytes(app.test_client().get(f"/api/{name}.json").get_data())
    done = _lint(document)
    assert done.returncode == 0, done.stdout + done.stderr
    # The linter is at work: what is wrong with a document is found.
    document.write_text(document.read_text().replace('"operations":', '"operation":').replace('"paths":', '"path":'))
    assert _lint(document).returncode != 0


def _lint(document: Path) -> subprocess.CompletedProcess[str]:
    words = [str(LINTER), "lint", "--config", str(HERE / "redocly.yaml"), str(document)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd=HERE)

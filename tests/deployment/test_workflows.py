"""The workflows of CI: valid, pinned, without rights that they do not need, and with commands that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.tools import ROOT, run, tool

WORKFLOWS = ROOT / ".github" / "workflows"
PINNED = re.compile(r"^[\w./-]+@[0-9a-f]{40}$")


def steps() -> list[dict[str, Any]]:
    rows = [yaml.safe_load(path.read_text()) for path in WORKFLOWS.glob("*.yml")]
    return [step for row in rows for job in row["jobs"].values() for step in job["steps"]]


def findings(folder: Path) -> int:
    """How zizmor judges workflows: 0 for nothing to say."""
    return subprocess.run([tool("zizmor"), "--offline", "--quiet", folder], capture_output=True, check=False, timeout=120).returncode


def test_they_are_valid_and_nothing_is_to_be_said_against_them() -> None:
    paths = sorted(WORKFLOWS.glob("*.yml"))
    assert paths
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *paths)
    run(tool("check-jsonschema"), "--builtin-schema", "custom.github-workflows-require-timeout", *paths)
    assert findings(WORKFLOWS) == 0
    assert [step["uses"] for step in steps() if "uses" in step and not PINNED.match(step["uses"])] == []
    assert "latest" not in "".join(path.read_text() for path in paths)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("11bd71901bbe5b1630ceea73d27597364c9af683  # v4.2.2", "main"),
        ("with: {persist-credentials: false}", "with: {fetch-depth: 1}"),
        ("run: make check", "run: echo ${{ github.event.pull_request.title }}"),
        ("permissions: {}", "permissions: write-all"),
    ],
)
def test_a_bad_workflow_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    text = (WORKFLOWS / "image.yml").read_text()
    assert old in text
    (tmp_path / "image.yml").write_text(text.replace(old, new))
    assert findings(tmp_path) != 0


def test_their_commands_exist(tmp_path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for step in steps():
        script = step.get("run", "")
        (tmp_path / "step.sh").write_text(script)
        run("bash", "-n", tmp_path / "step.sh")
        assert set(re.findall(r"\bmake ([a-z-]+)", script)) <= targets
        assert [path for path in re.findall(r"scripts/[\w.-]+", script) if not (ROOT / path).exists()] == []
    said = [step["run"] for step in steps() if "PYTHON_IMAGE" in step.get("run", "")]
    assert len(said) == 3
    base = run("bash", "-c", said[0].splitlines()[0] + '; echo "$base"').strip()
    assert base in (ROOT / "Dockerfile").read_text()


def test_the_version_of_the_image_is_that_of_the_project(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps() if "VERSION_TAG=" in step.get("run", "")]
    out = tmp_path / "env"
    names = {"IMAGE": "x/jobwright", "SUFFIX": "", "GITHUB_ENV": str(out), "GITHUB_SHA": "abc", "GITHUB_REF_TYPE": "tag"}
    from importlib.metadata import version

    run("bash", "-ec", f"cd {ROOT}\n{script}", **names, GITHUB_REF_NAME=f"v{version('jobwright')}")
    assert out.read_text().splitlines() == [f"VERSION_TAG=x/jobwright:{version('jobwright')}", "COMMIT_TAG=x/jobwright:sha-abc"]
    with pytest.raises(AssertionError, match="is not the version"):
        run("bash", "-ec", f"cd {ROOT}\n{script}", **names, GITHUB_REF_NAME="v9.9.9")

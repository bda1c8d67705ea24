"""docs/how-to/deploy.md: its commands are those of the files, and those that can run here are run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from app.cli.root import cli
from tests.deployment.manifests import environment, pod_of, problems
from tests.deployment.tools import DEPLOY, ROOT, SETTINGS, run, tool

TEXT = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
BLOCKS = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", TEXT, re.M | re.S)


def blocks(language: str) -> list[str]:
    """The blocks of code in that language, without their indentation."""
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, name, text in BLOCKS if name == language]


def test_every_block_is_a_script_and_every_file_is_there(tmp_path: Path) -> None:
    for text in blocks("sh"):
        (tmp_path / "block.sh").write_text(text)
        run("bash", "-n", tmp_path / "block.sh")
    for path in set(re.findall(r"(?:deploy|tests|\.github|requirements)[\w./-]*\w", TEXT)):
        own = "overlays/ours" in path
        assert own or path in {"deployment", "deploy"} or list(ROOT.glob(f"{path}*")) or path.startswith("deployment/"), path
    for folder in re.findall(r"^\| `((?:overlays|components|examples)[\w/-]*)` \|", TEXT, re.M):
        assert (DEPLOY / "kubernetes" / folder).is_dir()


def test_every_setting_and_every_command_exists() -> None:
    named = set(re.findall(r"\b(JOBWRIGHT_[A-Z_]+)", TEXT))
    assert {name for name in named if name.removesuffix("_FILE") not in SETTINGS} == set()
    quoted = re.findall(r"`([^`\n]+)`", TEXT)
    for words in [
        found for text in quoted for found in re.findall(r"(?<![\w/-])(?<!-u )(?<!namespace )jobwright ((?:[a-z]+ ?)+(?:--[a-z-]+)?)", text)
    ]:
        command: Any = cli
        for word in words.split():
            if word.startswith("--"):
                assert word in {option for one in command.params for option in one.opts}
            elif isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word)
                assert command is not None, words


def test_the_services_and_profiles_of_compose_are_those_of_the_page() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", ())}
    assert set(re.findall(r"--profile (\w+)", TEXT)) <= profiles
    for name in re.findall(r"docker compose (?:run --rm|exec) (\w+)", TEXT):
        assert name in compose["services"]
    for name in re.findall(r"--scale (\w+)=", TEXT):
        assert name in compose["services"]


def test_the_installation_of_the_page_builds_and_keeps_the_policies(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    overlays = [tmp_path / "kubernetes" / "overlays" / name for name in ("ours", "ours-tools")]
    for own, text in zip(overlays, blocks("yaml"), strict=True):
        own.mkdir()
        (own / "kustomization.yaml").write_text(text)
    rows, with_tools = (list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", own))) for own in overlays)
    assert problems(rows) == problems(with_tools) == []
    (pod,) = [row for row in with_tools if row not in rows]
    (container,) = pod_of(pod)["containers"]
    assert (pod["metadata"]["name"], pod["metadata"]["labels"]["app.kubernetes.io/component"]) == ("jobwright-tools", "tools")
    assert environment(with_tools, container)["JOBWRIGHT_PUBLIC_URL"] == "https://jobs.example.com"
    assert container["image"].startswith("registry.example.com/jobwright@sha256:")
    images = {one["image"] for row in rows if row["kind"] in {"Deployment", "Job"} for one in pod_of(row)["containers"]}
    assert images == {f"registry.example.com/jobwright@sha256:{'0' * 64}"}
    for name in set(re.findall(r"deployment/(jobwright-\w+)|delete job (jobwright-\w+)", TEXT)):
        assert any(row["metadata"]["name"] in name for row in rows)


def test_the_secret_of_the_page_has_what_production_reads() -> None:
    (text,) = [block for block in blocks("sh") if "create secret" in block]
    given = set(re.findall(r"--from-literal=([\w-]+)=", text))
    rows = list(yaml.safe_load_all(run(tool("kubectl"), "kustomize", DEPLOY / "kubernetes" / "overlays" / "production")))
    (settings,) = [row["data"] for row in rows if row["kind"] == "ConfigMap"]
    assert given == {Path(value).name for name, value in settings.items() if name.endswith("_FILE")}
    line = text.split("kubectl --namespace", 1)[1]
    made = run("bash", "-c", f"{tool('kubectl')} --namespace{line.rstrip()} --dry-run=client --output=yaml")
    assert set(yaml.safe_load(made)["data"]) == given


@pytest.mark.parametrize("name", ["secret_key", "admin_password", "mongodb_uri"])
def test_the_secrets_of_the_units_are_created_by_the_page(name: str, tmp_path: Path) -> None:
    """The commands of the page, on a folder of this test and without `sudo` and the user."""
    (text,) = [block for block in blocks("sh") if "secret.files" in block]
    lines = text.replace("\\\n", "").splitlines()
    (line,) = [line for line in lines if line.endswith(f"/secret.files/{name}")]
    words = line.replace("sudo ", "").replace("-o jobwright ", "").replace("/var/lib/jobwright/secret.files", str(tmp_path))
    run("bash", "-ec", words)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o400
    assert (tmp_path / name).read_text().strip()

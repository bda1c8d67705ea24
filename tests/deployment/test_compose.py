"""compose.yaml and the Dockerfile: valid, without what a production service must not have, and as the documentation says."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from app.config import load_settings
from app.connected import connected_processes, name_of_process
from scripts.lint_dockerfile import problems as problems_of_dockerfile
from tests.commands import jobwright
from tests.deployment.mongodb import secured_mongod
from tests.deployment.tools import DEPLOY, DRAIN_SLACK, ROOT, run, tool, unknown_settings

ROLES = {"web", "scheduler", "worker"}
EXACT = re.compile(r":v?\d+\.\d+\.\d+[\w.-]*$")
# What has no exact tag yet comes from the Dockerfile: its tag is the version of Jobwright.
OWN_IMAGE = "jobwright:${JOBWRIGHT_TAG:-0.1.0}"


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())  # type: ignore[no-any-return]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def problems(compose: dict[str, Any]) -> list[str]:
    """What a service must not be without, and what it must not have."""
    found = []
    for name, service in compose["services"].items():
        own = service["image"] == OWN_IMAGE
        wrong = {
            "an exact version": own or EXACT.search(service["image"]),
            "a health check": name in {"migrate", "scheduler"}
            or "test" in service.get("healthcheck", {})
            or (own and "healthcheck" not in service),
            "a restart policy": service.get("restart") == ("no" if name == "migrate" else "unless-stopped"),
            "no privileges": not service.get("privileged") and not service.get("cap_add"),
            "dropped capabilities": name == "mongo" or service.get("cap_drop") == ["ALL"],
            "no new privileges": name == "mongo" or service.get("security_opt") == ["no-new-privileges:true"],
            "a read-only root": name == "mongo" or service.get("read_only") is True,
            "ports of one address": all(re.match(r"(\$\{HOST_ADDRESS:-)?127\.0\.0\.1", port) for port in service.get("ports", ())),
            "known secrets": {one if isinstance(one, str) else one["source"] for one in service.get("secrets", ())}
            <= set(compose["secrets"]),
            "no password as a value": not [key for key in service.get("environment", {}) if re.search(r"PASSWORD$|KEY$|TOKEN$|URI$", key)],
        }
        found += [f"{name} lacks {what}" for what, holds in wrong.items() if not holds]
    for name in ROLES & set(compose["services"]):
        service = compose["services"][name]
        environment = service["environment"]
        if environment["JOBWRIGHT_MIGRATE"] != "never" or "migrate" not in service["depends_on"]:
            found.append(f"{name} does not wait for the migrations")
        if name != "web" and seconds(service["stop_grace_period"]) < environment["JOBWRIGHT_DRAIN_SECONDS"] + DRAIN_SLACK:
            found.append(f"{name} is killed before it has drained")
    return found


def test_it_is_valid_and_keeps_the_policies(compose: dict[str, Any]) -> None:
    assert problems(compose) == []
    assert "latest" not in (ROOT / "compose.yaml").read_text()
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml")


@pytest.mark.parametrize(
    ("service", "change", "problem"),
    [
        ("nats", {"image": "nats:latest"}, "nats lacks an exact version"),
        ("nats", {"image": "nats"}, "nats lacks an exact version"),
        ("nats", {"healthcheck": {}}, "nats lacks a health check"),
        ("web", {"privileged": True}, "web lacks no privileges"),
        ("web", {"cap_drop": []}, "web lacks dropped capabilities"),
        ("web", {"read_only": False}, "web lacks a read-only root"),
        ("web", {"ports": ["8080:8080"]}, "web lacks ports of one address"),
        ("web", {"secrets": ["jobwright_kay"]}, "web lacks known secrets"),
        ("web", {"depends_on": {}}, "web does not wait for the migrations"),
        ("scheduler", {"stop_grace_period": "10s"}, "scheduler is killed before it has drained"),
        ("mongo", {"environment": {"MONGO_INITDB_ROOT_PASSWORD": "x"}}, "mongo lacks no password as a value"),
    ],
)
def test_a_bad_service_is_noticed(compose: dict[str, Any], service: str, change: dict[str, Any], problem: str) -> None:
    bad = copy.deepcopy(compose)
    bad["services"][service].update(change)
    assert problems(bad) == [problem]


def test_every_variable_is_a_setting_and_every_file_is_there(compose: dict[str, Any], tmp_path: Path) -> None:
    run(DEPLOY / "compose" / "secrets.sh", tmp_path)
    for name, secret in compose["secrets"].items():
        assert (tmp_path / Path(secret["file"]).name).read_text().strip(), name
    for name in ROLES & set(compose["services"]):
        environment = compose["services"][name]["environment"]
        assert unknown_settings(environment) == set()
        paths = {key: value for key, value in environment.items() if key.endswith("_FILE") and value}
        given = {key: str(tmp_path / Path(value).name) for key, value in paths.items()}
        assert set(paths.values()) <= {secret["target"] for secret in compose["services"][name]["secrets"]}
        load_settings({**{key: str(value) for key, value in environment.items() if value is not None and "$" not in str(value)}, **given})
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), source


def test_secrets_are_random_kept_and_for_nobody_else(tmp_path: Path) -> None:
    script, first, second = DEPLOY / "compose" / "secrets.sh", tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        run(script, folder)
    assert first.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_text() for path in first.iterdir()}
    assert not {name for name, text in before.items() if (second / name).read_text() == text}
    (first / "nats_url").unlink()
    (first / "jobwright_key").write_text("chosen")
    run(script, first)
    assert {path.name: path.read_text() for path in first.iterdir()} == {**before, "jobwright_key": "chosen"}


# -- MongoDB as compose.yaml starts it --------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, str]]:
    run(DEPLOY / "compose" / "secrets.sh", tmp_path / "secrets")
    with secured_mongod(tmp_path, tmp_path / "secrets") as found:
        yield found


def test_the_user_of_the_database_may_do_what_jobwright_needs_and_no_more(secured: tuple[str, str], tmp_path: Path) -> None:
    uri, at = secured
    environment = {"PATH": "/usr/bin:/bin", "MONGODB_URI": uri, "JOBWRIGHT_DATA_DIR": str(tmp_path / "data")}
    made = jobwright(environment, "migrate")
    assert made.returncode == 0, made.stderr
    with MongoClient[dict[str, Any]](uri, appname=name_of_process("web", "jobwright", version="9.9.9")) as web:
        web["jobwright"]["users"].find_one()
        with MongoClient[dict[str, Any]](uri) as client:
            assert [(one.role, one.version) for one in connected_processes(client, "jobwright")] == [("web", "9.9.9")]
    with MongoClient[dict[str, Any]](uri) as client, pytest.raises(OperationFailure, match="not authorized"):
        client["other"]["things"].insert_one({})
    with MongoClient[dict[str, Any]](f"mongodb://{at}/") as client, pytest.raises(OperationFailure, match="requires authentication"):
        client["jobwright"]["users"].find_one()


# -- the images -------------------------------------------------------------------------------------------------------


def test_the_dockerfile_keeps_the_policies_and_copies_what_is_there() -> None:
    assert problems_of_dockerfile(ROOT / "Dockerfile") == []
    text = (ROOT / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for word in line.split()[:-1] if not word.startswith("--")}
    assert [path for path in copied if not (ROOT / path).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not [path for path in copied if path.split("/")[0] in ignored]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("USER 10001", "USER root", "celery runs as root"),
        ("USER 10001", "USER jobwright", "celery names its user: Kubernetes can check runAsNonRoot for a number only"),
        ("python:3.13.7-slim-bookworm", "python:3-slim", "FROM python:3-slim has no exact version"),
        ("python:3.13.7-slim-bookworm", "python:latest", "FROM python:latest has no exact version"),
        ('ENTRYPOINT ["jobwright"]', "ENTRYPOINT jobwright", "celery: ENTRYPOINT is in shell form: signals would not reach the process"),
        ("HEALTHCHECK ", "# ", "celery has no health check"),
    ],
)
def test_a_bad_dockerfile_is_noticed(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert old in text
    (tmp_path / "Dockerfile").write_text(text.replace(old, new))
    assert problem in problems_of_dockerfile(tmp_path / "Dockerfile")

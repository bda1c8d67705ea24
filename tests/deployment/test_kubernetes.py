"""The Kubernetes manifests: each overlay builds, is valid for three versions of Kubernetes, and keeps the policies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import load_settings
from tests.deployment.manifests import (
    OVERLAYS,
    SECRETS,
    VERSIONS,
    Manifest,
    built,
    environment,
    labels_of,
    manifests,
    of_kind,
    pod_of,
    problems,
    selects,
)
from tests.deployment.tools import DEPLOY, run, tool

KUBERNETES = DEPLOY / "kubernetes"


def validate(text: str, kubernetes: str, folder: Path) -> str:
    """What that version of Kubernetes would refuse; empty for a good manifest."""
    (folder / "all.yaml").write_text(text)
    words = [tool("kubernetes-validate"), "--strict", "--quiet", "--kubernetes-version", kubernetes, str(folder / "all.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=180)
    # It counts a kind that this version does not know as good, but says so.
    return f"{done.returncode}\n{done.stdout}{done.stderr}".removeprefix("0\n")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_and_keeps_the_policies(overlay: str, tmp_path: Path) -> None:
    assert problems(manifests(overlay)) == []
    for kubernetes in VERSIONS:
        assert validate(built(overlay), kubernetes, tmp_path) == ""


@pytest.mark.parametrize("component", ["managed-mongodb", "shared-files", "tools", "traces"])
def test_a_component_fits_onto_an_overlay(component: str, tmp_path: Path) -> None:
    """As the documentation says: in a folder of one's own beside the overlays."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    own = tmp_path / "kubernetes" / "overlays" / "own"
    own.mkdir()
    kinds = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "jobwright"}
    images = [{"name": "jobwright", "newTag": version("jobwright")}]
    text = yaml.safe_dump({**kinds, "resources": ["../production"], "components": [f"../../components/{component}"], "images": images})
    (own / "kustomization.yaml").write_text(text)
    made = run(tool("kubectl"), "kustomize", own)
    rows = [*yaml.safe_load_all(made)]
    assert problems(rows) == []
    assert validate(made, VERSIONS[-1], tmp_path) == ""
    assert {"managed-mongodb": "203.0.113.0/24", "shared-files": "ReadWriteMany", "tools": "jobwright-tools", "traces": "allow-collector"}[
        component
    ] in made


def test_images_have_the_version_of_jobwright() -> None:
    for overlay in OVERLAYS:
        suffix = "-celery" if overlay == "celery" else ""
        images = {one["image"] for row in of_kind(manifests(overlay), "Deployment", "Job") for one in pod_of(row)["containers"]}
        assert images == {f"jobwright:{version('jobwright')}{suffix}"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_of_each_container_are_accepted(overlay: str, tmp_path: Path) -> None:
    """By the program itself, with files in place of the Secret: all of them are among the keys of the example."""
    (example,) = yaml.safe_load_all((KUBERNETES / "examples" / "secret.yaml").read_text())
    (outside,) = yaml.safe_load_all((KUBERNETES / "examples" / "external-secret.yaml").read_text())
    assert {item["secretKey"] for item in outside["spec"]["data"]} <= example["stringData"].keys()
    rows = manifests(overlay)
    for row in of_kind(rows, "Deployment", "Job"):
        pod = pod_of(row)
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            variables = environment(rows, container)
            for name, path in list(variables.items()):
                if name.endswith("_FILE"):
                    key = path.removeprefix(f"{SECRETS}/")
                    assert key in example["stringData"], f"{name}: {path}"
                    (tmp_path / key).write_text(
                        example["stringData"][key] if "://" in example["stringData"][key] else "0Q2mBv8sLx4TzK7nWd1RfYj5HcGp3AeU"
                    )
                    variables[name] = str(tmp_path / key)
            load_settings(variables)


def allowed(rows: list[Manifest], labels: dict[str, str], direction: str) -> set[str]:
    """The policies that open something for pods with these labels."""
    return {
        row["metadata"]["name"]
        for row in of_kind(rows, "NetworkPolicy")
        if row["spec"].get(direction) and selects(row["spec"]["podSelector"].get("matchLabels", {}), labels)
    }


def test_each_role_reaches_what_it_needs_and_nothing_else() -> None:
    rows = manifests("production")
    found = {labels_of(row)["app.kubernetes.io/component"]: row for row in of_kind(rows, "Deployment", "Job")}
    base, jobs = {"allow-dns", "allow-mongodb"}, {"allow-job-egress", "allow-job-egress-inside"}
    assert {role: allowed(rows, labels_of(row), "egress") for role, row in found.items()} == {
        "web": base | jobs,
        "scheduler": base | jobs,
        "migrate": base,
    }
    assert {role: allowed(rows, labels_of(row), "ingress") for role, row in found.items()} == {
        "web": {"allow-ingress-controller", "allow-prometheus"},
        "scheduler": {"allow-prometheus"},
        "migrate": {"allow-prometheus"},
    }
    (egress,) = [row for row in of_kind(rows, "NetworkPolicy") if row["metadata"]["name"] == "allow-job-egress"]
    for target in egress["spec"]["egress"][0]["to"]:
        assert {"169.254.0.0/16", "10.0.0.0/8"} <= set(target["ipBlock"]["except"]) or ":" in target["ipBlock"]["cidr"]


# -- manifests that must not pass -------------------------------------------------------------------------------------


def web(rows: list[Manifest]) -> Manifest:
    return next(row for row in rows if row["metadata"]["name"] == "jobwright-web" and row["kind"] == "Deployment")


def container(rows: list[Manifest]) -> Manifest:
    return pod_of(web(rows))["containers"][0]  # type: ignore[no-any-return]


def without(name: str) -> Callable[[list[Manifest]], Any]:
    """Removes the manifests of that name."""
    return lambda rows: rows.__setitem__(slice(None), [row for row in rows if row["metadata"]["name"] != name])


BAD: list[tuple[Callable[[list[Manifest]], Any], str]] = [
    (lambda rows: container(rows).update(image="jobwright:latest"), "jobwright-web/web: its image has no exact version"),
    (lambda rows: container(rows).update(image="jobwright"), "jobwright-web/web: its image has no exact version"),
    (lambda rows: container(rows).pop("securityContext"), "jobwright-web/web: may gain privileges"),
    (lambda rows: container(rows)["securityContext"].update(privileged=True), "jobwright-web/web: may gain privileges"),
    (lambda rows: container(rows)["securityContext"].update(readOnlyRootFilesystem=False), "jobwright-web/web: can write to its root"),
    (lambda rows: container(rows)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "jobwright-web/web: has capabilities"),
    (lambda rows: container(rows)["resources"].pop("limits"), "jobwright-web/web: has no limits"),
    (lambda rows: container(rows)["resources"]["requests"].pop("cpu"), "jobwright-web/web: has no requests"),
    (lambda rows: container(rows).pop("startupProbe"), "jobwright-web: has no startupProbe"),
    (lambda rows: container(rows).pop("livenessProbe"), "jobwright-web: has no livenessProbe"),
    (lambda rows: container(rows)["readinessProbe"]["httpGet"].update(path="/live"), "jobwright-web: has no readinessProbe"),
    (lambda rows: container(rows)["readinessProbe"]["httpGet"].update(port="health"), "jobwright-web: has no readinessProbe"),
    (lambda rows: container(rows)["ports"][0].update(containerPort=80), "jobwright-web: has a port on which nothing listens"),
    (lambda rows: container(rows).pop("lifecycle"), "jobwright-web: stops before proxies know"),
    (
        lambda rows: container(rows).update(env=[{"name": "JOBWRIGHT_MIGRAET", "value": "x"}]),
        "jobwright-web/web: sets JOBWRIGHT_MIGRAET, which is no setting",
    ),
    (
        lambda rows: container(rows).update(env=[{"name": "NATS_URL_FILE", "value": "/etc/x"}]),
        "jobwright-web/web: reads a secret that is not mounted",
    ),
    (
        lambda rows: container(rows)["volumeMounts"][1].update(mountPath="/run/secrets"),
        "jobwright-web/web: has secrets where jobs can read them",
    ),
    (lambda rows: pod_of(web(rows)).update(terminationGracePeriodSeconds=12), "jobwright-web: is killed before it has drained"),
    (lambda rows: pod_of(web(rows)).pop("initContainers"), "jobwright-web: does not wait for the migrations"),
    (
        lambda rows: container(rows).update(env=[{"name": "JOBWRIGHT_MIGRATE", "value": "auto"}]),
        "jobwright-web: migrates while its startup probe counts, which ends a long migration",
    ),
    (
        lambda rows: pod_of(web(rows))["initContainers"][0].update(args=["migrate"]),
        "jobwright-web: does not wait for the migrations",
    ),
    (lambda rows: pod_of(web(rows)).pop("topologySpreadConstraints"), "jobwright-web: may have all its pods on one machine"),
    (lambda rows: pod_of(web(rows))["securityContext"].update(runAsNonRoot=False), "jobwright-web: may run as root"),
    (lambda rows: pod_of(web(rows))["securityContext"].pop("seccompProfile"), "jobwright-web: has no seccomp profile"),
    (lambda rows: pod_of(web(rows)).update(hostNetwork=True), "jobwright-web: shares something with the machine"),
    (
        lambda rows: pod_of(web(rows))["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "jobwright-web: has a volume of another sort",
    ),
    (lambda rows: pod_of(web(rows)).pop("automountServiceAccountToken"), "jobwright-web: gets a token of the Kubernetes API"),
    (without("default-deny"), "no policy denies all traffic"),
    (without("jobwright-migrate"), "jobwright-web: waits for migrations that nothing applies"),
]


@pytest.mark.parametrize(("spoil", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_a_bad_manifest_is_noticed(spoil: Callable[[list[Manifest]], Any], problem: str) -> None:
    rows = manifests("production")
    spoil(rows)
    assert problem in problems(rows)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("periodSeconds: 2\n", "periodSecond: 2\n"),
        ("apiVersion: apps/v1", "apiVersion: apps/v1beta1"),
        ("maxUnavailable: 0", "maxUnavailable: []"),
    ],
)
def test_what_kubernetes_would_refuse_is_noticed(old: str, new: str, tmp_path: Path) -> None:
    text = built("production")
    assert old in text
    for kubernetes in VERSIONS:
        assert validate(text.replace(old, new), kubernetes, tmp_path) != ""

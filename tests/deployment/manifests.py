"""Kubernetes manifests as kustomize builds them, and the policies that each of them keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from tests.deployment.tools import DEPLOY, DRAIN_SLACK, run, tool, unknown_settings

Manifest = dict[str, Any]
OVERLAYS = ("small", "production", "celery", "nats")
VERSIONS = ("1.33", "1.35", "1.37")
EXACT = re.compile(r":\d+\.\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$")
WEB_DRAIN_SECONDS = 5  # app.webserver.server.DRAIN_SECONDS
ENGINES = {"serve", "scheduler", "worker"}
SECRETS = "/data/secret.files"
RESOURCES = {"cpu", "memory", "ephemeral-storage"}
VOLUMES = {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}


@cache
def built(overlay: str) -> str:
    """The manifests of an overlay, as one text of YAML."""
    return run(tool("kubectl"), "kustomize", DEPLOY / "kubernetes" / "overlays" / overlay)


def manifests(overlay: str) -> list[Manifest]:
    """The same, fresh for each caller, who may change them."""
    return list(yaml.safe_load_all(built(overlay)))


def of_kind(rows: list[Manifest], *kinds: str) -> list[Manifest]:
    return [row for row in rows if row["kind"] in kinds]


def pod_of(row: Manifest) -> Manifest:
    return row["spec"] if row["kind"] == "Pod" else row["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def labels_of(row: Manifest) -> dict[str, str]:
    return row["spec"]["template"]["metadata"]["labels"]  # type: ignore[no-any-return]


def environment(rows: list[Manifest], container: Manifest) -> dict[str, str]:
    """The variables of a container: those of its config map, then its own."""
    maps = {row["metadata"]["name"]: row["data"] for row in of_kind(rows, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found.update(maps[source["configMapRef"]["name"]])
    return found | {item["name"]: item["value"] for item in container.get("env", ())}


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def problems(rows: list[Manifest]) -> list[str]:
    """What an installation must not be without, and what it must not have. Empty for a good one."""
    found = list(_problems_of_namespace(rows))
    for row in of_kind(rows, "Deployment", "Job", "Pod"):
        name, pod = row["metadata"]["name"], pod_of(row)
        found += [f"{name}: {text}" for text in _problems_of_pod(pod)]
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            found += [f"{name}/{container['name']}: {text}" for text in _problems_of_container(rows, container)]
        if row["kind"] == "Deployment":
            found += [f"{name}: {text}" for text in _problems_of_service(rows, row)]
    for row in of_kind(rows, "Service"):
        found += [f"{row['metadata']['name']}: {text}" for text in _problems_of_target(rows, row)]
    return found


def _problems_of_namespace(rows: list[Manifest]) -> Iterator[str]:
    (namespace,) = of_kind(rows, "Namespace")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace does not enforce the restricted standard"
    deny = [
        row
        for row in of_kind(rows, "NetworkPolicy")
        if row["spec"]["podSelector"] == {}
        and set(row["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not row["spec"].keys() & {"ingress", "egress"}
    ]
    if not deny:
        yield "no policy denies all traffic"
    for row in of_kind(rows, "NetworkPolicy"):
        rules = [*row["spec"].get("ingress", ()), *row["spec"].get("egress", ())]
        if any(not rule.get("from", rule.get("to")) for rule in rules):
            yield f"{row['metadata']['name']} allows everybody"
    if any(row["metadata"].get("namespace") != "jobwright" for row in rows if row["kind"] != "Namespace"):
        yield "something is outside the namespace"
    for row in of_kind(rows, "HorizontalPodAutoscaler"):
        target = row["spec"]["scaleTargetRef"]["name"]
        if not any(one["metadata"]["name"] == target and "replicas" not in one["spec"] for one in of_kind(rows, "Deployment")):
            yield f"{row['metadata']['name']} scales no deployment, or one that says a number itself"


def _problems_of_pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    checks = {
        "may run as root": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) >= 10_000,
        "has no seccomp profile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
        "gets a token of the Kubernetes API": pod.get("automountServiceAccountToken") is False,
        "gets the addresses of all services as variables": pod.get("enableServiceLinks") is False,
        "shares something with the machine": not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys(),
        "has a volume of another sort": all(len(one.keys() & VOLUMES) == 1 for one in pod["volumes"]),
        "has a volume without a limit": all("sizeLimit" in one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one),
    }
    yield from (text for text, holds in checks.items() if not holds)


def _problems_of_container(rows: list[Manifest], container: Manifest) -> Iterator[str]:
    security, resources = container.get("securityContext", {}), container.get("resources", {})
    checks = {
        "its image has no exact version": EXACT.search(container["image"]) and "latest" not in container["image"],
        "may gain privileges": security.get("allowPrivilegeEscalation") is False and not security.get("privileged"),
        "can write to its root": security.get("readOnlyRootFilesystem") is True,
        "has capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "has no limits": resources.get("limits", {}).keys() == RESOURCES,
        "has no requests": resources.get("requests", {}).keys() == RESOURCES,
        "can write to its secrets": all(one.get("readOnly") for one in container["volumeMounts"] if one["name"] == "secrets"),
        "has secrets where jobs can read them": all(
            one["mountPath"] == SECRETS for one in container["volumeMounts"] if one["name"] == "secrets"
        ),
    }
    yield from (text for text, holds in checks.items() if not holds)
    variables = environment(rows, container)
    if unknown := unknown_settings(variables):
        yield f"sets {', '.join(sorted(unknown))}, which is no setting"
    if not all(value.startswith(f"{SECRETS}/") for key, value in variables.items() if key.endswith("_FILE")):
        yield "reads a secret that is not mounted"
    limit = resources.get("limits", {}).get("memory", "")
    if container["name"] in ENGINES and not limit.endswith("Gi"):
        yield "has no memory limit in Gi"
    elif container["name"] in ENGINES:
        jobs = int(variables["SCHEDULER_EXECUTOR_POOL_SIZE"]) * int(variables["JOBWRIGHT_JOB_MEMORY_MB"]) / 1024
        if int(limit.removesuffix("Gi")) < jobs + 1:
            yield "has too little memory for its jobs"


def _problems_of_service(rows: list[Manifest], row: Manifest) -> Iterator[str]:
    pod = pod_of(row)
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = environment(rows, container)
    for name, path in (("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        probe = container.get(name, {}).get("httpGet", {})
        if probe.get("path") != path or probe.get("port") not in ports:
            yield f"has no {name}"
    expected = {"http": int(variables["PORT"]), "health": int(variables["JOBWRIGHT_HEALTH_PORT"])}
    if any(expected[name] != port for name, port in ports.items()):
        yield "has a port on which nothing listens"
    stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not stop:
        yield "stops before proxies know"
    drain = float(variables["JOBWRIGHT_DRAIN_SECONDS"]) if container["name"] in ENGINES else WEB_DRAIN_SECONDS
    if pod["terminationGracePeriodSeconds"] < stop + drain + DRAIN_SLACK:
        yield "is killed before it has drained"
    if len(pod.get("topologySpreadConstraints", ())) < 2:
        yield "may have all its pods on one machine"
    before = [one["args"][:2] for one in pod.get("initContainers", ())]
    waits = before == [["migrate", "--check"]]
    if variables["JOBWRIGHT_MIGRATE"] != "never":
        yield "migrates while its startup probe counts, which ends a long migration"
    if not waits and not (before == [["migrate"]] and row["spec"]["strategy"]["type"] == "Recreate"):
        yield "does not wait for the migrations"
    elif waits and not any(one["metadata"]["name"] == "jobwright-migrate" for one in of_kind(rows, "Job")):
        yield "waits for migrations that nothing applies"
    alone = row["spec"]["strategy"]["type"] == "Recreate"
    budgets = [one["spec"]["selector"]["matchLabels"] for one in of_kind(rows, "PodDisruptionBudget")]
    if not alone and not any(selects(budget, labels_of(row)) for budget in budgets):
        yield "may lose all its pods at once"


def _problems_of_target(rows: list[Manifest], service: Manifest) -> Iterator[str]:
    targets = [row for row in of_kind(rows, "Deployment") if selects(service["spec"]["selector"], labels_of(row))]
    if len(targets) != 1:
        yield "has no pods"
    for row in targets:
        names = {port["name"] for port in pod_of(row)["containers"][0]["ports"]}
        if any(port["targetPort"] not in names for port in service["spec"]["ports"]):
            yield "leads to a port that does not exist"

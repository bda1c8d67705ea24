"""The program in a pod as the manifests describe it: their commands, settings, user, limits of rights, and probes."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.demo.servers import free_port
from app.sandbox import cage
from tests.commands import jobwright
from tests.deployment.manifests import SECRETS, Manifest, environment, manifests, of_kind, pod_of
from tests.deployment.mongodb import secured_mongod
from tests.deployment.restricted_pod import USER
from tests.deployment.tools import DEPLOY, ROOT, run
from tests.support import KINDS, PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not sys.platform.startswith("linux"), reason="needs root on Linux to make mounts")


class Pod:
    """One process with the command, the settings and the rights of a container. Only its ports are others."""

    def __init__(self, rows: list[Manifest], name: str, secrets: Path) -> None:
        (row,) = [one for one in of_kind(rows, "Deployment", "Job") if one["metadata"]["name"] == name]
        self.spec = pod_of(row)
        (self.container,) = self.spec["containers"]
        self.folder = Path(tempfile.mkdtemp(prefix="jobwright-pod-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.secrets = secrets
        self.log = self.folder.with_suffix(".log")
        variables = environment(rows, self.container)
        self.ports = {port["name"]: free_port() for port in self.container.get("ports", ())}
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{KINDS}",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{key: value.replace("/data", str(self.folder)) for key, value in variables.items()},
            "PORT": str(self.ports.get("http", 0)),
            "JOBWRIGHT_HEALTH_PORT": str(self.ports.get("health", 0)),
            "JOBWRIGHT_TICK_SECONDS": "0.2",
        }
        if "wait-for-migrations" in str(self.spec.get("initContainers")):
            assert self._start(self.spec["initContainers"][0]["args"]).wait(PATIENCE_SECONDS) == 0, self.log.read_text()
        self.process = self._start(self.container["args"])

    def _start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        inside = ["-m", "tests.deployment.restricted_pod", str(self.folder), str(self.secrets), sys.executable, "-m", "app.cli", *arguments]
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["unshare", "--mount", sys.executable, *inside], cwd=ROOT, env=self.environment, stdout=output, stderr=output
            )

    def ask(self, probe: str) -> int:
        """The status that the kubelet would get."""
        wanted = self.container[probe]["httpGet"]
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[wanted["port"]], timeout=PATIENCE_SECONDS)
        headers = {"Host": "10.1.2.3:8080"} | {item["name"]: item["value"] for item in wanted.get("httpHeaders", ())}
        try:
            connection.request("GET", wanted["path"], headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def started(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        with suppress(ConnectionError):
            return self.ask("startupProbe") == 200
        return False

    def stop(self) -> int:
        """Asks it to end, as Kubernetes does after preStop; it must end within the time that it has."""
        self.process.terminate()
        return self.process.wait(self.spec["terminationGracePeriodSeconds"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.rmdir()
        self.log.unlink()


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    """The files of the Secret, for the group of the pod alone, with the URI of a MongoDB with access control."""
    made = tmp_path / "made"
    run(DEPLOY / "compose" / "secrets.sh", made)
    folder = tmp_path / "secrets"
    folder.mkdir()
    with secured_mongod(tmp_path, made) as (uri, _):
        values = {"mongodb-uri": uri, "secret-key": (made / "jobwright_key").read_text()}
        values |= {key: (made / f"jobwright_{key.replace('-', '_')}").read_text() for key in ("admin-password", "metrics-token")}
        for name, value in values.items():
            (folder / name).write_text(value)
            (folder / name).chmod(0o440)
            os.chown(folder / name, 0, USER)
        folder.chmod(0o755)
        yield folder


def test_the_program_works_as_the_manifests_describe_it(secrets: Path) -> None:
    rows = manifests("production")
    with ExitStack() as stack:

        def pod(name: str) -> Pod:
            made = Pod(rows, name, secrets)
            stack.callback(made.close)
            return made

        migrate = pod("jobwright-migrate")
        assert migrate.process.wait(PATIENCE_SECONDS) == 0, migrate.log.read_text()
        web, scheduler = pod("jobwright-web"), pod("jobwright-scheduler")
        for one in (web, scheduler):
            eventually(one.started)
            assert one.ask("livenessProbe") == 200
            eventually(lambda one=one: one.ask("readinessProbe") == 200)
        found = pry(web, scheduler)
        assert found["user"] == USER
        # What a job can read outside the data folder shows that it has tried.
        assert {door.split()[-1] for door in found["open"]} == {"/etc/passwd"}
        assert (scheduler.stop(), web.stop()) == (0, 0)


def pry(web: Pod, scheduler: Pod) -> dict[str, Any]:
    """What a job finds open of what it must not reach: the secrets, also as a file of another process, and the data folder."""
    outside = {"PATH": os.environ["PATH"], "MONGODB_URI_FILE": str(web.secrets / "mongodb-uri")}
    words = ("token", "create", "--user", "admin@example.com", "--name", "test", "--scope", "write", "--scope", "read", "--scope", "run")
    token = jobwright({**outside, "JOBWRIGHT_SECRET_KEY_FILE": str(web.secrets / "secret-key")}, *words, check=True).stdout.strip()
    headers = {"Authorization": f"Bearer {token}", "Host": "jobs.example.com"}
    with httpx.Client(base_url=f"http://127.0.0.1:{web.ports['http']}", headers=headers, timeout=PATIENCE_SECONDS) as client:
        inside = [f"{scheduler.folder}/{path.name}" for path in [Path(SECRETS)]]
        body = {
            "name": "pry",
            "template_type": "pry",
            "parameters": {
                "read": [*(f"{folder}/{path.name}" for folder in inside for path in scheduler.secrets.iterdir()), "/etc/passwd"],
                "write": [str(scheduler.folder), *inside, "/tmp"],
                "pids": [scheduler.process.pid],
                "addresses": [f"127.0.0.1:{web.ports['http']}"],
            },
            "retry_policy": {"max_retries": 0},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
        started = client.post(f"/api/admin/scheduler-jobs/{job}/run").raise_for_status().json()["execution_id"]
        ended = client.get(f"/api/admin/job-executions/{started}?wait=60").raise_for_status().json()["execution"]
        assert ended["status"] == "success", ended
        return ended["result"]  # type: ignore[no-any-return]


def test_what_the_cage_has_in_such_a_pod(tmp_path: Path) -> None:
    """Landlock works without any right. Namespaces are refused, so that secrets must lie where Landlock hides them: in the data folder."""
    folder = Path(tempfile.mkdtemp(prefix="jobwright-pod-", dir="/var/tmp"))
    code = "from app.sandbox.cage import kernel_features; print(*kernel_features())"
    try:
        words = [
            "unshare",
            "--mount",
            sys.executable,
            "-m",
            "tests.deployment.restricted_pod",
            folder,
            tmp_path,
            sys.executable,
            "-c",
            code,
        ]
        said = subprocess.run(
            [str(word) for word in words],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    finally:
        folder.rmdir()
    assert said.split() == [str(cage.landlock_version()), "False", "False"]

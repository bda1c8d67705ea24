"""Commands on the real service: what they get, what they cannot do, and that nothing of them is left."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.sandbox.cage import landlock_version
from tests.support import Service, alive, eventually

pytestmark = [pytest.mark.security, pytest.mark.integration]

JOBS = "/api/admin/scheduler-jobs"
SH = "/bin/sh"
CANARY = "canary-of-the-service"


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "JOBWRIGHT_COMMAND_PROGRAMS": f"{SH} /bin/echo",
        "JOBWRIGHT_JOB_PATHS": "/nowhere",
        "JOBWRIGHT_OLD_SECRET_KEYS": CANARY,
        "JOBWRIGHT_JOB_PROCESSES": "20",
        "JOBWRIGHT_JOB_LOG_BYTES": "200000",
        "SOME_PASSWORD": CANARY,
        "LD_LIBRARY_PATH": "/nowhere",
    }
    folder = tmp_path_factory.mktemp("data")
    made = Service("serve", uri=mongod, database=f"commands_{os.getpid()}", data_dir=folder, warm=True, **settings).wait_ready()
    yield made
    made.stop()


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.api() as made:
        yield made


def body(script: str, **parameters: Any) -> dict[str, Any]:
    parameters = {"program": SH, "arguments": ["-c", script], **parameters}
    return {"name": f"c {os.urandom(4).hex()}", "template_type": "command", "parameters": parameters, "retry_policy": {"max_retries": 0}}


def start(client: httpx.Client, job: dict[str, Any]) -> str:
    made = client.post(JOBS, json=job).raise_for_status().json()["job"]["_id"]
    return str(client.post(f"{JOBS}/{made}/run", json={}).raise_for_status().json()["execution_id"])


def end_of(client: httpx.Client, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def ended() -> bool:
        found.update(client.get(f"/api/admin/job-executions/{run}").json()["execution"])
        return bool(found["completed_at"])

    eventually(ended)
    return found


def lines_of(client: httpx.Client, run: str) -> list[str]:
    page = client.get(f"/api/admin/job-executions/{run}/logs?limit=10000").raise_for_status().json()
    return [line["message"] for line in page["logs"]]


def run(client: httpx.Client, script: str, **parameters: Any) -> tuple[dict[str, Any], list[str]]:
    execution = start(client, body(script, **parameters))
    return end_of(client, execution), lines_of(client, execution)


def test_a_command_gets_none_of_the_secrets_and_files_of_the_service(client: httpx.Client, service: Service) -> None:
    script = "env; ls -l /proc/self/fd; tr '\\0' '\\n' </proc/$PPID/environ; umask"
    ended, lines = run(client, script)
    text = "\n".join(lines)
    assert ended["status"] == "success", (ended, lines)
    assert CANARY not in text
    assert "mongodb://" not in text
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert not {name for name in names if name.startswith(("LD_", "MONGODB_", "PYTHON"))} - {"PYTHONPATH"}
    descriptors = [line.partition(" -> ")[2] for line in lines if " -> " in line]
    assert len(descriptors) == 4, lines  # input, output, errors, and the folder that is listed
    assert not [target for target in descriptors if "socket" in target]
    assert "0077" in lines


@pytest.mark.skipif(landlock_version() == 0 and not os.environ.get("CI"), reason="this kernel has no Landlock")
def test_the_cage_holds_for_commands(client: httpx.Client, service: Service, tmp_path: Path) -> None:
    """The doors of tests/security/test_cage.py, as a program finds them."""
    key = service.data_dir / "secret.key"
    tmp_path.chmod(0o777)
    script = f"""
        [ -n "$(cat {key})" ] && echo OPEN read
        echo x > {service.data_dir}/owned && echo OPEN data
        echo x > {tmp_path}/owned && echo OPEN elsewhere
        kill -0 {service.process.pid} && echo OPEN signal
        cat /proc/{service.process.pid}/environ && echo OPEN environ
        echo x > own && echo own folder
        exit 0"""
    ended, lines = run(client, script)
    assert ended["status"] == "success", (ended, lines)
    assert "own folder" in lines
    # Landlock forbids signals from version 6 on; an older kernel leaves that to the users.
    allowed = {"OPEN signal"} if landlock_version() < 6 else set()
    assert {line for line in lines if line.startswith("OPEN")} <= allowed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"environment": {"LD_PRELOAD": "/tmp/x.so"}}, "/parameters/environment/LD_PRELOAD"),
        ({"secrets": {"PATH": "/tmp"}}, "/parameters/secrets/PATH"),
        ({"environment": {"A=B": "x"}}, "/parameters/environment/A=B"),
        ({"environment": {"A": "x\0LD_PRELOAD=y"}}, "/parameters/environment/A"),
        ({"arguments": ["a\0b"]}, "/parameters/arguments/0"),
        ({"arguments": "-c id"}, "/parameters/arguments"),
        ({"program": "sh"}, "/parameters/program"),
        ({"shell": True}, "/parameters/shell"),
    ],
)
def test_dangerous_parameters_are_refused_when_they_are_saved(client: httpx.Client, parameters: dict[str, Any], pointer: str) -> None:
    answer = client.post(JOBS, json=body("true", **parameters))
    assert answer.status_code == 422, answer.text
    assert pointer in answer.text


@pytest.mark.parametrize("program", ["/bin/cat", "/bin/../bin/sh", "/proc/self/exe", "/bin/echo "])
def test_a_program_that_is_not_listed_is_warned_of_and_never_started(client: httpx.Client, program: str) -> None:
    job = {**body("true"), "parameters": {"program": program, "arguments": ["/etc/hostname"]}}
    answer = client.post(JOBS, json=job).raise_for_status().json()
    assert "JOBWRIGHT_COMMAND_PROGRAMS" in str(answer["warnings"])
    run_id = client.post(f"{JOBS}/{answer['job']['_id']}/run", json={}).json()["execution_id"]
    ended = end_of(client, run_id)
    assert (ended["status"], ended["error"]["permanent"]) == ("failed", True)
    assert "is not one of the programs" in ended["error"]["message"]


def test_no_shell_reads_arguments(client: httpx.Client) -> None:
    job = {**body(""), "parameters": {"program": "/bin/echo", "arguments": ["$HOME;", "`id`", "$(id)", "&&", "id", "| cat", "*"]}}
    run_id = start(client, job)
    assert end_of(client, run_id)["status"] == "success"
    assert lines_of(client, run_id)[-1] == "$HOME; `id` $(id) && id | cat *"


def test_a_secret_is_in_no_answer(client: httpx.Client) -> None:
    secret = "correct-horse-of-commands"
    job = body('echo "$S"; printf %s "$S" | cut -c1-40; echo "$S" >&2; exit 1', secrets={"S": secret})
    run_id = start(client, job)
    ended = end_of(client, run_id)
    assert ended["status"] == "failed"
    assert secret not in client.get(f"/api/admin/job-executions/{run_id}").text
    assert secret not in client.get(f"/api/admin/job-executions/{run_id}/logs").text
    assert "***" in lines_of(client, run_id)


def test_a_timeout_and_a_cancel_end_every_process(client: httpx.Client, tmp_path: Path) -> None:
    script = "trap '' TERM; (setsid sleep 600 & echo pid $!) ; sleep 600 & echo pid $!; wait; sleep 600"
    timed = start(client, {**body(script), "timeout_seconds": 1})
    cancelled = start(client, body(script))
    eventually(lambda: len(lines_of(client, cancelled)) >= 3)
    client.post(f"/api/admin/job-executions/{cancelled}/cancel", json={}).raise_for_status()
    assert end_of(client, timed)["status"] == "timeout"
    assert end_of(client, cancelled)["status"] == "cancelled"
    pids = [int(line.split()[1]) for run_id in (timed, cancelled) for line in lines_of(client, run_id) if line.startswith("pid ")]
    assert len(pids) == 4
    eventually(lambda: not [pid for pid in pids if alive(pid)])


def test_a_fork_bomb_is_ended(client: httpx.Client) -> None:
    ended, _ = run(client, "while :; do sleep 600 & done")
    assert (ended["status"], ended["error"]["type"]) == ("failed", "TooManyProcesses")


def test_orphans_that_end_are_no_zombies(client: httpx.Client) -> None:
    """More than the limit allows at once, each orphaned; a zombie would count until the end of the run."""
    ended, lines = run(client, "for n in 1 2 3 4; do for m in 1 2 3 4 5 6 7 8; do (true & ) ; done; sleep 1; done; echo done")
    assert (ended["status"], lines[-1]) == ("success", "done")


def test_a_flood_of_output_harms_nobody(client: httpx.Client) -> None:
    ended, lines = run(client, "yes | head -n 30000; head -c 3000000 /dev/zero; echo; head -c 300000 /dev/zero | tr '\\0' z")
    assert ended["status"] == "success", ended
    assert sum(map(len, lines)) < 300_000


def test_what_an_admin_asks_for_waits(client: httpx.Client, service: Service) -> None:
    user = {"email": "admin-of-commands@example.com", "role": "admin"}
    client.post("/api/admin/users", json=user).raise_for_status()
    token = service.token(user["email"])
    with service.client(token) as admin:
        answer = admin.post(JOBS, json=body("touch owned"))
    assert answer.status_code == 202, answer.text
    assert "approval" in answer.text


def test_without_a_list_the_template_is_off(service: Service, client: httpx.Client, mongod: str, tmp_path: Path) -> None:
    job = client.post(JOBS, json=body("true")).raise_for_status().json()["job"]["_id"]
    database = service.environment["JOBWRIGHT_DATABASE"]
    service.stop()
    off = Service("serve", uri=mongod, database=database, data_dir=service.data_dir, warm=True).wait_ready()
    try:
        with off.api() as other:
            answer = other.post(JOBS, json=body("true"))
            assert answer.status_code in {409, 422}
            assert "JOBWRIGHT_COMMAND_PROGRAMS" in answer.text
            run_id = other.post(f"{JOBS}/{job}/run", json={}).raise_for_status().json()["execution_id"]
            ended = end_of(other, run_id)
            assert (ended["status"], ended["error"]["permanent"]) == ("failed", True)
            assert "Commands are switched off here" in ended["error"]["message"]
    finally:
        off.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_commands_run_as_the_user_of_the_jobs_and_start_nothing_that_it_could_change(mongod: str, database_name: str) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    folder = Path(tempfile.mkdtemp(prefix="jobwright-test-"))
    folder.chmod(0o755)
    for name, owner in (("own", nobody), ("of-root", 0)):
        script = folder / name
        script.write_text("#!/bin/sh\nid -u\npwd\necho home $HOME\n")
        script.chmod(0o755)
        os.chown(script, owner, 0)
    settings = {"JOBWRIGHT_JOB_USER": "nobody", "JOBWRIGHT_COMMAND_PROGRAMS": f"{folder}/own {folder}/of-root"}
    service = Service("serve", uri=mongod, database=database_name, data_dir=folder / "data", warm=True, **settings).wait_ready()
    try:
        with service.api() as client:
            runs = [start(client, {**body(""), "parameters": {"program": f"{folder}/{name}"}}) for name in ("own", "of-root")]
            refused, ended = (end_of(client, run_id) for run_id in runs)
            assert refused["status"] == "failed"
            assert f"the user that runs jobs can change {folder}/own" in refused["error"]["message"]
            assert ended["status"] == "success", ended
            _, user, at, home = lines_of(client, runs[1])
            assert (user, home) == (str(nobody), f"home {at}")
    finally:
        service.stop()
        shutil.rmtree(folder)

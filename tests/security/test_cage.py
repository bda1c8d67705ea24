"""What a job process may touch: tried from inside, by a kind of job that tries every door, on the real service."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.keys import SECRET_FILES
from app.sandbox import cage
from tests.support import JOB_PATHS, Service, eventually

NOBODY = pwd.getpwnam("nobody").pw_uid
LOOKS = {"signal", "environ", "mem", "maps"}
NO_TEMP = " ".join(JOB_PATHS[1:])  # tests allow their own folder elsewhere; here it is one of the doors
SECRET = "canary-of-the-environment"

pytestmark = pytest.mark.skipif(cage.landlock_version() == 0 and not os.environ.get("CI"), reason="this kernel has no Landlock")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may pass through; its name has no capital letter, as the path of a socket must not."""
    made = Path(tempfile.mkdtemp(prefix="jobwright-test-"))
    made = made.rename(str(made).lower()) if str(made) != str(made).lower() else made
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def pry(client: Any, kind: str, **parameters: Any) -> dict[str, Any]:
    body = {"name": f"pry {os.urandom(4).hex()}", "template_type": kind, "parameters": parameters, "retry_policy": {"max_retries": 0}}
    job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
    run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
    ended = lambda: (found := client.get(f"/api/admin/job-executions/{run}").json()["execution"])["completed_at"] and found
    found = eventually(ended)
    assert found["status"] == "success", found
    result: dict[str, Any] = found["result"]
    return result


def try_all(folder: Path, kind: str, **settings: str) -> tuple[dict[str, Any], Service]:
    """All doors at once: what the attempt found, of a service with a mongod of its own."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    secrets = {"JOBWRIGHT_METRICS_TOKEN_FILE": data / SECRET_FILES / "token", "JOBWRIGHT_OIDC_CLIENT_SECRET_FILE": folder / "run" / "oidc"}
    for file in secrets.values():
        file.parent.mkdir()
        file.write_text("0Q2mBv8sLx4TzK7nWd1RfYj5HcGp3AeU")
    shared = {
        **{name: str(file) for name, file in secrets.items()},
        "JOBWRIGHT_JOB_PATHS": NO_TEMP,
        "JOBWRIGHT_DRAIN_SECONDS": "1",
        "JOBWRIGHT_ADMIN_PASSWORD_HINT": SECRET,
        "JOBWRIGHT_OLD_SECRET_KEYS": SECRET,
    }
    service = Service("serve", uri="", database="caged", data_dir=data, **{**shared, **settings}).wait_ready(60)
    try:
        with service.client(service.token()) as client:
            # Another job's folder, with its files in it, while it runs.
            other = {"name": "other", "template_type": "noop", "parameters": {"seconds": 60, "file": "of-another"}, "overlap": "allow"}
            job = client.post("/api/admin/scheduler-jobs", json=other).raise_for_status().json()["job"]["_id"]
            client.post(f"/api/admin/scheduler-jobs/{job}/run").raise_for_status()
            theirs = eventually(lambda: next(iter(data.glob("work/*/*/of-another")), None))
            mongod = int((data / "mongod.pid").read_text().split()[0])
            port = service.address.rpartition(":")[2]
            found = pry(
                client,
                kind,
                read=[
                    str(data / "secret.key"),
                    *map(str, secrets.values()),
                    str(data / "mongo" / "WiredTiger"),
                    str(theirs),
                    str(service.log),
                ],
                write=[
                    str(data),
                    str(data / "mongo"),
                    str(theirs.parent),
                    str(elsewhere),
                    tempfile.gettempdir(),
                    str(Path.home()),
                    "/dev/shm",
                ],
                pids=[service.process.pid, mongod],
                addresses=[str(data / "mongo" / "m.sock"), f"127.0.0.1:{port}"],
            )
        return found, service
    finally:
        service.stop()


def held(service: Service) -> dict[str, Any]:
    return next(event for event in service.events() if event.get("event") == "cage.holds" and "pry" in event["kind"])


@pytest.mark.parametrize("kind", ["pry", "pry_reused"])
def test_every_door_is_shut(kind: str, folder: Path) -> None:
    found, service = try_all(folder, kind)
    holds = held(service)
    assert (holds["landlock"] >= 1, holds["mounts"], holds["network"]) == (True, True, True)
    # A reused process of a kind with file stores has doors that are not known when it starts: its files are not Landlock's.
    assert [door for door in found["open"] if kind == "pry" or door.split()[0] in {"connect", *LOOKS}] == []
    closed = ("secret.key", "mongo", SECRET_FILES, str(folder / "run"))
    assert not [door for door in found["open"] if any(part in door for part in closed)]
    assert SECRET not in str(found["environment"])
    assert not {name for name in found["environment"] if name.startswith(("JOBWRIGHT_", "MONGODB_"))}
    assert found["own"] == "x"


def as_nobody(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in a process of its own, of a user who may nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(write, json.dumps(work()).encode())
        except BaseException as error:
            os.write(write, json.dumps({"error": repr(error)}).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)  # nothing of the tests' own process is ended with it
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        found: dict[str, Any] = json.loads(stream.read() or b"{}")
    os.waitpid(pid, 0)
    return found


def test_every_door_is_shut_where_the_service_is_not_root(folder: Path) -> None:
    """By user namespaces and Landlock, which ask for no rights."""
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    data, hidden, own, other = folder / "data", folder / "data" / "mongo", folder / "data" / "own", folder / "data" / "other"
    for made in (data, hidden, own, other):
        made.mkdir()
        shutil.chown(made, NOBODY)
    (hidden / "file").write_text("secret")
    (other / "file").write_text("of another")
    shutil.chown(hidden / "file", NOBODY)
    rules = cage.CageRules(hidden=(str(hidden),), data=str(data))

    def work() -> dict[str, Any]:
        kind = cage.Cage(rules)
        holds = kind.confine_zygote(network=False)
        kind.take_folder(str(own))
        kind.confine_attempt(str(own), ())
        opened = []
        for name, door in {
            "hidden": lambda: (hidden / "file").read_text(),
            "another's": lambda: (other / "file").read_text(),
            "write": lambda: (other / "mine").write_text("x"),
            "temp": lambda: (Path(tempfile.gettempdir()) / "pry-n").write_text("x"),
            "network": lambda: socket.create_connection(("127.0.0.1", port), timeout=2).close(),
            "signal": lambda: os.kill(os.getppid(), 0),
            "undo": lambda: undo(str(hidden)),
        }.items():
            with contextlib.suppress(OSError):
                door()
                opened.append(name)
        (own / "file").write_text("x")
        return {
            "holds": [holds.landlock, holds.mounts, holds.network],
            "open": opened,
            "user": os.getuid(),
            "own": (own / "file").read_text(),
        }

    def undo(path: str) -> None:
        if ctypes.CDLL(None, use_errno=True).umount2(path.encode(), 2) != 0:
            raise OSError(ctypes.get_errno(), "umount")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = as_nobody(work)
    assert found == {"holds": [cage.landlock_version(), True, True], "open": [], "user": NOBODY, "own": "x"}


def test_jobs_run_as_another_user(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    found, _ = try_all(folder, "pry", JOBWRIGHT_JOB_USER="nobody", JOBWRIGHT_CAGE="off")
    assert found["user"] == NOBODY
    assert found["environment"]["HOME"] == found["environment"]["TMPDIR"]
    # By the rights of files alone: nothing of the data folder, no process of the service.
    private = [door for door in found["open"] if "secret.key" in door or "mongo" in door or door.split()[0] in LOOKS]
    assert private == []


def test_without_the_cage_the_doors_are_open(folder: Path) -> None:
    """What the tests above are measured against."""
    found, service = try_all(folder, "pry", JOBWRIGHT_CAGE="off")
    assert not held(service)["landlock"]
    for door in ("read", "write", "signal", "connect", "environ"):
        assert any(one.startswith(door) for one in found["open"]), door


def test_a_file_store_is_a_door(folder: Path, mongod: str, database_name: str) -> None:
    for place in (folder / "elsewhere" / "store", folder / "data" / "store"):
        data = folder / "data"
        service = Service("serve", uri=mongod, database=database_name, data_dir=data, JOBWRIGHT_JOB_PATHS=NO_TEMP).wait_ready()
        try:
            with service.client(service.token()) as client:
                name = f"store {place.parent.name}"
                body = {"name": name, "kind": "file_store", "settings": {"path": str(place)}}
                client.post("/api/admin/connections", json=body).raise_for_status()
                for kind in ("pry", "pry_reused"):
                    found = pry(client, kind, store=name, write=[str(place.parent)])
                    assert found["stored"] == "kept"
                    if kind == "pry":
                        assert found["open"] == []
            assert (place / "inner" / "file").read_bytes() == b"kept"
        finally:
            service.stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"JOBWRIGHT_JOB_USER": "no-such-user"}, "there is no user"), ({"JOBWRIGHT_CAGE": "iron"}, "JOBWRIGHT_CAGE")],
)
def test_a_cage_that_cannot_be_stops_the_start(
    settings: dict[str, str], words: str, mongod: str, database_name: str, tmp_path: Path
) -> None:
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path, **settings)
    assert service.process.wait(60) == 78
    assert words in service.log.read_text()


def test_what_would_hold_is_found_out_without_harm() -> None:
    spaces = lambda: [Path(f"/proc/self/ns/{name}").readlink() for name in ("net", "mnt", "user")]
    before = spaces()
    assert cage.kernel_features().landlock == cage.landlock_version()
    assert spaces() == before

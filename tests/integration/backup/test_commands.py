"""`jobwright backup` and `jobwright restore` as people run them, beside and around a running service."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from app.connected import connected_processes
from app.factory import Store
from tests.commands import jobwright
from tests.support import KEY, OTHER_KEY, Service, eventually

EVERY_SECOND = {"name": "Each second", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 1}}


def test_a_service_goes_on_where_the_backup_was_taken(empty: Store, mongod: str, tmp_path: Path) -> None:
    """Nothing that was due between the backup and the next start runs, and nothing runs twice."""
    database = empty.database

    def serve() -> Service:
        extra = {"JOBWRIGHT_SECRET_KEY": KEY, "JOBWRIGHT_PROBE_SECONDS": "3600"}
        return Service("serve", uri=mongod, database=database.name, data_dir=tmp_path / "data", warm=True, **extra).wait_ready()

    executions = database["job_executions"]
    first = serve()
    try:
        with first.api() as client:
            assert client.post("/api/admin/scheduler-jobs", json=EVERY_SECOND).status_code == 201
        eventually(lambda: executions.count_documents({"status": "success"}) > 2)
        said = first.command("backup", str(tmp_path))
        at_backup = {row["_id"] for row in executions.find()}
        eventually(lambda: executions.count_documents({"status": "success"}) > len(at_backup) + 2)
        refused = jobwright(first.environment, "restore", said, "--replace")
        assert (refused.returncode, "Nodes are online" in refused.stderr) == (78, True)
    finally:
        first.stop()
    ran_before = _due_times(executions)
    done = jobwright(first.environment, "restore", said, "--replace")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Restored.")
    kept = _due_times(executions)
    assert kept <= ran_before
    second = serve()
    try:
        eventually(lambda: executions.count_documents({"status": "success"}) > len(kept) + 2)
        summary = eventually(lambda: executions.find_one({"status": "skipped", "reason": "maintenance"}))
    finally:
        second.stop()
    ran_after = _due_times(executions)
    assert not (ran_before & (ran_after - kept)), "it ran again"
    assert summary["due_times"]["first"] > max(kept)
    assert min(ran_after - kept) > summary["due_times"]["last"]
    assert "0 problems" in second.command("doctor").splitlines()[-1]


def _due_times(executions: Any) -> set[Any]:
    rows = list(executions.find({"status": "success"}))
    times = {row["scheduled_for"] for row in rows}
    assert len(times) == len(rows)
    return times


def test_a_web_server_that_is_connected_is_noticed(environment: dict[str, str], empty: Store, mongod: str, tmp_path: Path) -> None:
    """It is in no list of nodes."""
    said = jobwright(environment, "backup", str(tmp_path), check=True).stdout.strip()
    web = Service("web", uri=mongod, database=empty.database.name, data_dir=tmp_path / "data", warm=True).wait_ready()
    try:
        assert [one.role for one in connected_processes(empty.client, empty.database.name)] == ["web"]
        assert connected_processes(empty.client, f"{empty.database.name}2") == []
        refused = jobwright(environment, "restore", said, "--replace")
        assert refused.returncode == 78
        assert re.search(rf"connected to this database: web \(.+, {version('jobwright')}\)\. Stop them first", refused.stderr)
    finally:
        assert web.stop() == 0
    assert jobwright(environment, "restore", said, "--replace").stdout.splitlines()[0] == "Restored."


@pytest.fixture
def environment(empty: Store, mongod: str, tmp_path: Path) -> dict[str, str]:
    """The settings of an installation whose key is in its data folder, with one account."""
    settings = {
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": empty.database.name,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
        "PATH": "/usr/bin:/bin",
    }
    words = ("user", "create", "--email", "ada@example.com", "--role", "super_admin", "--password", "correct horse battery")
    jobwright(settings, *words, check=True)
    return settings


def test_an_encrypted_backup_with_its_key_restores_elsewhere(environment: dict[str, str], empty: Store, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple\n")
    made = jobwright(environment, "backup", str(tmp_path), "--with-key", "--passphrase-file", str(secret), check=True)
    assert "Anyone who reads it can decrypt all secrets" in made.stderr
    path = made.stdout.strip()
    checked = jobwright(environment, "restore", path, "--check", "--passphrase-file", str(secret), check=True)
    assert "intact" in checked.stdout
    assert jobwright(environment, "restore", path, "--check").returncode == 2
    name = f"{empty.database.name}_2"
    elsewhere = {**environment, "JOBWRIGHT_DATA_DIR": str(tmp_path / "elsewhere")}
    words = ("restore", path, "--into", name, "--passphrase-file", str(secret))
    try:
        without = jobwright(elsewhere, *words)
        assert (without.returncode, "JOBWRIGHT_SECRET_KEY" in without.stderr) == (78, True)
        jobwright(elsewhere, *words, "--with-key", check=True)
        listed = jobwright({**elsewhere, "JOBWRIGHT_DATABASE": name}, "user", "list", check=True)
        assert "ada@example.com" in listed.stdout
        key = tmp_path / "elsewhere" / "secret.key"
        assert key.read_text() == (tmp_path / "data" / "secret.key").read_text()
        assert key.stat().st_mode & 0o777 == 0o600
        other = {**environment, "JOBWRIGHT_SECRET_KEY": OTHER_KEY}
        wrong = jobwright(other, *words, "--replace")
        assert (wrong.returncode, "JOBWRIGHT_OLD_SECRET_KEYS" in wrong.stderr) == (78, True)
    finally:
        empty.client.drop_database(name)


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ((), 2, "either FILE"),
        (("--finish", "--roll-back"), 2, "either FILE"),
        (("--finish", "--check"), 2, "--check needs FILE"),
        (("--finish",), 78, "unfinished"),
        (("--roll-back",), 78, "unfinished"),
        (("/dev/null",), 78, "not a backup"),
    ],
)
def test_what_makes_no_sense_is_refused(environment: dict[str, str], words: tuple[str, ...], code: int, part: str) -> None:
    done = jobwright(environment, "restore", *words)
    assert (done.returncode, part in done.stderr) == (code, True), done.stderr


def test_a_weak_passphrase_and_an_unfit_target_are_refused(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "weak").write_text("short")
    weak = jobwright(environment, "backup", str(tmp_path / "x.zip"), "--passphrase-file", str(tmp_path / "weak"))
    nowhere = jobwright(environment, "backup", str(tmp_path / "missing" / "x.zip"))
    assert (weak.returncode, "fewer than 16" in weak.stderr) == (78, True)
    assert (nowhere.returncode, "No such file" in nowhere.stderr) == (78, True)
    assert not list(tmp_path.glob("*x.zip*"))

"""Backups: complete, of one instant, and there only when they are whole."""

from __future__ import annotations

import fcntl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.raw_bson import RawBSONDocument

from app.backup import create
from app.backup.archive import Reader
from app.backup.create import Backups
from app.backup.encryption import DecryptingReader
from app.backup.restore import Restores, Wishes
from app.backup.snapshot import take_snapshot
from app.errors import BackupRefused, StartError
from app.factory import Store
from app.jobs.model import Job
from app.mongo import EXACT
from app.services import Services
from tests.builders.queue import execution_document
from tests.integration.backup.conftest import CLI
from tests.integration.backup.states import content_of, indexes_of, killed_command
from tests.support import KEY, eventually

PASSPHRASE = b"correct horse battery staple"
ODD = {
    "_id": "odd",
    "values": [
        Int64(1),
        1,
        1.0,
        Decimal128("1.10"),
        Regex("a+", "i"),
        Timestamp(1, 2),
        Code("x", {"y": 1}),
        MinKey(),
        MaxKey(),
        Binary(b"\0\1", 5),
        b"bytes",
        ObjectId("0123456789abcdef01234567"),
        DBRef("jobs", "x"),
        DatetimeMS(-(1 << 60)),
        datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        None,
        {"$date": "no date", "a.b": 1, "": 2},
        "\0 \u2028 😀",
    ],
}


def test_a_restored_backup_has_every_document_and_index_as_it_was(
    backups: Backups, store: Store, empty: Store, services: Services, job: Job, tmp_path: Path
) -> None:
    exact: Any = store.database.with_options(codec_options=EXACT)
    exact["job_notes"].insert_one(ODD)
    path, manifest = backups.create(CLI, tmp_path)
    before, indexes = content_of(store.database), indexes_of(store.database)
    with path.open("rb") as stream:
        Restores(empty, services.clock, services.keys).restore(CLI, Reader(stream), Wishes())
    after = content_of(empty.database)
    unchanged = before.keys() - {"audit_log", "nodes", "sessions", "sign_in_attempts"}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert before["audit_log"].items() <= after["audit_log"].items()
    assert {name: indexes_of(empty.database)[name] for name in indexes} == indexes
    assert manifest.documents == sum(map(len, before.values()))
    assert (manifest.installation, manifest.keys[0]) == ("Shop", services.keys.fingerprints()[0])
    assert services.audit.verify().breaks == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [path.name]


def test_a_backup_is_of_one_instant_while_others_write(backups: Backups, store: Store, tmp_path: Path) -> None:
    """Two documents of two collections change in one transaction. Each backup has both from the same one."""
    first, second, stop = store.database["api_tokens"], store.database["users"], threading.Event()
    first.insert_one({"_id": "n", "n": 0})
    second.insert_one({"_id": "n", "n": 0})
    filler = store.database["job_notes"]
    filler.insert_many([{"_id": str(number), "text": "x" * 1000} for number in range(3000)])

    def write() -> None:
        number = 0
        with store.client.start_session() as session:
            while not stop.is_set():
                number += 1
                with session.start_transaction():
                    first.update_one({"_id": "n"}, {"$set": {"n": number}}, session=session)
                    second.update_one({"_id": "n"}, {"$set": {"n": number}}, session=session)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: first.find_one({"n": {"$gt": 5}}))
        seen = []
        for number in range(4):
            path, _ = backups.create(CLI, tmp_path / f"{number}.zip")
            with path.open("rb") as stream:
                reader = Reader(stream)
                found = [_document(reader, name, "n")["n"] for name in ("api_tokens", "users")]
            assert found[0] == found[1]
            seen.append(found[0])
    finally:
        stop.set()
        thread.join()
    assert len(set(seen)) > 1


def _document(reader: Reader, name: str, key: str) -> Any:
    part = next(part for part in reader.manifest.parts if part.name == name)
    return next(row for row in map(RawBSONDocument, reader.documents(part)) if row["_id"] == key)


def test_a_collection_that_is_made_meanwhile_begins_the_backup_anew(
    backups: Backups, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    original = create.Backups._write_snapshot

    def rename_once(self: Backups, snapshot: Any, *args: Any, **options: Any) -> Any:
        if not made:
            made.append(True)
            store.database["job_notes"].rename("job_notes_aside")
            store.database["job_notes_aside"].rename("job_notes")
        return original(self, snapshot, *args, **options)

    monkeypatch.setattr(create.Backups, "_write_snapshot", rename_once)
    path, _ = backups.create(CLI, tmp_path / "x.zip")
    with path.open("rb") as stream:
        Reader(stream).verify()
    assert made


def test_a_snapshot_that_the_server_no_longer_keeps_is_explained(store: Store) -> None:
    admin, notes = store.client.admin, store.database["job_notes"]
    notes.insert_many([{"_id": str(number), "text": "x" * 100} for number in range(5000)])
    admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
    try:
        with take_snapshot(store.client, store.database) as snapshot:

            def is_too_old() -> bool:
                notes.update_many({}, {"$inc": {"n": 1}})
                try:
                    list(snapshot.batches("job_notes", history=True))
                except BackupRefused as error:
                    return "minSnapshotHistoryWindowInSeconds" in error.detail
                return False

            assert eventually(is_too_old)
    finally:
        admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=300)


def test_without_history_a_backup_has_only_what_goes_on(backups: Backups, store: Store, job: Job, tmp_path: Path) -> None:
    executions, now = store.database["job_executions"], datetime(2026, 3, 2, tzinfo=UTC)
    for key, fields in {"waits": {}, "ended": {"status": "success"}, "owes": {"status": "failed", "owed": [{"what": "notify"}]}}.items():
        row = execution_document(job, now=now, execution_id=key)
        executions.insert_one({**row, "_id": key, **fields})
    store.database["execution_logs"].insert_one({"_id": "x", "lines": []})
    path, manifest = backups.create(CLI, tmp_path / "x.zip", history=False)
    counts = {part.name: part.documents for part in manifest.parts}
    assert (counts["job_executions"], counts["execution_logs"], counts["dynamic_jobs"]) == (2, 0, 1)
    assert any("history" in text for text in manifest.left_out)
    assert path.exists()


def test_the_key_is_in_a_backup_only_if_asked_for(backups: Backups, tmp_path: Path) -> None:
    for with_key in (False, True):
        path, manifest = backups.create(CLI, tmp_path / f"{with_key}.zip", with_key=with_key)
        with path.open("rb") as stream:
            held = Reader(stream).key()
        assert (held.current if held else None) == (KEY if with_key else None)
        assert any("JOBWRIGHT_SECRET_KEY" in text for text in manifest.left_out) is not with_key
        assert (KEY.encode() in path.read_bytes()) is False  # compressed


def test_an_encrypted_backup_opens_with_its_passphrase_alone(backups: Backups, job: Job, tmp_path: Path) -> None:
    path, _ = backups.create(CLI, tmp_path, passphrase=PASSPHRASE)
    with path.open("rb") as stream:
        with pytest.raises(StartError, match="cannot be read"):
            Reader(stream)
        Reader(cast("Any", DecryptingReader(stream, PASSPHRASE))).verify()
        with pytest.raises(StartError, match="passphrase is wrong"):
            DecryptingReader(stream, PASSPHRASE + b"!")


def test_two_backups_to_one_path_do_not_mix(backups: Backups, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with (tmp_path / ".x.zip.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackupRefused, match="Another process"):
            backups.create(CLI, path)
    backups.create(CLI, path)
    assert [entry.name for entry in tmp_path.glob("*x.zip*")] == ["x.zip"]


def test_a_backup_that_fails_leaves_the_earlier_one(backups: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = backups.create(CLI, tmp_path / "x.zip")
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(create.Writer, "finish", full)
    with pytest.raises(OSError, match="No space"):
        backups.create(CLI, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.glob("*x.zip*")] == ["x.zip"]


@pytest.mark.parametrize("at", [3, 12, 40])
def test_a_backup_that_is_killed_leaves_the_earlier_one(
    services: Services, store: Store, job: Job, mongod: str, tmp_path: Path, at: int
) -> None:
    environment = {
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": store.database.name,
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
    }
    path = tmp_path / "x.zip"
    assert not killed_command(environment, "backup", str(path), at=10_000)
    before = path.read_bytes()
    assert killed_command(environment, "backup", str(path), at=at, reads=True)
    assert path.read_bytes() == before
    assert not killed_command(environment, "backup", str(path), at=10_000)
    with path.open("rb") as stream:
        Reader(stream).verify()
    assert not (tmp_path / ".x.zip.partial").exists()

"""Restoring: the old state or the new one, whenever it is killed, and no run because of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import Actor
from app.backup.archive import MANIFEST, Reader
from app.backup.create import Backups
from app.backup.restore import Restores, Wishes
from app.clock import ManualClock
from app.errors import BackupRefused, StartError
from app.factory import Store, open_store
from app.jobs.model import Job
from app.keys import KeyRing
from app.migrations import Migrator
from app.queue.execution import Execution
from app.restore_marker import RestoreMarks, Stage, require_no_restore
from app.services import Services
from tests.builders.killed import Killed, killed_at_write
from tests.builders.queue import execution_document
from tests.integration.backup.conftest import CLI
from tests.integration.backup.states import content_of, killed_command, put
from tests.lengths import one_in
from tests.support import KEY, OTHER_KEY

REPLACE = Wishes(replace=True, force=True)
KEEPS = {"audit_log", "nodes", "sessions", "sign_in_attempts", "restores"}


@pytest.fixture
def restores(empty: Store, services: Services) -> Restores:
    """Restores into the empty database."""
    return Restores(empty, services.clock, services.keys)


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    with path.open("rb") as stream:
        yield Reader(stream)


def restored(restores: Restores, path: Path, wishes: Wishes = REPLACE) -> Any:
    with opened(path) as reader:
        return restores.restore(CLI, reader, wishes)


def without_trail(content: dict[str, Any]) -> dict[str, Any]:
    """A content without what a restore itself writes, and without collections that are empty."""
    return {name: rows for name, rows in content.items() if name not in KEEPS and rows}


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def old(restores: Restores, empty: Store, backup: Path) -> dict[str, Any]:
    """What the database holds before it is replaced: another registry."""
    restored(restores, backup)
    database = empty.database
    database["job_notes"].insert_one({"_id": "only here"})
    database["dynamic_jobs"].update_one({}, {"$set": {"description": "changed since"}})
    database["of_a_later_version"].insert_one({"_id": "x"})
    return content_of(database)


def test_a_restore_that_is_killed_at_any_write_can_be_finished_or_rolled_back(
    restores: Restores, empty: Store, backup: Path, old: dict[str, Any]
) -> None:
    database = empty.database
    restored(restores, backup)
    new = without_trail(content_of(database))
    assert new != without_trail(old)
    stages, number, ended = set(), 0, False
    while not ended:
        put(database, old)
        ended = not _dies(number, lambda: restored(restores, backup))
        mark = RestoreMarks(database).get()
        stages.add(mark.stage if mark else None)
        if mark is None:
            assert content_of(database) == old if not ended else without_trail(content_of(database)) == new
        else:
            with pytest.raises(StartError, match="not finished"):
                require_no_restore(database)
            _settle_stopped(restores, database, mark.stage, old=old, new=new)
        number += _STEP
    assert {Stage.LOADING, Stage.SWITCHING, None} <= stages


_STEP = 13 if len(one_in(2, range(4))) < 4 else 1  # `make check` kills it at some writes, `make check-long` at each


def _dies(number: int, act: Any) -> bool:
    try:
        with killed_at_write(number):
            act()
    except Killed:
        return True
    return False


def _settle_stopped(restores: Restores, database: Any, stage: Stage, *, old: Any, new: Any) -> None:
    """Both ways out of a stopped restore lead to a whole state, also if they are killed once themselves."""
    stopped = content_of(database)
    if stage is not Stage.CLEANING:
        for number in (0, 3, 9, 20):
            put(database, stopped)
            if _dies(number, restores.roll_back):
                restores.roll_back()
            assert content_of(database) == old
            require_no_restore(database)
    put(database, stopped)
    if stage is Stage.LOADING:
        with pytest.raises(BackupRefused, match="--roll-back"):
            restores.finish(CLI)
        restores.roll_back()
        return
    for number in (0, 2, 11):
        put(database, stopped)
        if _dies(number, lambda: restores.finish(CLI)):
            restores.finish(CLI)
        assert without_trail(content_of(database)) == new
        require_no_restore(database)


@pytest.mark.parametrize(("stage", "at"), [(Stage.LOADING, 8), (Stage.SWITCHING, 4), (Stage.SWITCHING, 20), (Stage.MIGRATING, 1)])
def test_a_killed_command_leaves_a_database_on_which_nothing_starts(
    restores: Restores, empty: Store, backup: Path, old: dict[str, Any], mongod: str, tmp_path: Path, stage: Stage, at: int
) -> None:
    database = empty.database
    environment = {
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": database.name,
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
    }
    assert killed_command(environment, "restore", str(backup), "--replace", at=at, after=f"'stage': '{stage.value}'")
    mark = RestoreMarks(database).get()
    assert mark
    assert mark.stage is stage
    with pytest.raises(StartError, match="not finished"):
        open_store(replace(_settings(environment), secret_key=KEY))
    if stage is Stage.LOADING:
        assert not killed_command(environment, "restore", "--roll-back", at=10_000)
        assert content_of(database) == old
    else:
        assert not killed_command(environment, "restore", "--finish", at=10_000)
        assert database["job_notes"].count_documents({}) == 0
        assert "of_a_later_version" not in database.list_collection_names()
    open_store(replace(_settings(environment), secret_key=KEY)).close()


def _settings(environment: dict[str, str]) -> Any:
    from app.config import load_settings

    return load_settings(environment)


# -- what a restore starts: nothing -----------------------------------------------------------------------------------


def test_a_restore_starts_no_run(
    backups: Backups, store: Store, services: Services, restores: Restores, empty: Store, job: Job, tmp_path: Path
) -> None:
    now = services.clock.now()
    attempt = {"number": 1, "started_at": now, "completed_at": None, "status": "running", "error": None}
    lease = {"owner": "old", "token": 7, "expires_at": now + timedelta(seconds=30)}
    rows = {
        "queued": {"live": True, "queue_rank": now},
        "retrying": {
            "live": True,
            "queue_rank": now,
            "status": "retrying",
            "attempts": [{**attempt, "status": "failed", "completed_at": now}],
        },
        "running": {"live": True, "status": "running", "attempts": [attempt], "lease": lease, "slots": ["a"], "last_token": 7},
        "ended": {
            "status": "success",
            "completed_at": now,
            "owed": [_owed("notify", now), {**_owed("followers", None), "given_up_at": now}],
        },
    }
    for key, fields in rows.items():
        row = execution_document(job, now=now, execution_id=key)
        row.pop("live", None)
        store.database["job_executions"].insert_one({**row, "_id": key, **fields})
    outbox = {"claim": "c", "at": now, "executions": [{"_id": "planned"}]}
    store.database["dynamic_jobs"].update_one({}, {"$set": {"dispatch": outbox}})
    path, _ = backups.create(CLI, tmp_path / "x.zip")
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(7 * 86_400)
    settled = restored(restores, path, Wishes())
    assert (settled.lost, settled.cancelled, settled.given_up, settled.jobs) == (1, 2, 1, 1)
    found = {row["_id"]: row for row in empty.database["job_executions"].find()}
    assert {key: row["status"] for key, row in found.items()} == {
        "queued": "cancelled",
        "retrying": "cancelled",
        "running": "failed",
        "ended": "success",
    }
    assert not any({"live", "queue_rank", "lease", "slots"} & row.keys() for key, row in found.items() if key != "ended")
    assert found["running"]["attempts"][0]["completed_at"] == services.clock.now()
    assert all(item["at"] is None and item["given_up_at"] for item in found["ended"]["owed"])
    assert all(Execution.from_row(row) for row in found.values())
    (job_row,) = empty.database["dynamic_jobs"].find()
    assert "dispatch" not in job_row
    assert (job_row["paused"]["cause"], job_row["next_run_at"]) == ("maintenance", None)


def test_totals_of_metrics_begin_at_0(services: Services, restores: Restores, backups: Backups, empty: Store, tmp_path: Path) -> None:
    """Prometheus has read later totals. Earlier ones would look like a restart after which everything of them happened at once."""
    backups.store.database["metric_totals"].insert_one({"_id": "executions", "until": services.clock.now(), "counts": {"lost": 1000.0}})
    path, _ = backups.create(CLI, tmp_path / "x.zip")
    restored(restores, path, Wishes())
    assert list(empty.database["metric_totals"].find()) == []


def _owed(what: str, at: datetime | None) -> dict[str, Any]:
    return {"what": what, "at": at, "tries": 0, "error": None, "given_up_at": None}


def test_pause_all_pauses_what_starts_by_itself(
    backups: Backups, services: Services, restores: Restores, empty: Store, admin: Actor, job: Job, tmp_path: Path
) -> None:
    by_hand = {"name": "By hand", "template_type": "noop", "schedule": {"type": "manual"}}
    after = {"name": "After", "template_type": "noop", "schedule": {"type": "manual"}, "depends_on": [{"job": job.id}]}
    for body in (by_hand, after):
        services.jobs.create(admin, body)
    path, _ = backups.create(CLI, tmp_path / "x.zip")
    assert restored(restores, path, Wishes(pause_all=True)).jobs == 2
    rows = {row["name"]: row for row in empty.database["dynamic_jobs"].find()}
    assert {name: (row.get("paused") or {}).get("cause") for name, row in rows.items()} == {
        "Minutely": "person",
        "After": "person",
        "By hand": None,
    }


def test_an_older_backup_is_migrated(
    backups: Backups, store: Store, services: Services, restores: Restores, empty: Store, job: Job, tmp_path: Path
) -> None:
    migrator = Migrator(store.database, services.clock)
    migrator.downgrade("0018_execution_lists")
    try:
        path, manifest = backups.create(CLI, tmp_path / "x.zip")
    finally:
        migrator.upgrade()
    assert manifest.migrations[-1] == "0018_execution_lists"
    restored(restores, path, Wishes())
    assert Migrator(empty.database, services.clock).pending() == []
    actions = [row["action"] for row in empty.database["audit_log"].find().sort("seq", 1)]
    assert actions[-1] == "backup.restore"


# -- refused ----------------------------------------------------------------------------------------------------------


def test_a_database_that_holds_something_is_not_touched(restores: Restores, empty: Store, services: Services, backup: Path) -> None:
    empty.database["shop"].insert_one({"_id": 1})
    for wishes in (Wishes(), Wishes(replace=True)):
        with pytest.raises(BackupRefused, match="not those of Jobwright"):
            restored(restores, backup, wishes)
    empty.database["shop"].drop()
    restored(restores, backup, Wishes())
    with pytest.raises(BackupRefused, match="--replace"):
        restored(restores, backup, Wishes())
    now = services.clock.now()
    empty.database["nodes"].insert_one({"_id": "n1", "host": "h", "seen_at": now, "clock": now, "tick_age": 0.1})
    before = content_of(empty.database)
    with pytest.raises(BackupRefused, match="Nodes are online: n1"):
        restored(restores, backup, Wishes(replace=True))
    assert content_of(empty.database) == before


def test_a_backup_needs_the_key_that_it_was_made_with(empty: Store, services: Services, backup: Path) -> None:
    with pytest.raises(BackupRefused, match="JOBWRIGHT_OLD_SECRET_KEYS"):
        restored(Restores(empty, services.clock, KeyRing(OTHER_KEY)), backup)
    assert content_of(empty.database) == {}
    restored(Restores(empty, services.clock, KeyRing(OTHER_KEY, (KEY,))), backup)


def changed(path: Path, to: Path, **changes: Any) -> Path:
    """A copy of a backup whose manifest says something else, or that has other members (`members`)."""
    members = changes.pop("members", {})
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = members.get(name, source.read(name))
            if name == MANIFEST:
                content = json.dumps({**json.loads(content), **changes})
            target.writestr(name, content)
    return to


def test_a_manifest_that_lies_is_refused(restores: Restores, empty: Store, backup: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(backup) as source:
        parts = json.loads(source.read(MANIFEST))["parts"]
    jobs = next(part for part in parts if part["name"] == "dynamic_jobs")
    others = [part for part in parts if part is not jobs]
    lies: list[tuple[dict[str, Any], str]] = [
        ({"migrations": ["0001_registry", "9999_from_the_future"]}, "9999_from_the_future"),
        ({"migrations": []}, "unknown here"),
        ({"migrations": ["0001_registry"]}, "migrations are not those"),
        ({"jobwright_installation": 2}, "format"),
        ({"parts": [*others, {**jobs, "documents": "2"}]}, "damaged"),
        ({"parts": [*others, {**jobs, "sha256": "0" * 64}]}, "damaged"),
        ({"parts": [*others, {**jobs, "size": 1}]}, "larger than the manifest"),
        ({"parts": [*others, {**jobs, "documents": -1}]}, "manifest cannot be read"),
        ({"parts": [*others, {**jobs, "indexes": [{"key": 1, "name": "x"}]}]}, "manifest cannot be read"),
        ({"parts": [*others, {**jobs, "indexes": [{"key": {"a": "nonsense"}, "name": "x"}]}]}, "MongoDB refuses"),
        ({"parts": [*parts, jobs]}, "no installation has"),
        *(
            ({"parts": [{**jobs, "name": name}]}, "no installation has")
            for name in ("../users", "system.users", "restores", "restore_old.x", "")
        ),
        ({"parts": [{**jobs, "name": "missing"}]}, "cannot be read"),
        ({"parts": 1}, "manifest cannot be read"),
        ({"at": "yesterday"}, "manifest cannot be read"),
    ]
    for number, (lie, words) in enumerate(lies):
        path = changed(backup, tmp_path / f"{number}.zip", **lie)
        with pytest.raises(BackupRefused, match=words):
            restored(restores, path)
        assert content_of(empty.database) == {}, lie


@pytest.mark.parametrize("content", [b"\x05\0\0\0", b"\xff\xff\xff\x7f" * 9, b"\0" * 64, b"x" * 5_000_000], ids=len)
def test_members_that_are_no_documents_are_refused(restores: Restores, empty: Store, backup: Path, tmp_path: Path, content: bytes) -> None:
    path = changed(backup, tmp_path / "x.zip", members={"collections/dynamic_jobs.bson": content})
    with pytest.raises(BackupRefused):
        restored(restores, path)
    assert content_of(empty.database) == {}


def test_a_file_that_is_cut_or_changed_anywhere_is_refused(restores: Restores, empty: Store, backup: Path, tmp_path: Path) -> None:
    whole, path = backup.read_bytes(), tmp_path / "x.zip"
    refused = 0
    for place in one_in(7, range(0, len(whole), 37)):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                with opened(path) as reader:
                    reader.verify()
            except BackupRefused:
                refused += 1
            else:  # a byte that says nothing, such as the time of a member
                assert len(content) == len(whole)
    assert refused > 20
    path.write_bytes(b"no zip")
    with pytest.raises(BackupRefused, match="not a backup"):
        restored(restores, path)

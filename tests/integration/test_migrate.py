"""Several processes migrate one database: one does the work, also if it is killed half-way, slow or paused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace

import pytest
from pymongo.database import Database

from app.clock import ManualClock
from app.errors import StartError
from app.migrations import Migrator, find_migrations
from app.mongo import Document, connect, open_database
from tests.commands import jobwright
from tests.support import eventually

pytestmark = pytest.mark.integration
START = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = [name for name, _ in find_migrations()]
# Stops in the middle of a migration and waits until it is killed. Its lease is short, so that a test need not wait a minute for it.
HALF_WAY = """
import threading
import app.migrations
from app.cli import main
from migrations_scripts import m0017_outbox as migration
whole = migration.up
def half(database):
    whole(database)
    print("half-way", flush=True)
    threading.Event().wait()
migration.up = half
app.migrations.LOCK_SECONDS = 3
main()
"""


@pytest.fixture
def empty(mongod: str, database_name: str) -> Iterator[Database[Document]]:
    client = connect(mongod)
    yield open_database(client, database_name)
    client.drop_database(database_name)
    client.close()


@pytest.fixture
def environment(mongod: str, database_name: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_"))}
    return {**clean, "MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": database_name}


# -- as processes -----------------------------------------------------------------------------------------------------


def test_of_two_that_migrate_at_once_one_does_the_work(empty: Database[Document], environment: dict[str, str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        said = sorted(pool.map(lambda _: jobwright(environment, "migrate", check=True).stdout, range(3)))
    assert said == sorted(["There is nothing to migrate.\n"] * 2 + ["\n".join(NAMES) + "\n"])
    assert empty["migrations"].find_one({"_id": "lock"}) is None


def test_after_one_that_is_killed_half_way_the_next_one_goes_on(empty: Database[Document], environment: dict[str, str]) -> None:
    with subprocess.Popen([sys.executable, "-c", HALF_WAY, "migrate"], env=environment, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == "half-way\n"
        dying.kill()
    applied = Migrator(empty, ManualClock(START)).applied()
    assert applied == NAMES[: NAMES.index("0017_outbox")]
    assert jobwright(environment, "migrate", "--wait", "0").returncode == 78, "the lock of the dead one holds until it expires"
    assert jobwright(environment, "migrate", check=True).stdout.split() == NAMES[len(applied) :]
    assert Migrator(empty, ManualClock(START)).applied() == NAMES


def test_a_check_changes_nothing_and_waits_for_another_process(empty: Database[Document], environment: dict[str, str]) -> None:
    checked = jobwright(environment, "migrate", "--check")
    assert (checked.returncode, checked.stdout.split()) == (1, NAMES)
    assert empty.list_collection_names() == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(jobwright, environment, "migrate", "--check", "--wait", "120")
        jobwright(environment, "migrate", check=True)
        assert (waiting.result().returncode, waiting.result().stdout) == (0, "There is nothing to migrate.\n")
    assert jobwright(environment, "migrate", "--check", "--down-to", "zero").returncode == 2


@pytest.mark.parametrize("command", [("web",), ("scheduler",), ("user", "create", "--email", "ada@example.com")])
def test_with_never_a_process_does_not_start_before_the_migrations(
    command: tuple[str, ...], empty: Database[Document], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = str(tmp_path_factory.mktemp("data"))
    settings = {"JOBWRIGHT_MIGRATE": "never", "JOBWRIGHT_DATA_DIR": data, "PORT": "0", "JOBWRIGHT_NEW_PASSWORD": "correct horse battery"}
    refused = jobwright({**environment, **settings}, *command)
    assert refused.returncode == 78
    assert f"The registry has pending migrations ({', '.join(NAMES)}). Run `jobwright migrate`." in refused.stderr
    assert empty.list_collection_names() == []


def test_the_setting_is_one_of_two_words(environment: dict[str, str]) -> None:
    refused = jobwright({**environment, "JOBWRIGHT_MIGRATE": "later"}, "migrate")
    assert (refused.returncode, "JOBWRIGHT_MIGRATE" in refused.stderr) == (78, True)


# -- the lease --------------------------------------------------------------------------------------------------------


class Slow:
    """A migrator in a thread, which stands in its first migration until it may go on."""

    def __init__(self, database: Database[Document], patch: pytest.MonkeyPatch) -> None:
        self.clock, self.go_on, began = ManualClock(START), threading.Event(), threading.Event()
        self.rows = database["migrations"]

        def up(_: Database[Document]) -> None:
            began.set()
            assert self.go_on.wait(120)

        steps: list[tuple[str, ModuleType | SimpleNamespace]] = [("1_slow", SimpleNamespace(up=up)), ("2_next", SimpleNamespace(up=up))]
        patch.setattr("app.migrations.find_migrations", lambda: steps)
        patch.setattr("app.migrations.RENEW_SECONDS", 0.01)
        self.migrator = Migrator(database, self.clock)
        self.pool = ThreadPoolExecutor(1)
        self.work: Future[list[str]] = self.pool.submit(self.migrator.upgrade)
        assert began.wait(120)

    def expires_at(self) -> datetime:
        row = self.rows.find_one({"_id": "lock"})
        assert row is not None
        return row["expires_at"]  # type: ignore[no-any-return]


@pytest.fixture
def slow(empty: Database[Document], monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow(empty, monkeypatch)
    yield made
    made.go_on.set()
    made.pool.shutdown()


def test_a_long_migration_keeps_its_lock(slow: Slow) -> None:
    for minute in range(1, 4):
        slow.clock.advance(50)
        eventually(lambda minute=minute: slow.expires_at() == START + timedelta(seconds=50 * minute + 60))
        with pytest.raises(StartError, match="Another process"):
            slow.migrator.upgrade(wait_seconds=0)
    slow.go_on.set()
    assert slow.work.result(120) == ["1_slow", "2_next"]
    assert slow.rows.find_one({"_id": "lock"}) is None


def test_one_that_lost_its_lock_records_nothing_and_takes_nothing_away(slow: Slow) -> None:
    theirs = {"owner": "another", "expires_at": START + timedelta(hours=1)}
    slow.rows.update_one({"_id": "lock"}, {"$set": theirs})
    slow.go_on.set()
    with pytest.raises(StartError, match="lost the lock"):
        slow.work.result(120)
    assert slow.migrator.applied() == []
    assert slow.rows.find_one({"_id": "lock"}) == {"_id": "lock", **theirs}

"""Several processes migrate one database: one does the work, also if it is killed half-way, slow or paused. What processes of the version
before still need is left until none of them is there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.database import Database

from app.clock import ManualClock
from app.connected import connected_processes, name_of_process
from app.errors import StartError
from app.factory import Store, migrate
from app.local_mongod import LocalMongod
from app.migrations import Migrator, find_migrations
from app.mongo import Document, connect, open_database
from app.scheduling.node_store import Heartbeat, NodeStore
from tests.builders.two_kinds import POST, PRE, both_forms, documents, rewritten, two_kinds
from tests.commands import jobwright
from tests.support import eventually

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
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
# With one more migration, of the kind post.
AND_POST = """
import app.migrations
from app.cli import main
from tests.builders.two_kinds import two_kinds
steps = two_kinds()
app.migrations.find_migrations = lambda: steps
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


DOUBLED = ("0023",)  # numbers of two migrations each; a new migration takes the next free number


def test_numbers_are_unique_but_for_pairs_that_do_not_touch_each_other(empty: Database[Document]) -> None:
    """The whole name is the id, so a pair does no harm if either order leads to the same."""
    numbers = Counter(name[:4] for name in NAMES)
    assert tuple(number for number, count in numbers.items() if count > 1) == DOUBLED

    def outcome(number: str, *, backwards: bool) -> dict[str, Any]:
        steps = [(name, module) for name, module in find_migrations() if name[:4] <= number]
        pair = [step for step in steps if step[0].startswith(number)]
        for _, module in [step for step in steps if step not in pair] + (pair[::-1] if backwards else pair):
            module.up(empty)
        found = {name: empty[name].index_information() for name in sorted(empty.list_collection_names())}
        empty.client.drop_database(empty.name)
        return found

    for number in DOUBLED:
        assert outcome(number, backwards=False) == outcome(number, backwards=True)


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


# -- the two kinds ----------------------------------------------------------------------------------------------------


@pytest.fixture
def used(empty: Database[Document], monkeypatch: pytest.MonkeyPatch) -> Database[Document]:
    """A database of the version before, and two migrations of this version: one of each kind."""
    Migrator(empty, ManualClock(START)).upgrade()
    empty["users"].insert_one({"_id": "ada"})
    empty["things"].insert_many(documents())
    steps = two_kinds()
    monkeypatch.setattr("app.migrations.find_migrations", lambda: steps)
    return empty


def node(database: Database[Document], name: str, version: str) -> None:
    NodeStore(database).beat(name, Heartbeat(host="a", clock=START, tick_age_seconds=0.1, version=version))


def test_what_the_version_before_needs_is_left_until_no_node_of_it_lives(used: Database[Document]) -> None:
    migrator, store, here = Migrator(used, ManualClock(START)), Store(used.client, used, None), version("jobwright")
    node(used, "old", "0.0.1")
    node(used, "new", here)
    assert (migrator.pending(), migrator.pending_post()) == ([PRE], [POST])
    assert migrate(store) == [PRE]
    assert (migrator.pending(), migrator.pending_post(), both_forms(used)) == ([], [POST], True)
    assert migrate(store) == [], "never by itself"
    with pytest.raises(StartError, match=r"Nodes of another version .* old \(0\.0\.1\)\. "):
        migrate(store, post=True)
    used["nodes"].update_one({"_id": "old"}, {"$unset": {"version": ""}})
    with pytest.raises(StartError, match=r"old \(no version\)"):
        migrate(store, post=True)
    assert (both_forms(used), used["migrations"].find_one({"_id": "lock"})) == (True, None)
    used["nodes"].update_one({"_id": "old"}, [{"$set": {"seen_at": {"$subtract": ["$$NOW", 31_000]}}}])
    assert migrate(store, post=True) == [POST], "one that is silent for half a minute is gone, by the clock of the database"
    assert rewritten(used)
    assert migrator.downgrade(NAMES[-1]) == [POST, PRE]
    assert sorted(used["things"].find(), key=lambda row: row["_id"]) == documents()


def test_web_servers_of_another_version_are_noticed(used: Database[Document], mongod: str) -> None:
    store = Store(used.client, used, None)
    migrate(store)
    with connect(mongod, name=name_of_process("web", used.name, version="0.0.1")) as web:
        web[used.name]["users"].find_one()
        with pytest.raises(StartError, match=r"Processes of another version .* web \(.+, 0\.0\.1\)\. "):
            migrate(store, post=True)
    eventually(lambda: not connected_processes(used.client, used.name))
    with connect(mongod, name=name_of_process("web", "another", version="0.0.1")) as elsewhere:
        elsewhere[used.name]["users"].find_one()
        assert migrate(store, post=True) == [POST]


def test_what_a_newer_release_has_applied_only_that_release_reverts(used: Database[Document]) -> None:
    used["migrations"].insert_one({"_id": "9999_newer", "applied_at": START})
    migrator = Migrator(used, ManualClock(START))
    for target in ("zero", NAMES[-1]):
        with pytest.raises(StartError, match="Only the release that has applied 9999_newer"):
            migrator.downgrade(target)
    assert migrator.applied() == [*NAMES, "9999_newer"], "nothing is reverted in part"
    assert used["migrations"].find_one({"_id": "lock"}) is None


def test_a_node_that_only_asks_for_a_permit_yet_counts_and_force_goes_over_it(used: Database[Document]) -> None:
    migrator, store = Migrator(used, ManualClock(START)), Store(used.client, used, None)
    NodeStore(used).write_permit_request("beginning")
    with pytest.raises(StartError, match="beginning"):
        migrate(store, post=True)
    assert migrator.applied() == NAMES
    assert migrate(store, post=True, force=True) == [PRE, POST]
    assert rewritten(used)


def test_a_database_that_nobody_has_used_gets_all(used: Database[Document]) -> None:
    used["users"].delete_many({})
    assert migrate(Store(used.client, used, None)) == [PRE, POST]


def test_only_a_process_that_is_alone_on_its_database_ends_an_upgrade_by_itself(used: Database[Document]) -> None:
    private = SimpleNamespace(shared_with=4711)
    store = Store(used.client, used, cast("LocalMongod", private))
    node(used, "old", "0.0.1")
    assert migrate(store) == [PRE]
    private.shared_with = None
    assert migrate(store) == [POST], "a record of a node that died with its database a moment ago holds nothing up"


def test_the_command_says_what_is_left_for_the_end_of_an_upgrade(used: Database[Document], environment: dict[str, str]) -> None:
    def run(*arguments: str) -> tuple[int, list[str], str]:
        command = [sys.executable, "-c", AND_POST, "migrate", *arguments]
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
        return made.returncode, made.stdout.splitlines(), made.stderr

    node(used, "old", "0.0.1")
    used["nodes"].update_one({"_id": "old"}, {"$set": {"seen_at": datetime.now(UTC) + timedelta(hours=1)}})  # however slow this machine is
    assert run("--check")[:2] == (1, [PRE, f"{POST} (post)"])
    code, said, noted = run()
    assert (code, said, f"{POST} can run when no process of the version before is left" in noted) == (0, [PRE], True)
    assert run("--check", "--wait", "60")[:2] == (0, [f"{POST} (post)"]), "a process can start"
    assert run("--check", "--post")[:2] == (1, [POST])
    code, said, noted = run("--post")
    assert (code, said, "old (0.0.1)" in noted) == (78, [], True)
    assert run("--post", "--force") == (0, [POST], "")
    assert run("--check", "--post")[:2] == (0, ["There is nothing to migrate."])
    assert [run(*wrong)[0] for wrong in (("--force",), ("--post", "--down-to", "zero"))] == [2, 2]

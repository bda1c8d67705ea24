"""A database that the version before has written is upgraded in place: nothing that is owed is lost, and each thing is done once.

tests/data/upgrade/README.md says what the installation holds.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from app.audit.model import Actor
from app.clock import ManualClock, SystemClock
from app.config import Settings
from app.factory import Store, build_node, build_services, launch_executor
from app.instants import to_milliseconds
from app.jobtemplates.catalogue import Catalogue
from app.migrations import LOCK_SECONDS, Migrator, find_migrations
from app.mongo import EXACT, Document, connect, open_database
from app.queue.execution import Execution
from app.services import Services
from tests.builders.killed import Killed, killed_at_write
from tests.builders.mail import Inbox, mail_server
from tests.builders.two_kinds import POST, both_forms, documents, rewritten, two_kinds
from tests.support import JOB_PATHS, KINDS, eventually

DATA = Path(__file__).parents[1] / "data" / "upgrade"
BEFORE = "0016_one_spelling"
EXPORTED_AT = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
OLD_FIELDS = ("notify", "verdict", "dependants")
RUNNING_ELSEWHERE = "held"
REFUSED = "the mail server refused it"


@pytest.fixture(scope="module")
def exported() -> dict[str, list[Document]]:
    """The documents of the installation, by collection."""
    options = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)
    return json_util.loads((DATA / "installation.json").read_text(), json_options=options)


@contextmanager
def installation(mongod: str, documents: dict[str, list[Document]]) -> Iterator[Store]:
    """The installation as the version before has left it, with its indexes."""
    client = connect(mongod)
    store = Store(client, open_database(client, f"t_{uuid.uuid4().hex[:16]}"), None)
    exact = store.database.with_options(codec_options=EXACT)
    for name, module in find_migrations():
        if name <= BEFORE:
            module.up(exact)
            store.database["migrations"].insert_one({"_id": name, "applied_at": EXPORTED_AT})
    for name, rows in documents.items():
        store.database[name].insert_many(rows)
    try:
        yield store
    finally:
        client.drop_database(store.database.name)
        client.close()


@pytest.fixture
def old(mongod: str, exported: dict[str, list[Document]]) -> Iterator[Store]:
    with installation(mongod, exported) as store:
        yield store


@pytest.fixture
def recent(mongod: str, exported: dict[str, list[Document]]) -> Iterator[Store]:
    """The same as if it had been exported some minutes ago, so that an engine, which goes by the machine's clock, finds nothing that came
    due meanwhile. The seals of audit events are about their instants, which stay."""
    later = datetime.now(UTC) - timedelta(minutes=6) - EXPORTED_AT
    with installation(mongod, {name: rows if name == "audit_log" else moved(rows, later) for name, rows in exported.items()}) as store:
        yield store


def moved(value: Any, later: timedelta) -> Any:
    """The same with each instant so much later."""
    if isinstance(value, datetime):
        return to_milliseconds(value + later)
    if isinstance(value, dict):
        return {name: moved(inner, later) for name, inner in value.items()}
    return [moved(inner, later) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def migrator(old: Store) -> Migrator:
    return Migrator(old.database, ManualClock(EXPORTED_AT))


def indexes(store: Store) -> dict[str, Any]:
    """The indexes that migrations make, by collection. (A collection is there, with the index of its ids, as soon as somebody has written to
    it. Web servers make those that count requests, when they start.)"""
    names = set(store.database.list_collection_names()) - {"rate_counters", "rate_windows"}
    made = {name: store.database[name].index_information() for name in sorted(names)}
    return {name: own for name, information in made.items() if (own := {key: information[key] for key in information if key != "_id_"})}


def owed(store: Store) -> dict[str, dict[str, tuple[int, str | None, bool]]]:
    """What each execution owes: its tries so far, the error of the last one, and whether it was given up."""
    rows = store.database["job_executions"].find({"owed": {"$exists": True}})
    return {
        row["_id"]: {item["what"]: (item["tries"], item["error"], item["given_up_at"] is not None) for item in row["owed"]} for row in rows
    }


OWED = {
    "given-up": {"notify": (5, REFUSED, True)},
    "tried-twice": {"notify": (2, REFUSED, False)},
    "followed-half": {"notify": (0, None, False), "followers": (0, None, False)},
    "pending": {"notify": (0, None, False), "followers": (0, None, False)},
    "first-failure": {"notify": (0, None, False), "self_pause": (0, None, False)},
    "second-failure": {"notify": (0, None, False), "self_pause": (0, None, False)},
    "missed": {"notify": (0, None, False)},
}


def assert_converted(store: Store, exported: dict[str, list[Document]]) -> None:
    """What was owed is owed, executions have the group of their job, and nothing of the old markers is left."""
    assert owed(store) == OWED
    executions, jobs = store.database["job_executions"], list(store.database["dynamic_jobs"].find())
    assert executions.count_documents({"$or": [{name: {"$exists": True}} for name in OLD_FIELDS]}) == 0
    group_of = {job["_id"]: job["group"] for job in jobs}
    rows = {row["_id"]: row for row in executions.find()}
    assert {row["_id"]: row["group"] for row in rows.values()} == {key: group_of.get(row["job_id"], "") for key, row in rows.items()}
    assert {group_of[job_id] for job_id in group_of} == {"", "ops", "lab"}
    planned = [entry for job in jobs for entry in job.get("dispatch", {}).get("executions", ())]
    assert sorted((entry["status"], entry["group"]) for entry in planned) == [("missed", "ops"), ("queued", "lab"), ("queued", "ops")]
    assert not any(entry.keys() & set(OLD_FIELDS) for entry in planned)
    given_up = rows["given-up"]["owed"][0]["given_up_at"]
    assert rows["given-up"]["completed_at"] < given_up < EXPORTED_AT
    for row in exported["job_executions"]:  # all else is as it was
        new = {name: value for name, value in rows[row["_id"]].items() if name not in {"owed", "group"}}
        assert new == {name: value for name, value in row.items() if name not in OLD_FIELDS}


def test_all_that_is_owed_is_owed_after_the_upgrade(
    old: Store, store: Store, migrator: Migrator, exported: dict[str, list[Document]]
) -> None:
    assert migrator.upgrade() == [name for name, _ in find_migrations() if name > BEFORE]
    assert_converted(old, exported)
    assert {name: indexes(old).get(name) for name in indexes(store)} == indexes(store)


def test_a_step_back_and_forth_loses_nothing(old: Store, migrator: Migrator, exported: dict[str, list[Document]]) -> None:
    before = indexes(old)
    migrator.upgrade()
    assert migrator.downgrade(BEFORE) == [name for name, _ in reversed(find_migrations()) if name > BEFORE]
    assert {name: indexes(old).get(name) for name in before} == before
    rows = {row["_id"]: row for row in old.database["job_executions"].find()}
    for row in exported["job_executions"]:
        if row.get("notify", {}).get("state") == "sent":  # that it was sent says nothing to anybody
            row = {name: value for name, value in row.items() if name != "notify"}
        assert rows[row["_id"]] == row
    jobs = {row["_id"]: row for row in old.database["dynamic_jobs"].find()}
    assert jobs == {row["_id"]: row for row in exported["dynamic_jobs"]}
    migrator.upgrade()
    assert_converted(old, exported)


def run_and_be_killed_at_every_write(step: Callable[[], object]) -> None:
    """Runs a step that is killed at its first write, then one that is killed at its second, and so on until it ends; and then once more, as
    after a process that was killed before it could record the end."""
    number = 0
    while True:
        try:
            with killed_at_write(number):
                step()
            break
        except Killed:
            number += 1
    step()


def test_a_migration_that_is_killed_at_any_write_goes_on_where_it_was(
    old: Store, exported: dict[str, list[Document]], migrator: Migrator
) -> None:
    migrations = dict(find_migrations())
    exact = old.database.with_options(codec_options=EXACT)
    later = [name for name in migrations if name > BEFORE]
    for direction, names in (("up", later), ("down", later[::-1]), ("up", later)):
        for name in names:
            run_and_be_killed_at_every_write(partial(getattr(migrations[name], direction), exact))
    assert_converted(old, exported)


def test_every_migration_can_be_killed_at_any_write_on_its_way_back_and_forth(old: Store, store: Store, migrator: Migrator) -> None:
    migrator.upgrade()
    migrations, exact = dict(find_migrations()), old.database.with_options(codec_options=EXACT)
    names = list(migrations)
    kept = {name: exact[name].count_documents({}) for name in ("dynamic_jobs", "job_executions", "users", "audit_log", "execution_logs")}
    for name in reversed(names):
        run_and_be_killed_at_every_write(partial(migrations[name].down, exact))
    for name in names:
        run_and_be_killed_at_every_write(partial(migrations[name].up, exact))
    assert {name: indexes(old).get(name) for name in indexes(store)} == indexes(store)
    assert {name: exact[name].count_documents({}) for name in kept} == kept


def test_the_command_that_migrates_can_be_killed_at_any_write(old: Store, store: Store) -> None:
    """With its lock, which another process takes when it has run out, and its records of what is done."""
    clock = ManualClock(EXPORTED_AT)

    def again(act: Callable[[], object]) -> None:
        clock.advance(LOCK_SECONDS + 1)
        act()

    migrator = Migrator(old.database, clock)
    for act, left in ((migrator.upgrade, []), (partial(migrator.downgrade, "zero"), list(dict(find_migrations()))), (migrator.upgrade, [])):
        run_and_be_killed_at_every_write(partial(again, act))
        assert migrator.pending() == left
    assert {name: indexes(old).get(name) for name in indexes(store)} == indexes(store)


def test_both_kinds_of_migrations_can_be_killed_at_any_write(old: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step forwards, the end of an upgrade, and all steps back."""
    clock, steps, things = ManualClock(EXPORTED_AT), two_kinds(), old.database["things"]
    migrator = Migrator(old.database, clock)
    migrator.upgrade()
    things.insert_many(documents())
    monkeypatch.setattr("app.migrations.find_migrations", lambda: steps)

    def again(act: Callable[[], object]) -> None:
        clock.advance(LOCK_SECONDS + 1)
        act()

    run_and_be_killed_at_every_write(partial(again, migrator.upgrade))
    assert (both_forms(old.database), migrator.pending_post()) == (True, [POST])
    run_and_be_killed_at_every_write(partial(again, partial(migrator.upgrade, post=True)))
    assert (rewritten(old.database), migrator.pending_post()) == (True, [])
    run_and_be_killed_at_every_write(partial(again, partial(migrator.downgrade, BEFORE)))
    assert (list(things.find().sort("_id")), set(things.index_information())) == (documents(), {"_id_"})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=str(tmp_path / "data"),
        secret_key=(DATA / "secret_key").read_text().strip(),
        pool_size=4,
        notify_connection="Mail",
        job_paths=JOB_PATHS,
    )


@pytest.fixture
def boss(exported: dict[str, list[Document]]) -> Actor:
    user = next(row for row in exported["users"] if row["email"] == "admin@example.com")
    return Actor(id=user["_id"], email=user["email"], role="super_admin", via="api")


def test_what_was_given_up_is_seen_and_may_be_asked_for(
    old: Store, migrator: Migrator, settings: Settings, catalogue: Catalogue, boss: Actor
) -> None:
    migrator.upgrade()
    services = build_services(settings, old, clock=ManualClock(EXPORTED_AT), catalogue=catalogue)
    (item,) = services.given_up.items(boss)
    assert (item.execution_id, item.what, item.tries, item.error) == ("given-up", "notify", 5, REFUSED)
    assert services.given_up.count() == 1
    services.given_up.ask_again(boss, "given-up", "notify")
    assert services.given_up.count() == 0
    assert owed(old)["given-up"] == {"notify": (0, REFUSED, False)}


def mails(inbox: Inbox) -> Counter[tuple[str, str]]:
    """How many mails came about each execution, to whom."""
    return Counter(
        (str(message_from_bytes(content)["Message-ID"]).strip("<>").removesuffix(".outcome@jobwright"), " ".join(recipients))
        for recipients, content in inbox.mails
    )


class Installation:
    """The upgraded installation while its engine runs."""

    def __init__(self, store: Store, services: Services, boss: Actor) -> None:
        self.database, self.services, self.boss = store.database, services, boss

    def job(self, name: str) -> Document:
        return self.database["dynamic_jobs"].find_one({"name": name}) or {}

    def executions(self, name: str) -> list[Execution]:
        return [Execution.from_row(row) for row in self.database["job_executions"].find({"job_name": name}).sort("queued_at", 1)]

    def is_done(self) -> bool:
        """True when nothing waits and nothing is owed, but for what runs elsewhere and what was given up."""
        live = self.database["job_executions"].count_documents({"live": True, "_id": {"$ne": RUNNING_ELSEWHERE}})
        due = self.database["job_executions"].count_documents({"owed.at": {"$type": "date"}})
        return live + due + self.database["dynamic_jobs"].count_documents({"dispatch": {"$exists": True}}) == 0

    def approve_all(self) -> list[Document]:
        """Approve what waits, once the previews have ended; returns the requests."""
        approvals = self.services.approvals
        waiting = [row["_id"] for row in approvals.page(self.boss, state="pending").items]
        eventually(lambda: all((approvals.get(self.boss, key)["preview"] or {}).get("state") != "running" for key in waiting))
        return [approvals.approve(self.boss, key) for key in waiting]


def test_the_engine_carries_out_each_thing_once(
    recent: Store, settings: Settings, boss: Actor, mongod: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    settings = replace(settings, notify_at_once=50)  # each mail by itself, so that they can be counted
    Migrator(recent.database, SystemClock()).upgrade()
    services = build_services(settings, recent)
    house, inbox = Installation(recent, services, boss), Inbox()
    to_retry = house.executions("retrying")[0].resolved
    connections = {row["name"]: row for row in services.connections.all(boss)}
    shop = {"uri": mongod, "database": f"{recent.database.name}_shop"}
    services.connections.update(boss, connections["Shop"]["_id"], name="Shop", settings=shop)
    with mail_server(inbox, tmp_path, security="starttls", password="mail password") as grant:
        mail = services.connections.grant(["Mail"])["Mail"].settings
        assert mail["password"] == "mail password"
        here = {"port": grant.settings["port"], "security": "starttls", "verify_certificate": False}
        services.connections.update(boss, connections["Mail"]["_id"], name="Mail", settings={**mail, **here})
        node = build_node(settings, recent, services, launch_executor(settings))
        node.start()
        try:
            approved = house.approve_all()
            eventually(house.is_done, seconds=60)
            services.given_up.ask_again(boss, "given-up", "notify")
            eventually(house.is_done)
            node.planning.parts.dispatcher.recover()
        finally:
            node.drain(5)

    ended = {execution.id: execution for row in recent.database["job_executions"].find() for execution in [Execution.from_row(row)]}
    assert [row["state"] for row in approved] == ["approved", "approved"]
    assert house.job("asked for")["created_by"] == "ada@example.com"
    (of_cleanup,) = house.executions("cleanup")  # a preview is forgotten once it has been read
    assert (of_cleanup.status, of_cleanup.triggered_by) == ("success", "manual")
    preview = next(row["preview"] for row in approved if row["job_name"] == "cleanup")
    assert (preview["state"], preview["status"]) == ("done", "success")

    # queued, retrying and lost runs
    (by_hand,) = house.executions("by hand")
    assert (by_hand.status, len(by_hand.attempts)) == ("success", 1)
    (retrying,) = house.executions("retrying")
    assert ([attempt.status for attempt in retrying.attempts], retrying.status) == (["failed", "success"], "success")
    assert retrying.resolved == to_retry
    assert retrying.result is not None
    assert retrying.result["message"] == "Since 2026-03-02"
    (lost,) = house.executions("lost with retries")
    assert [(attempt.status, attempt.reason) for attempt in lost.attempts] == [("failed", "lost_worker"), ("success", None)]
    (lost_for_good,) = house.executions("lost without retries")
    assert (lost_for_good.status, lost_for_good.reason, len(lost_for_good.attempts)) == ("failed", "lost_worker", 1)
    held = ended[RUNNING_ELSEWHERE]
    assert (held.status, len(held.attempts)) == ("running", 1)
    backfilled = [execution for execution in house.executions("nightly") if execution.triggered_by == "backfill"]
    assert [(execution.status, len(execution.attempts)) for execution in backfilled] == [("success", 1)] * 2
    (tried,) = house.executions("tried")
    assert (tried.status, tried.dry) == ("success", True)

    # jobs that run after others
    assert [execution.caused_by for execution in house.executions("after nightly")] == [("followed-half",), ("pending",)]
    (after_both,) = house.executions("after both")
    assert after_both.caused_by in {("arrived", "followed-half"), ("arrived", "pending")}
    assert {execution.status for execution in (*house.executions("after nightly"), after_both)} == {"success"}

    # the job that failed too often, and the outboxes of jobs
    fragile = house.job("fragile")
    assert (fragile["paused"]["reason"], fragile["paused"]["by"], fragile["version"]) == ("2 runs failed in a row", "system", 2)
    planned = house.executions("planned")
    assert sorted((execution.status, execution.group, len(execution.attempts)) for execution in planned) == [
        ("missed", "ops", 0),
        ("success", "ops", 1),
    ]
    (filled,) = house.executions("filled up")
    assert (filled.status, len(filled.attempts)) == ("success", 1)

    # people
    (missed,) = (execution.id for execution in planned if execution.status == "missed")
    to_ops = ["given-up", "tried-twice", "first-failure", "second-failure", "missed", missed, "lost-for-good"]
    to_happy = ["followed-half", "pending", "lost", *(execution.id for execution in backfilled)]
    expected = Counter([*((key, "ops@example.com") for key in to_ops), *((key, "happy@example.com") for key in to_happy)])
    deliveries = list(recent.database["deliveries"].find({"status": "sent"}))
    assert Counter((row["execution_id"], row["recipients"][0]) for row in deliveries) == expected
    assert Counter(address for _, address in mails(inbox)) == Counter(address for _, address in expected)
    assert set(mails(inbox).values()) == {1}, "each mail arrives once"
    assert services.given_up.items(boss) == []
    assert owed(recent) == {}

    # what people had besides
    draft = services.drafts.find(boss, "noop")
    assert draft is not None
    assert ("/name", "half a job") in draft.pairs
    lines, _ = services.logs.read(boss, "pending")
    assert [line["message"] for line in lines] == ["nightly ran"]
    assert services.audit.verify().breaks == ()

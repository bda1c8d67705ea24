"""A job store of APScheduler in MongoDB: read by a client that only reads, and disabled by the command that the plan prints."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from apscheduler.jobstores.mongodb import MongoDBJobStore
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app.audit.model import Actor
from app.clock import ManualClock
from app.imports.plan import make_plan
from app.imports.sources import SOURCES, SourceOptions
from app.services import Services
from tests.builders import aps_jobs
from tests.builders.aps_jobs import NOW

SOURCE = SOURCES["apscheduler"]
READING = {"find", "getMore", "hello", "ismaster", "endSessions", "killCursors"}


class Commands(CommandListener):
    """The names of the commands that a client sends."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def started(self, event: CommandStartedEvent) -> None:
        self.names.add(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def options(mongod: str, database_name: str) -> Iterator[SourceOptions]:
    """A job store of 200 jobs."""
    with MongoClient[dict[str, Any]](mongod) as client:
        aps_jobs.fill(MongoDBJobStore(database=database_name, collection="cron jobs", client=client), 200, seed=2)
        own = {"database": database_name, "collection": "cron jobs"}
        yield SourceOptions(machine="web1", timezone="Europe/Berlin", own=own, address=mongod)
        client.drop_database(database_name)


def test_a_store_in_mongodb_is_only_read(options: SourceOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    real = pymongo.MongoClient
    monkeypatch.setattr("app.imports.sources.mongo.MongoClient", Listening)
    Listening.listener, Listening.real = commands, real
    plan = make_plan(SOURCE, "", options, NOW)
    assert len(plan["entries"]) >= 200
    assert "find" in commands.names
    assert commands.names <= READING
    assert plan["source"]["name"].endswith(f"/{options.get('database')}.cron jobs")


class Listening:
    """Stands where MongoClient is made, and makes one that a listener hears."""

    listener: Commands
    real: Any

    def __class_getitem__(cls, _: Any) -> Any:
        return lambda *args, **kwargs: cls.real(*args, event_listeners=[cls.listener], **kwargs)


def test_an_empty_collection_is_remarked(options: SourceOptions, mongod: str) -> None:
    wrong = SourceOptions(machine="web1", own={"database": options.get("database")}, address=mongod)
    assert SOURCE.read("", wrong).remarks == ("The store has no jobs.",)
    assert not SOURCE.read("", options).remarks


def test_the_commands_disable_and_enable_the_original(options: SourceOptions, mongod: str) -> None:
    """mongosh is not here, so what it would do is read off the command."""
    entry = next(entry for entry in SOURCE.read("", options).entries if entry.values["id"] == "job-0")
    disable = SOURCE.disable(entry)
    assert disable.startswith("mongosh ")
    assert """getCollection("cron jobs").updateOne({_id: "job-0"}, {$set: {next_run_time: null}})""" in disable
    assert f"next_run_time: {entry.values['next_run_time']}}}" in SOURCE.enable(entry)
    if shutil.which("mongosh"):
        subprocess.run(disable, shell=True, check=True)  # noqa: S602 - it is printed for a shell
    else:
        with MongoClient[dict[str, Any]](mongod) as client:
            collection = client[options.get("database")]["cron jobs"]
            collection.update_one({"_id": "job-0"}, {"$set": {"next_run_time": None}})
    assert next(one for one in SOURCE.read("", options).entries if one.id == entry.id).disabled


def test_the_jobs_of_a_plan_are_accepted(options: SourceOptions, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    """Their schedules and rules; the templates are others, as there is no service here that has registered the functions."""
    clock.advance((NOW - clock.now()).total_seconds())
    plan = make_plan(SOURCE, "", options, NOW)
    kinds: dict[tuple[Any, ...], Any] = {}
    for entry in plan["entries"]:
        kinds.setdefault((entry["job"]["schedule"]["type"], "concurrency" in entry["job"], bool(entry["disabled"])), entry)
    assert len(kinds) >= 9
    for entry in kinds.values():
        body = {**entry["job"], "template_type": "noop", "parameters": {}}
        made = services.imports.create(
            super_admin, source=plan["source"]["name"], entry=entry["id"], plan=plan["hash"], body=body, disabled=bool(entry["disabled"])
        )
        assert made.created
        assert made.job is not None
        assert made.job.paused is not None

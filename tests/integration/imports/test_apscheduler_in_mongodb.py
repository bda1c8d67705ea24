"""A job store of APScheduler in MongoDB: read by a client that only reads, and disabled by the command that the plan prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pymongo
import pytest
from apscheduler.jobstores.mongodb import MongoDBJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.imports.plan import make_plan
from app.imports.sources import SOURCES, SourceOptions
from app.services import Services
from tests.builders import aps_jobs
from tests.builders.aps_jobs import NOW
from tests.commands import jobwright
from tests.support import KEY

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
    """A job store of 80 jobs."""
    with MongoClient[dict[str, Any]](mongod) as client:
        aps_jobs.fill(MongoDBJobStore(database=database_name, collection="cron jobs", client=client), 80, seed=2)
        own = {"database": database_name, "collection": "cron jobs"}
        yield SourceOptions(machine="web1", timezone="Europe/Berlin", own=own, address=mongod)
        client.drop_database(database_name)


def test_a_store_in_mongodb_is_only_read(options: SourceOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    real = pymongo.MongoClient
    monkeypatch.setattr("app.imports.sources.mongo.MongoClient", Listening)
    Listening.listener, Listening.real = commands, real
    plan = make_plan(SOURCE, "", options, NOW)
    assert len(plan["entries"]) >= 80
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
    assert len(kinds) >= 8
    for entry in kinds.values():
        body = {**entry["job"], "template_type": "noop", "parameters": {}}
        made = services.imports.create(
            super_admin, source=plan["source"]["name"], entry=entry["id"], plan=plan["hash"], body=body, disabled=bool(entry["disabled"])
        )
        assert made.created
        assert made.job is not None
        assert made.job.paused is not None


def test_the_commands_lead_from_a_job_store_to_jobs_and_back(store: Store, mongod: str, tmp_path: Path, database_name: str) -> None:
    """The address comes from a file. The functions are called by a program of the operator."""
    other, password = f"{database_name}_aps", "pw-of-the-store"
    with MongoClient[dict[str, Any]](mongod) as client:
        jobs = MongoDBJobStore(database=other, client=client)
        scheduler, random = BackgroundScheduler(timezone="UTC"), Random(1)
        for name in ("nightly", "weekly"):
            jobs.add_job(aps_jobs.new_job(scheduler, CronTrigger(hour=4, timezone="UTC"), name, random))
        jobs.add_job(aps_jobs.new_job(scheduler, CronTrigger(hour=2, minute=30, timezone="Europe/Berlin"), "in the gap", random))
        client[other]["jobs"].insert_one({"_id": "broken", "next_run_time": 1.0, "job_state": b"junk"})
        address, plan = tmp_path / "address", tmp_path / "plan.json"
        address.write_text(mongod if "?" in mongod else f"{mongod.rstrip('/')}/?appName={password}")
        environment = {
            **os.environ,
            "MONGODB_URI": mongod,
            "JOBWRIGHT_DATABASE": store.database.name,
            "JOBWRIGHT_SECRET_KEY": KEY,
            "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
            "JOBWRIGHT_COMMAND_PROGRAMS": "/bin/true",
        }
        at = ("--address-file", str(address))
        options = ("--option", f"database={other}", "--calls", "command:/bin/true", "--zone", "UTC", "--output", str(plan))
        jobwright(environment, "import", "plan", "apscheduler", *at, *options, check=True)
        applied = json.loads(jobwright(environment, "import", "apply", str(plan), *at, "--json").stdout)
        results = {row["entry"].rpartition("-")[0]: row["result"] for row in applied["entries"]}
        assert results == {"broken": "invalid", "in-the-gap": "open", "nightly": "created", "weekly": "created"}
        listed = json.loads(jobwright(environment, "job", "list", "--json", check=True).stdout)["jobs"]
        jobwright(environment, "job", "resume", listed[0]["name"], check=True)
        twice = jobwright(environment, "import", "verify", str(plan), *at)
        assert (twice.returncode, "runs twice" in twice.stdout) == (1, True)
        client[other]["jobs"].update_many({}, {"$set": {"next_run_time": None}})  # as the printed command does
        assert jobwright(environment, "import", "verify", str(plan), *at).returncode == 0
        back = jobwright(environment, "import", "roll-back", str(plan), check=True).stdout
        assert back.count("deleted   ") == 2
        assert "$set: {next_run_time: 1" in back
        assert {document["_id"] for document in client[other]["jobs"].find()} == {"broken", "in the gap", "nightly", "weekly"}
        client.drop_database(other)

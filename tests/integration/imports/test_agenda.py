"""Agenda's collection: each kind of entry, and a user of MongoDB who can only read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId, json_util
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from app.imports.entries import EntryKind
from app.imports.plan import PlanError, State, make_plan, read_again, refuse_changed, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions, split_place
from app.local_mongod import find_mongod
from tests.builders.plans import NOW
from tests.commands import jobwright

AGENDA = SOURCES["agenda"]
HOUR = timedelta(hours=1)
UTC_DAY = datetime(2026, 1, 2)  # noqa: DTZ001 - as MongoDB returns it


@pytest.fixture
def jobs(mongod: str, tmp_path: Path) -> Iterator[Any]:
    """The collection of an application."""
    with MongoClient[dict[str, Any]](mongod) as client:
        database = client[f"agenda_{tmp_path.name[:25]}_x"]
        yield database["agendaJobs"]
        client.drop_database(database.name)


def options(jobs: Any, mongod: str, **more: Any) -> SourceOptions:
    return SourceOptions(machine="m", timezone="UTC", address=mongod, own={"database": jobs.database.name}, now=NOW, **more)


def plan_of(jobs: Any, mongod: str, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    jobs.insert_many([{"name": f"job {number}", **document} for number, document in enumerate(documents)])
    entries: list[dict[str, Any]] = make_plan(AGENDA, "", options(jobs, mongod), NOW)["entries"]
    return entries


def test_intervals_are_counted_from_the_last_run(jobs: Any, mongod: str) -> None:
    last = datetime(2026, 10, 15, 8, 30, tzinfo=UTC)
    months, numbered, never_ran = plan_of(
        jobs,
        mongod,
        {"repeatInterval": "3 months", "lastRunAt": last, "nextRunAt": last + timedelta(days=90)},
        {"repeatInterval": 90_000, "nextRunAt": NOW + HOUR},
        {"repeatInterval": "3 months", "lastRunAt": last, "nextRunAt": None},
    )
    assert months["job"]["schedule"] == {
        "type": "interval",
        "interval_seconds": 90 * 86_400,
        "timezone": "UTC",
        "start_at": "2027-01-13T08:30:00+00:00",
    }
    assert months["fires"]["first"] == "2027-01-13T08:30:00+00:00"
    assert (numbered["job"]["schedule"]["interval_seconds"], numbered["fires"]["equal"]) == (90, True)
    assert never_ran["disabled"].startswith("has no next run in Agenda")
    assert never_ran["job"]["schedule"]["start_at"] == "2027-01-13T08:30:00+00:00"


def test_a_lock_is_no_run_and_a_single_run_that_is_done_is_no_job(jobs: Any, mongod: str) -> None:
    stale = NOW - timedelta(days=400)
    locked, done, later, overdue = plan_of(
        jobs,
        mongod,
        {"repeatInterval": "0 9 * * *", "repeatTimezone": "UTC", "nextRunAt": NOW + 21 * HOUR, "lockedAt": stale, "lastRunAt": stale},
        {"nextRunAt": None, "lastRunAt": stale, "lockedAt": stale},
        {"nextRunAt": NOW + HOUR, "data": {"id": 7}},
        {"nextRunAt": stale, "lockedAt": stale},
    )
    assert (state_of(locked), locked["fires"]["equal"]) == (State.READY, True)
    assert "a lock does not say that the job runs" in next(field["reason"] for field in locked["fields"] if field["name"] == "lockedAt")
    assert (done["kind"], done["reason"]) == ("note", f"is a single run that is done: it ran at {stale.isoformat()}")
    assert later["job"]["schedule"] == {"type": "once", "run_at": (NOW + HOUR).isoformat(), "timezone": "UTC"}
    assert later["job"]["parameters"]["config"] == {"id": 7}
    assert (state_of(overdue), "overdue since" in overdue["decisions"][0]["question"]) == (State.OPEN, True)


def test_limits_and_days_that_are_skipped(jobs: Any, mongod: str) -> None:
    monday = datetime(2026, 12, 7, 9, tzinfo=UTC)
    weekdays, ending, starting, hourly, old, ended = plan_of(
        jobs,
        mongod,
        {"repeatInterval": "0 9 * * *", "skipDays": [0, 6], "nextRunAt": datetime(2026, 12, 1, 9, tzinfo=UTC)},
        {"repeatInterval": "0 9 * * *", "endDate": monday, "nextRunAt": datetime(2026, 12, 1, 9, tzinfo=UTC)},
        {"repeatInterval": "0 9 * * *", "startDate": datetime(2026, 12, 6, tzinfo=UTC), "nextRunAt": monday},
        {"repeatInterval": "2 hours", "skipDays": [6], "nextRunAt": datetime(2026, 12, 1, 9, 30, tzinfo=UTC)},
        {"repeatInterval": "0 9 * * *", "skipDays": "2 days", "nextRunAt": monday},
        {"repeatInterval": "0 9 * * *", "endDate": NOW - HOUR, "nextRunAt": None},
    )
    assert weekdays["job"]["schedule"]["expression"] == "0 9 * * 1-5"
    assert hourly["job"]["schedule"]["expression"] == "30 1,3,5,7,9,11,13,15,17,19,21,23 * * 0,1,2,3,4,5"
    assert ending["job"]["schedule"]["end_at"] == "2026-12-07T09:00:01+00:00"
    assert starting["job"]["schedule"]["start_at"] == monday.isoformat()
    for entry in (weekdays, ending, starting, hourly):
        assert (state_of(entry), entry["fires"]["equal"]) == (State.READY, True), entry["decisions"]
    assert "is of Agenda 5 or older" in old["decisions"][0]["question"]
    assert "it has ended at" in ended["decisions"][0]["question"]


def test_a_next_run_that_the_expression_does_not_have_must_be_decided(jobs: Any, mongod: str) -> None:
    (entry,) = plan_of(jobs, mongod, {"repeatInterval": "0 9 * * *", "nextRunAt": datetime(2026, 12, 3, 11, 11, tzinfo=UTC)})
    assert (state_of(entry), entry["fires"]["equal"]) == (State.OPEN, False)
    assert entry["fires"]["wrong"] == "2026-12-03T11:11:00+00:00"


@pytest.mark.parametrize(
    ("text", "expression"), [("3:30pm", "30 15 * * *"), ("at 10:05", "5 10 * * *"), ("12am", "0 0 * * *"), ("soon", "")]
)
def test_a_time_of_day_becomes_a_daily_run(jobs: Any, mongod: str, text: str, expression: str) -> None:
    (entry,) = plan_of(jobs, mongod, {"repeatAt": text, "nextRunAt": None})
    assert entry["job"]["schedule"].get("expression", "") == expression
    assert state_of(entry) is (State.READY if expression else State.OPEN)


def test_disabled_entries_entries_without_a_name_and_secrets(jobs: Any, mongod: str) -> None:
    disabled, nameless, secret = plan_of(
        jobs,
        mongod,
        {"repeatInterval": "1 day", "nextRunAt": NOW + HOUR, "disabled": True},
        {"name": None, "repeatInterval": "1 day"},
        {"repeatInterval": "1 day", "nextRunAt": NOW + HOUR, "data": {"api_key": "hunter2hunter2", "n": 1}},
    )
    assert (disabled["disabled"], state_of(disabled)) == ("is disabled in Agenda", State.READY)
    assert (nameless["kind"], nameless["reason"]) == ("invalid", "has no name")
    assert "hunter2" not in json.dumps(secret)
    assert (state_of(secret), secret["job"]["parameters"]["config"]) == (State.OPEN, {"n": 1})


def test_runs_change_nothing_of_a_plan_and_definitions_do(jobs: Any, mongod: str) -> None:
    plan_of(jobs, mongod, {"repeatInterval": "1 day", "nextRunAt": NOW + HOUR})
    plan = make_plan(AGENDA, "", options(jobs, mongod), NOW)
    jobs.update_one({}, {"$set": {"nextRunAt": NOW + 25 * HOUR, "lastRunAt": NOW + HOUR, "lockedAt": NOW}})
    jobs.insert_one({"name": "queued", "nextRunAt": NOW})
    refuse_changed(plan, read_again(plan, AGENDA, mongod))
    jobs.update_one({}, {"$set": {"repeatInterval": "2 days"}})
    with pytest.raises(PlanError, match="has changed since the plan was made"):
        refuse_changed(plan, read_again(plan, AGENDA, mongod))
    with pytest.raises(PlanError, match="and the address is that of agenda:"):
        read_again({**plan, "source": {**plan["source"], "name": "agenda:elsewhere/app.agendaJobs"}}, AGENDA, mongod)


def test_the_original_is_disabled_by_the_command_that_the_plan_prints(jobs: Any, mongod: str) -> None:
    (entry,) = plan_of(jobs, mongod, {"name": "it's", "repeatInterval": "1 day", "nextRunAt": NOW + HOUR})
    printed = subprocess.run(["sh", "-c", f'set -- {entry["disable"]}; printf %s "$4"'], capture_output=True, text=True, check=True)
    key = jobs.find_one()["_id"]
    assert printed.stdout == (
        f'db.getSiblingDB("{jobs.database.name}").getCollection("agendaJobs").updateOne({{_id: ObjectId("{key}")}}, {{$set: {{disabled: true}}}})'
    )


# -- a user who can only read ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A mongod that asks for passwords: the address of an account that may do everything, and that of one that may read one database."""
    binary = find_mongod()
    if binary is None:
        pytest.skip("no mongod: install the extra `local`")
    folder = tmp_path_factory.mktemp("locked")
    socket = folder / "m.sock"
    command = [binary, "--dbpath", str(folder), "--auth", "--bind_ip", str(socket), "--port", "0", "--nounixsocket"]
    command = [binary, "--dbpath", str(folder), "--auth", "--bind_ip", str(socket), "--logpath", str(folder / "log"), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host = quote(str(socket), safe="")
    try:
        with MongoClient[dict[str, Any]](f"mongodb://{host}/?directConnection=true", serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("createUser", "root", pwd="all powers", roles=["root"])
        root = f"mongodb://root:{quote('all powers')}@{host}/?directConnection=true"
        with MongoClient[dict[str, Any]](root) as client:
            client["shop"].command("createUser", "reader", pwd="read only pw", roles=[{"role": "read", "db": "shop"}])
            client["shop"]["agendaJobs"].insert_many(
                [{"name": f"job {n}", "repeatInterval": "1 day", "nextRunAt": NOW + HOUR} for n in range(5)]
            )
        yield root, f"mongodb://reader:{quote('read only pw')}@{host}/shop?authSource=shop&directConnection=true"
    finally:
        process.terminate()
        process.wait(60)


def test_a_user_without_the_right_to_write_is_enough(locked: tuple[str, str], tmp_path: Path) -> None:
    root, reader = locked
    with MongoClient[dict[str, Any]](reader) as client, pytest.raises(OperationFailure):
        client["shop"]["agendaJobs"].update_one({}, {"$set": {"name": "x"}})
    with MongoClient[dict[str, Any]](root) as client:
        before = list(client["shop"]["agendaJobs"].find())
        client.shop.command("profile", 2)
    address, plan = tmp_path / "address", tmp_path / "plan.json"
    address.write_text(reader + "\n")
    environment = {"JOBWRIGHT_DATA_DIR": str(tmp_path / "data")}
    words = ("agenda", "--address-file", str(address), "--zone", "UTC", "--machine", "web1")
    scanned = jobwright(environment, "import", "scan", *words, check=True)
    made = jobwright(environment, "import", "plan", *words, "--offline", "--output", str(plan), check=True)
    assert scanned.stdout.count("job ") >= 5
    assert "5 ready." in made.stderr
    for text in (scanned.stdout, scanned.stderr, made.stdout, made.stderr, plan.read_text()):
        assert "read only" not in text
        assert "read%20only" not in text
        assert "reader" not in text
    with MongoClient[dict[str, Any]](root) as client:
        client.shop.command("profile", 0)
        operations = {row["op"] for row in client["shop"]["system.profile"].find({"user": "reader@shop"})}
        assert operations <= {"query", "getmore", "command"}, operations
        assert list(client["shop"]["agendaJobs"].find()) == before


def test_what_keeps_a_store_from_being_read_is_said(locked: tuple[str, str]) -> None:
    _, reader = locked
    for address, words in (
        (reader.replace("read%20only", "wrong"), "refuses the user or the password"),
        (reader.replace("/shop?", "/other?"), "the user may not read this collection"),
        ("mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=200", "cannot be read: ServerSelectionTimeoutError"),
        ("mongodb://db", "names no database"),
        ("mongodb://db:port/x", "is not one of MongoDB"),
    ):
        with pytest.raises(SourceError, match=words) as refused:
            AGENDA.read("", SourceOptions(machine="m", address=address))
        assert "only" not in str(refused.value)


def test_the_type_alone_names_a_store() -> None:
    assert split_place("agenda") == (AGENDA, "")
    assert split_place("agenda:mongodb://db/app") == (AGENDA, "mongodb://db/app")


def test_many_single_runs_that_are_done_are_counted(jobs: Any, mongod: str) -> None:
    jobs.insert_many([{"name": "mail", "nextRunAt": None} for _ in range(150)])
    reading = AGENDA.read("", options(jobs, mongod))
    assert len(reading.entries) == 100
    assert all(entry.kind is EntryKind.NOTE for entry in reading.entries)
    assert "150 of 'mail'" in reading.remarks[0]


def test_keys_of_any_kind_tell_entries_apart_and_lead_back_to_their_documents(jobs: Any, mongod: str) -> None:
    """The command names the document as it is: an ObjectId is not the text that looks like it, and 7 is not "7"."""
    number = ObjectId()
    keys: list[Any] = [number, str(number), "mail:42", "mail", "a=b", "x" * 700, "", "line\n2:$(id)", 7, "7", UTC_DAY, {"a": 1}]
    jobs.insert_many([{"_id": key, "name": "a:b", "repeatInterval": "0 9 * * *", "nextRunAt": NOW + HOUR} for key in keys])
    entries = AGENDA.read("", options(jobs, mongod)).entries
    assert len({entry.id for entry in entries}) == len(keys)
    assert all(re.fullmatch(r"a-b-[0-9a-f]{24}", entry.id) for entry in entries)
    written = set()
    for entry in entries:
        before, _, rest = shlex.split(AGENDA.disable(entry))[-1].partition(".updateOne({_id: ")
        assert before == f'db.getSiblingDB("{jobs.database.name}").getCollection("agendaJobs")'
        written.add(rest.removesuffix("}, {$set: {disabled: true}})"))
    texts = {json.dumps(key) for key in keys if isinstance(key, str)} | {f'ObjectId("{number}")'}
    assert texts < written
    parsed = [json_util.loads(json.loads(text.removeprefix("EJSON.parse(").removesuffix(")"))) for text in written - texts]
    assert sorted(str(jobs.find_one({"_id": key})["_id"]) for key in parsed) == sorted(map(str, (7, UTC_DAY, {"a": 1})))
    (first, *_) = make_plan(AGENDA, "", options(jobs, mongod), NOW)["entries"]
    assert ("_id", "dropped") in {(field["name"], field["fate"]) for field in first["fields"]}

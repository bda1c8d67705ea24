"""Job stores of APScheduler 3, written by APScheduler itself: first times, paused jobs, and commands that disable originals."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

from app.imports.entries import Entry, EntryKind
from app.imports.plan import Plan, State, decide, make_plan, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions, split_place
from app.imports.sources.apscheduler import run_sql
from tests.builders import aps_jobs, hostile
from tests.builders.aps_jobs import NOW

SOURCE = SOURCES["apscheduler"]
OPTIONS = SourceOptions(machine="web1", timezone="Europe/Berlin")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job store of 80 jobs."""
    file = tmp_path_factory.mktemp("aps") / "jobs.sqlite"
    aps_jobs.fill(SQLAlchemyJobStore(url=f"sqlite:///{file}"), 80)
    return file


@pytest.fixture(scope="module")
def plan(path: Path) -> Plan:
    return make_plan(SOURCE, str(path), OPTIONS, NOW)


def test_no_job_has_a_wrong_first_time_in_400_days(path: Path, plan: Plan) -> None:
    """APScheduler itself has noted the next time of each job when the store was written."""
    with sqlite3.connect(path) as database:
        noted = dict(database.execute("SELECT id, next_run_time FROM apscheduler_jobs"))
    compared = 0
    for entry in plan["entries"]:
        job_id = entry["where"].split()[1]
        if noted[job_id] is None or "or" in str(entry["fields"][:1]) or entry["id"].count("-") > 2:
            continue
        first = datetime.fromisoformat(entry["fires"]["first"])
        expected = datetime.fromtimestamp(noted[job_id], UTC)
        if "jitter_seconds" in entry["job"]["schedule"]:
            assert first >= NOW
        elif expected > NOW and expected < NOW + timedelta(days=400):
            assert first == expected.replace(microsecond=0), entry
            compared += 1
    assert compared > 45


def test_paused_jobs_stay_disabled_and_a_trigger_with_or_becomes_several_jobs(plan: Plan) -> None:
    disabled = [entry for entry in plan["entries"] if entry["disabled"]]
    assert {entry["disabled"] for entry in disabled} == {"is paused in APScheduler"}
    assert all(entry["disable"] == entry["enable"] and "= NULL" in entry["enable"] for entry in disabled), "they stay so"
    assert len(disabled) == 2
    parts = [entry for entry in plan["entries"] if entry["where"] == "apscheduler_jobs job-49"]
    assert [entry["job"]["schedule"]["expression"] for entry in parts] == ["0 5 * * *", "0 6 * * 0"]


def test_no_secret_is_in_a_plan(plan: Plan) -> None:
    text = json.dumps(plan)
    assert "abcdefghij" not in text
    assert "secret@db" not in text
    assert "‹secret-1›" in json.dumps(plan, ensure_ascii=False)


def test_reading_changes_nothing_and_needs_no_right_to_write(path: Path, plan: Plan) -> None:
    before = path.read_bytes()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        again = make_plan(SOURCE, str(path), OPTIONS, NOW)
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    assert again == plan
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_run_does_not_change_the_source_and_another_argument_does(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    digest = SOURCE.read(str(copy), OPTIONS).digest
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE apscheduler_jobs SET next_run_time = next_run_time + 300 WHERE id = 'job-0'")
    assert SOURCE.read(str(copy), OPTIONS).digest == digest
    with sqlite3.connect(copy) as database:
        database.execute("DELETE FROM apscheduler_jobs WHERE id = 'job-0'")
    assert SOURCE.read(str(copy), OPTIONS).digest != digest


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3")
def test_the_commands_disable_and_enable_the_original(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "it's a copy.sqlite"
    shutil.copy(path, copy)
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE apscheduler_jobs SET id = 'it''s \"one\"' WHERE id = 'job-0'")
    entry = next(entry for entry in SOURCE.read(str(copy), OPTIONS).entries if entry.values["id"].startswith("it's"))
    noted = SQLAlchemyJobStore(url=f"sqlite:///{copy}")

    def due() -> float | None:
        with noted.engine.connect() as connection:
            return connection.exec_driver_sql("SELECT next_run_time FROM apscheduler_jobs WHERE id LIKE 'it%'").scalar()

    before = due()
    assert before is not None
    subprocess.run(SOURCE.disable(entry), shell=True, check=True)  # noqa: S602 - it is printed for a shell
    assert due() is None
    assert next(one for one in SOURCE.read(str(copy), OPTIONS).entries if one.id == entry.id).disabled
    subprocess.run(SOURCE.enable(entry), shell=True, check=True)  # noqa: S602 - the same
    assert due() == before


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("sqlite:////srv/a b.sqlite", "sqlite3 '/srv/a b.sqlite' 'UPDATE x'"),
        (
            "postgresql+psycopg://db.example.com:5433/shop?sslmode=require",
            "psql 'postgresql://db.example.com:5433/shop?sslmode=require' -c 'UPDATE x'",
        ),
        (
            "mysql+pymysql://db.example.com:3307/shop?charset=utf8",
            "mysql --host db.example.com --port 3307 -p --database shop -e 'UPDATE x'",
        ),
        ("mysql://db.example.com/-shop", "mysql --host db.example.com -p --database -shop -e 'UPDATE x'"),
        ("mssql+pyodbc://db/shop", "UPDATE x;"),
    ],
)
def test_the_command_is_that_of_the_database(address: str, command: str) -> None:
    assert run_sql(address, "UPDATE x") == command


def test_a_time_that_the_clock_skips_blocks_a_job_until_it_is_decided(tmp_path: Path) -> None:
    """02:30 in Berlin: APScheduler starts it at 03:30 in spring and twice in autumn, the job at 03:00 and once."""
    states = {"a": pickle.dumps(hostile.state(trigger=CronTrigger(hour=2, minute=30, timezone=ZoneInfo("Europe/Berlin"))))}
    path = tmp_path / "jobs.sqlite"
    aps_jobs.write_states(path, states)
    plan = make_plan(SOURCE, str(path), OPTIONS, NOW)
    (entry,) = plan["entries"]
    assert (state_of(entry, plan), entry["fires"]["wrong"]) == (State.OPEN, "2027-03-28T01:00:00+00:00")
    assert entry["decisions"] == []
    assert "APScheduler runs what the clock skips as if" in plan["decisions"][0]["question"]
    decide(plan, ["all=accept"])
    assert state_of(entry, plan) is State.READY


def test_a_job_whose_only_time_has_passed_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    aps_jobs.write_states(path, {"a": pickle.dumps(hostile.state(trigger=DateTrigger(datetime(2026, 1, 1, tzinfo=UTC))))})
    (entry,) = make_plan(SOURCE, str(path), OPTIONS, NOW)["entries"]
    assert (entry["kind"], entry["reason"]) == ("note", "was due at 2026-01-01T00:00:00+00:00, and is not due again")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/nowhere/jobs.sqlite", "does not exist"),
        ("postgresql://app:pw@db/shop", "contains a password"),
        ("oracle://db/shop", "The driver for oracle://db/shop is not installed"),
        ("ftp://db/shop", "must begin with"),
        ("", "is missing"),
    ],
)
def test_a_store_that_cannot_be_read_says_why(place: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        SOURCE.read(place, OPTIONS)


def test_a_table_with_another_name_must_be_named(path: Path) -> None:
    for table, words in (("jobs", "give it with --option table=NAME"), ("a;b", "is not the name of a table")):
        with pytest.raises(SourceError, match=words):
            SOURCE.read(str(path), SourceOptions(machine="web1", own={"table": table}))


def test_the_type_alone_is_enough_with_an_address() -> None:
    assert split_place("apscheduler:")[0] is SOURCE
    assert SOURCE.shown_place("", SourceOptions(machine="a", address="mongodb://u:p@db/shop")) == "mongodb://db/shop"


@pytest.mark.parametrize("job_id", ["it's", "\\", "\\'; DROP TABLE x; -- ", "a\\' OR '1'='1"])
def test_an_id_cannot_leave_its_place_in_a_command_for_mysql(job_id: str) -> None:
    """MySQL reads a backslash as an escape: two quotes after it end the text."""
    store = {"store_address": "mysql+pymysql://db/shop", "store_table": "jobs", "store_database": "", "id": job_id, "next_run_time": ""}
    command = SOURCE.disable(Entry(id="x", where="jobs x", kind=EntryKind.JOB, raw="", values=store))
    statement = shlex.split(command)[-1]
    *_, literal = statement.partition(" WHERE id = ")
    if "\\" in job_id:
        assert bytes.fromhex(literal.partition("X'")[2].partition("'")[0]).decode() == job_id
        assert re.fullmatch(r"CONVERT\(X'[0-9a-f]+' USING utf8mb4\)", literal)
    else:
        assert literal == "'" + job_id.replace("'", "''") + "'"

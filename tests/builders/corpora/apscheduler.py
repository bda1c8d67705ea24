"""A job store of APScheduler 3 in an SQLite file, written by APScheduler."""

from __future__ import annotations

from pathlib import Path

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

from app.imports.entries import Entry
from tests.builders import aps_jobs
from tests.builders.corpora import Corpus, berlin

OF_ALL = {"call", "id", "executor", "misfire_grace_time", "coalesce", "max_instances", "next_run_time"}
_OF_TRIGGER = {
    "cron": {"hour", "minute", "timezone"},
    "interval": {"interval", "start_date"},
    "date": {"run_date"},
    "calendarinterval": {"months", "time"},
}


def make(folder: Path, mongod: str) -> Corpus:
    file = folder / "jobs.sqlite"
    aps_jobs.fill(SQLAlchemyJobStore(url=f"sqlite:///{file}"), 200)
    return Corpus(place=str(file), options=berlin(), entries=200, fields=_fields)


def _fields(entry: Entry) -> set[str]:
    kind = entry.values["trigger"].partition('"type": "')[2].partition('"')[0]
    return OF_ALL | _OF_TRIGGER[kind]

"""Periodic tasks of django-celery-beat in an SQLite file."""

from __future__ import annotations

from pathlib import Path

from app.imports.entries import Entry
from tests.builders import beat
from tests.builders.corpora import Corpus, berlin

_OF_SCHEDULE = {
    "crontab": {"minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone"},
    "interval": {"interval"},
    "clocked": {"clocked"},
}


def make(folder: Path, mongod: str) -> Corpus:
    file = folder / "db.sqlite3"
    beat.django(file, [beat.task(number) for number in range(200)])
    return Corpus(place=str(file), options=berlin(own={"app": "shop"}), entries=200, fields=_fields)


def _fields(entry: Entry) -> set[str]:
    kind = entry.values["schedule"].partition('"type": "')[2].partition('"')[0]
    own = {name for name, value in (("last_run_at", "last_run"), ("expires", "end"), ("description", "description")) if entry.values[value]}
    return {"call", "total_run_count"} | own | _OF_SCHEDULE[kind]

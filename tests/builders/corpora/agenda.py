"""A collection of Agenda as applications leave it: jobs of every(), of repeatEvery() and of schedule(), locks and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from app.imports.node_times import node_cron_times, read_node_cron
from tests.builders.corpora import Corpus
from tests.builders.plans import NOW, SourceOptions

COUNT = 200
_HUMAN = ("5 minutes", "30 seconds", "1 hour", "two hours", "1 day", "3 months", "1 week", "90 minutes", "3 days and 4 hours", "1.5 hours")
_CRON = ("0 9 * * 1-5", "*/15 * * * *", "0 */2 * * *", "30 3 1 * *", "0 0 6 * * *", "15,45 8-18 * * mon-fri", "0 22 L * *", "0 7 * * 1#1")
_CRON += ("5 4 * * sun", "@daily", "*/10 * * * * *", "0 6 ? * MON", "0 12 * * 5L", "20 1 15 */3 *")
_ZONES = (None, "Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo")
_NAMES = ("send digest", "sync orders", "cleanup sessions", "refresh tokens", "invoice customer", "rebuild search index")


def documents(count: int = COUNT) -> list[dict[str, Any]]:
    """Documents of Agenda, always the same."""
    return [_document(number) for number in range(count)]


def _document(number: int) -> dict[str, Any]:
    name = f"{_NAMES[number % len(_NAMES)]} {number // len(_NAMES)}"
    last = NOW - timedelta(minutes=7 * number + 3, milliseconds=-number % 1000)
    document: dict[str, Any] = {
        "_id": ObjectId(f"{number:024x}"),
        "name": name,
        "type": "single" if number % 3 else "normal",
        "priority": (0, 10, -20)[number % 3],
        "data": ({"customer": number, "tags": ["a"]}, None, {"to": "ops@example.com"})[number % 3],
        "lastModifiedBy": None,
        "shouldSaveResult": False,
    }
    kind = number % 10
    if kind == 9:
        return {**document, "nextRunAt": NOW + timedelta(hours=number)}
    document |= {"lastRunAt": last, "lastFinishedAt": last + timedelta(seconds=2), "failCount": number % 4}
    if kind < 4:
        text = _HUMAN[number // 10 % len(_HUMAN)]
        document |= {"repeatInterval": 120_000 if kind == 3 and number % 4 == 1 else text, "repeatTimezone": None}
        document["nextRunAt"] = NOW + timedelta(minutes=number % 50 + 1)
    else:
        zone = _ZONES[number % len(_ZONES)]
        text = _CRON[number // 2 % len(_CRON)]
        cron = read_node_cron(text)
        due = next(iter(islice(node_cron_times(cron, zone or "UTC", NOW, NOW + timedelta(days=400)), 1)))
        document |= {"repeatInterval": text, "repeatTimezone": zone, "nextRunAt": due}
        if kind == 5:
            document |= {"endDate": datetime(2030, 1, 1, tzinfo=UTC), "startDate": datetime(2025, 1, 1, tzinfo=UTC)}
        if kind == 6 and cron.any_day and not (cron.nth or cron.last_weekdays):
            document |= _with_skipped_days(cron, zone)
    if number % 20 == 7:
        document |= {"lockedAt": NOW - timedelta(days=300), "failedAt": last, "failReason": "socket hang up"}
    if number % 25 == 11:
        document["disabled"] = True
    return document


def _with_skipped_days(cron: Any, zone: str | None) -> dict[str, Any]:
    """Days that are skipped, if the expression is due on other days; the next run moves with them."""
    allowed = {day for day in cron.weekdays if day not in {0, 6}}
    times = node_cron_times(cron, zone or "UTC", NOW, NOW + timedelta(days=30))
    due = next((moment for moment in times if moment.isoweekday() % 7 in allowed), None)
    return {"skipDays": [0, 6], "nextRunAt": due} if due and len(cron.weekdays) == 7 and zone in {None, "UTC"} else {"skipDays": []}


def make(folder: Path, mongod: str) -> Corpus:
    database = f"agenda_{folder.name[:30]}".replace(".", "_")
    with MongoClient[dict[str, Any]](mongod) as client:
        client[database]["agendaJobs"].drop()
        client[database]["agendaJobs"].insert_many(documents())
    options = SourceOptions(machine="web1", timezone="UTC", now=NOW, address=mongod, own={"database": database})
    return Corpus(place="", options=options, entries=COUNT, fields=lambda entry: set(entry.values) | {"call"})

"""What MongoDB does and mongomock does not. Each difference is tried on both (test_differences.py), so that this list is true.

Tests of stores that need one of them are marked `differs` with its name; on mongomock they must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database
from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from app.mongo import Document

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Difference:
    """`attempt` returns `expected` on mongod; on mongomock it returns something else or raises. `reason` says why."""

    reason: str
    attempt: Callable[[Database[Document]], Any]
    expected: Any


def _bulk_update(database: Database[Document]) -> Any:
    return database["differences"].bulk_write([UpdateOne({"_id": 1}, {"$set": {"count": 1}}, upsert=True)]).upserted_count


def _add_to_a_date(database: Database[Document]) -> Any:
    database["differences"].insert_one({"_id": 1, "at": NOW})
    database["differences"].update_one({"_id": 1}, [{"$set": {"at": {"$add": ["$at", 1000]}}}])
    return (database["differences"].find_one({"_id": 1}) or {})["at"]


def _largest_of_null_and_a_date(database: Database[Document]) -> Any:
    database["differences"].insert_one({"_id": 1, "at": None})
    database["differences"].update_one({"_id": 1}, {"$max": {"at": NOW}})
    return (database["differences"].find_one({"_id": 1}) or {})["at"]


def _command(database: Database[Document]) -> Any:
    return database.command("dbStats")["ok"]


def _session(database: Database[Document]) -> Any:
    with database.client.start_session() as session:
        return session.has_ended


def _change_stream(database: Database[Document]) -> Any:
    with database["differences"].watch(max_await_time_ms=1) as changes:
        return changes.alive


def _hint(database: Database[Document]) -> Any:
    database["users"].insert_one({"_id": "u", "email": "a@example.com"})
    return [row["_id"] for row in database["users"].find({"email": "a@example.com"}, hint="email")]


def _first_of_a_group(database: Database[Document]) -> Any:
    database["differences"].insert_many([{"_id": n} for n in range(3)])
    first = {"$firstN": {"n": 2, "input": "$_id"}}
    return [row["first"] for row in database["differences"].aggregate([{"$sort": {"_id": 1}}, {"$group": {"_id": None, "first": first}}])]


def _count_by_value(database: Database[Document]) -> Any:
    database["differences"].insert_many([{"_id": n, "value": n // 2} for n in range(3)])
    return [row["count"] for row in database["differences"].aggregate([{"$sortByCount": "$value"}])]


def _key_of_a_duplicate(database: Database[Document]) -> Any:
    database["users"].insert_one({"_id": "u", "email": "a@example.com"})
    try:
        database["users"].insert_one({"_id": "v", "email": "a@example.com"})
    except DuplicateKeyError as error:
        return (error.details or {}).get("keyPattern")
    return "stored"


def _largest_document(database: Database[Document]) -> Any:
    try:
        database["differences"].insert_one({"_id": 1, "text": "x" * 17_000_000})
    except DocumentTooLarge:
        return "refused"
    return "stored"


DIFFERENCES = {
    "bulk update": Difference("bulk_write of UpdateOne raises TypeError since PyMongo 4.11 (mongomock issue 912)", _bulk_update, 1),
    "date arithmetic": Difference("$add takes numbers and no date", _add_to_a_date, NOW + timedelta(seconds=1)),
    "largest of null": Difference("$max compares no date with null", _largest_of_null_and_a_date, NOW),
    "command": Difference("no command but ping is implemented", _command, 1.0),
    "session": Difference("there are no sessions and no transactions", _session, False),
    "change stream": Difference("there are no change streams", _change_stream, True),
    "hint": Difference("a query cannot name its index", _hint, ["u"]),
    "first of a group": Difference("$firstN is not implemented", _first_of_a_group, [[0, 1]]),
    "count by value": Difference("$sortByCount is not implemented", _count_by_value, [2, 1]),
    "key of a duplicate": Difference("the error of a unique index does not say which index it was", _key_of_a_duplicate, {"email": 1}),
    "largest document": Difference("a document may have any size, where MongoDB refuses more than 16 MiB", _largest_document, "refused"),
}

"""Makes the queue's indexes smaller: only executions that wait or run have the fields of the queue, and are in its indexes. A run holds
slots of several kinds. Chunks of logs are found by their `_id`. From its insert to its end, an execution costs 11 index writes instead
of 28."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
EXISTS, TEXT, DATE = {"$exists": True}, {"$type": "string"}, {"$type": "date"}
# MongoDB uses a partial index only if the query implies the condition of the index. A comparison implies "later than 1970", but not "is
# a date".
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
WAITING, LIVE = ["queued", "retrying"], ["queued", "running", "retrying"]

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel([("queue_rank", A), ("available_at", A)], name="waiting", partialFilterExpression={"queue_rank": EXISTS}),
        IndexModel([("waits_for", A), ("queue_rank", A)], name="blocked", partialFilterExpression={"waits_for": EXISTS}),
        IndexModel([("job_id", A)], name="live", partialFilterExpression={"live": True}),
        # At most one execution holds a slot (app.queue.slots).
        IndexModel([("slots", A)], name="slots", unique=True, partialFilterExpression={"slots": EXISTS}),
        IndexModel([("status", A), ("queued_at", D)], name="ended", partialFilterExpression={"completed_at": ANY_DATE}),
    ],
    "dynamic_jobs": [
        IndexModel([("next_run_at", A)], name="next_due", partialFilterExpression={"enabled": True, "next_run_at": ANY_DATE}),
        IndexModel([("dispatch.at", A)], name="outboxes", partialFilterExpression={"dispatch.at": EXISTS}),
        IndexModel([("paused.cause", A)], name="paused", partialFilterExpression={"paused.cause": EXISTS}),
    ],
}
DROPS: dict[str, list[str]] = {
    "job_executions": ["queue", "slot", "lost", "claimed", "by_job_status", "by_status"],
    "dynamic_jobs": ["due", "outbox"],
    "execution_logs": ["order"],
}
_OLD_JOBS: list[IndexModel] = [
    IndexModel([("next_run_at", A)], name="due", partialFilterExpression={"enabled": True, "next_run_at": DATE}),
    IndexModel([("dispatch.at", A)], name="outbox", partialFilterExpression={"dispatch.at": DATE}),
]
_OLD: list[IndexModel] = [
    IndexModel([("slot_key", A)], name="slot", unique=True, partialFilterExpression={"slot_key": TEXT}),
    IndexModel([("status", A), ("queue_rank", A), ("available_at", A)], name="queue"),
    IndexModel([("status", A), ("lease.expires_at", A)], name="lost"),
    IndexModel([("lease.claim", A)], name="claimed", partialFilterExpression={"lease.claim": TEXT}),
    IndexModel([("job_id", A), ("status", A)], name="by_job_status"),
    IndexModel([("status", A), ("queued_at", D)], name="by_status"),
]
BATCH = 1000


def up(database: Database[dict[str, Any]]) -> None:
    executions, logs = database["job_executions"], database["execution_logs"]
    _drop(database, DROPS)
    executions.update_many({"status": {"$in": LIVE}}, [{"$set": {"live": True, "rank": "$queue_rank"}}])
    executions.update_many({"status": {"$nin": WAITING}}, {"$unset": {"queue_rank": ""}})
    executions.update_many({"slot_key": EXISTS}, [{"$set": {"slots": ["$slot_key"]}}, {"$unset": "slot_key"}])
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)
    for rows in _batches(logs, {"execution_id": EXISTS}):
        renewed = [{"_id": f"{row['execution_id']}/{row['seq']}", "attempt": row["attempt"], "lines": row["lines"]} for row in rows]
        logs.bulk_write([ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in renewed], ordered=False)


def down(database: Database[dict[str, Any]]) -> None:
    executions, logs = database["job_executions"], database["execution_logs"]
    _drop(database, {collection: [index.document["name"] for index in indexes] for collection, indexes in INDEXES.items()})
    executions.update_many({"live": True}, [{"$set": {"queue_rank": "$rank"}}])
    executions.update_many({"slots": EXISTS}, [{"$set": {"slot_key": {"$arrayElemAt": ["$slots", 0]}}}])
    executions.update_many({}, {"$unset": {"live": "", "rank": "", "slots": ""}})
    executions.create_indexes(_OLD)
    database["dynamic_jobs"].create_indexes(_OLD_JOBS)
    for rows in _batches(logs, {"execution_id": {"$exists": False}}):
        keys = [dict(zip(("execution_id", "seq"), row["_id"].rsplit("/", 1), strict=True)) for row in rows]
        older = [{**key, "attempt": row["attempt"], "lines": row["lines"]} for key, row in zip(keys, rows, strict=True)]
        logs.bulk_write([ReplaceOne(key, row, upsert=True) for key, row in zip(keys, older, strict=True)], ordered=False)
    logs.create_indexes([IndexModel([("execution_id", A), ("seq", A)], name="order", unique=True)])


def _drop(database: Database[dict[str, Any]], names: dict[str, list[str]]) -> None:
    for collection, gone in names.items():
        drop_indexes(database[collection], gone)


def _batches(collection: Collection[dict[str, Any]], old: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Yields documents of the form `old`, and deletes them after the caller has written their successors, because an `_id` cannot be
    changed. A migration that was killed between the two steps writes the same successors again."""
    while rows := list(collection.find(old).limit(BATCH)):
        yield rows
        collection.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})

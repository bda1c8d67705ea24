"""Makes a chain of audit events by their numbers. Existing events get a number but no seal, because they are older than the chain."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "audit_log": [
        IndexModel([("seq", D)], name="chain", unique=True),
        IndexModel([("target.kind", A), ("target.id", A), ("seq", D)], name="of_target"),
        IndexModel([("actor.email", A), ("seq", D)], name="of_actor"),
        IndexModel([("action", A), ("seq", D)], name="of_action"),
    ],
}
DROPS: dict[str, list[str]] = {"audit_log": ["by_target"]}
OLD = [IndexModel([("target.kind", A), ("target.id", A), ("at", D), ("_id", D)], name="by_target")]
BATCH = 1000


def up(database: Database[dict[str, Any]]) -> None:
    events = database["audit_log"]
    last = events.find_one({"seq": {"$exists": True}}, {"seq": 1}, sort=[("seq", -1)])
    number = last["seq"] if last else 0
    changes: list[UpdateOne] = []
    for row in events.find({"seq": {"$exists": False}}, {"_id": 1}).sort([("at", 1), ("_id", 1)]):
        number += 1
        changes.append(UpdateOne({"_id": row["_id"]}, {"$set": {"seq": number}}))
        if len(changes) == BATCH:
            events.bulk_write(changes)
            changes = []
    if changes:
        events.bulk_write(changes)
    events.create_indexes(INDEXES["audit_log"])
    drop_indexes(events, ["by_target"])


def down(database: Database[dict[str, Any]]) -> None:
    events = database["audit_log"]
    events.create_indexes(OLD)
    drop_indexes(events, [index.document["name"] for index in INDEXES["audit_log"]])
    events.update_many({"seal": {"$exists": False}}, {"$unset": {"seq": ""}})

"""Adds the indexes for announcements, for the messages that they are in, and for mutes."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "announcements": [
        IndexModel([("due_at", A)], name="due", partialFilterExpression={"due_at": {"$type": "date"}}),
        IndexModel([("batch", A)], name="by_batch", partialFilterExpression={"batch": {"$type": "string"}}),
        IndexModel([("announcement.incident_id", A)], name="by_incident"),
        IndexModel([("created_at", D), ("_id", D)], name="newest"),
        IndexModel([("status", A), ("created_at", D), ("_id", D)], name="by_status"),
        IndexModel([("hold.by", A), ("created_at", D)], name="by_holder", partialFilterExpression={"hold.by": {"$type": "string"}}),
    ],
    "announcement_batches": [
        IndexModel([("at", A)], name="open", partialFilterExpression={"open": True}),
        IndexModel([("group", A), ("at", A)], name="by_group"),
        IndexModel([("target_key", A), ("at", A)], name="by_target"),
        IndexModel([("at", A)], name="oldest"),
    ],
    "mutes": [IndexModel([("ends_at", A)], name="ends")],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes announcements and mutes: the version before does not know them."""
    for collection in (*INDEXES, "notification_turns"):
        database[collection].drop()

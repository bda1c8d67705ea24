"""Adds the indexes for channels and for the deliveries of notifications."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "channels": [IndexModel([("name", A)], name="name", unique=True)],
    "deliveries": [
        IndexModel([("channel_id", A), ("due_at", A)], name="due", partialFilterExpression={"status": "waiting"}),
        IndexModel([("created_at", D), ("_id", D)], name="newest"),
        IndexModel([("execution_id", A)], name="by_execution"),
        IndexModel([("job_id", A), ("created_at", D), ("_id", D)], name="by_job"),
        IndexModel([("channel_id", A), ("created_at", D), ("_id", D)], name="by_channel"),
        IndexModel([("status", A), ("created_at", D), ("_id", D)], name="by_status"),
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the channels with their deliveries: the version before does not know them."""
    for collection in (*INDEXES, "channel_states"):
        database[collection].drop()

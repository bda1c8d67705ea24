"""Adds the indexes for jobs that limit how many of their runs start in a period."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    # Only executions that carry a limit are in it.
    "job_executions": [
        IndexModel([("job_id", A), ("started_at", A)], name="limited", partialFilterExpression={"run_limit.runs": {"$gt": 0}})
    ],
    "job_starts": [IndexModel([("until", A)], name="expiry", expireAfterSeconds=0)],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the index, and the starts of jobs: they are read from the executions again."""
    drop_indexes(database["job_executions"], ["limited"])
    database["job_starts"].drop()

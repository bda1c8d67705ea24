"""Adds notes on jobs. Counts of executions by hour also add up the durations of successful ones, and read them from the same index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        # Has all fields that the counts need, including the one in the condition of the partial index.
        IndexModel(
            [("status", A), ("queued_at", D), ("completed_at", A), ("duration_seconds", A)],
            name="ended_in_seconds",
            partialFilterExpression={"completed_at": ANY_DATE},
        ),
    ],
    "job_notes": [IndexModel([("job_id", A), ("at", D)], name="by_job")],
}
DROPS: dict[str, list[str]] = {"job_executions": ["ended_by_status"]}


def up(database: Database[dict[str, Any]]) -> None:
    executions = database["job_executions"]
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)
    drop_indexes(executions, ["ended_by_status"])


def down(database: Database[dict[str, Any]]) -> None:
    executions = database["job_executions"]
    executions.create_index(
        [("status", A), ("queued_at", D), ("completed_at", A)], name="ended_by_status", partialFilterExpression={"completed_at": ANY_DATE}
    )
    drop_indexes(executions, ["ended_in_seconds"])
    drop_indexes(database["job_notes"], ["by_job"])

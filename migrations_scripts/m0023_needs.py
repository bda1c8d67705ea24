"""Adds the index for executions that wait, by the labels that they need of a node. Executions without needs stay as they are."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel(
            [("needs_key", A), ("queue_rank", A), ("available_at", A)],
            name="waiting_by_needs",
            partialFilterExpression={"queue_rank": {"$exists": True}},
        )
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["waiting_by_needs"])

"""Adds the index by which executions are found that wait for workers of one template, however many others wait."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel(
            [("template_type", A), ("needs_key", A), ("queue_rank", A), ("available_at", A)],
            name="waiting_by_template",
            partialFilterExpression={"queue_rank": {"$exists": True}},
        )
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].create_indexes(INDEXES["job_executions"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["waiting_by_template"])

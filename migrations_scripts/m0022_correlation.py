"""Adds the index for the executions that one request has caused."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel([("correlation_id", ASCENDING)], name="by_correlation", partialFilterExpression={"correlation_id": {"$exists": True}})
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].create_indexes(INDEXES["job_executions"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["by_correlation"])

"""Adds the index by which ended executions are counted for the metrics."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [IndexModel([("completed_at", ASCENDING)], name="ended_at", partialFilterExpression={"completed_at": ANY_DATE})],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["ended_at"])
    database.drop_collection("metric_totals")

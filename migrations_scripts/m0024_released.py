"""Adds the index for the executions that are announced to workers and not claimed yet."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel([("released.until", ASCENDING)], name="released", partialFilterExpression={"released.until": {"$exists": True}})
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].create_indexes(INDEXES["job_executions"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["released"])
    database["job_executions"].update_many({"released": {"$exists": True}}, {"$unset": {"released": ""}})

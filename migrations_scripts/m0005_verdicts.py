"""Adds the index of failed executions for which it must be decided whether their job pauses itself."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [IndexModel([("verdict", ASCENDING)], name="verdict", partialFilterExpression={"verdict": "pending"})],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].create_indexes(INDEXES["job_executions"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["verdict"])

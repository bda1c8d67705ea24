"""Adds the index for lists of the executions of a template."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [IndexModel([("template_type", ASCENDING), ("queued_at", DESCENDING)], name="by_template")],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].create_indexes(INDEXES["job_executions"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["job_executions"], ["by_template"])

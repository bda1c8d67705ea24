"""Adds the index for the latest runs of a template, which show how long its runs take, and the index of presets by template."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [
        IndexModel([("template_type", A), ("completed_at", D)], name="template_successes", partialFilterExpression={"status": "success"})
    ],
    "template_presets": [IndexModel([("template_type", A), ("name", A)], name="by_template")],
    "template_moves": [IndexModel([("template_type", A), ("at", D)], name="by_template")],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        drop_indexes(database[collection], [index.document["name"] for index in indexes])

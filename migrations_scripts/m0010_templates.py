"""How long runs of a template take is read off its latest ones; presets are found by their template."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

INDEXES = {
    "job_executions": IndexModel(
        [("template_type", ASCENDING), ("completed_at", DESCENDING)], name="by_template", partialFilterExpression={"status": "success"}
    ),
    "template_presets": IndexModel([("template_type", ASCENDING), ("name", ASCENDING)], name="by_template"),
    "template_moves": IndexModel([("template_type", ASCENDING), ("at", DESCENDING)], name="by_template"),
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, index in INDEXES.items():
        database[collection].create_indexes([index])


def down(database: Database[dict[str, Any]]) -> None:
    for collection, index in INDEXES.items():
        database[collection].drop_index(index.document["name"])

"""Adds the indexes of shadow runs, which are removed after 90 days."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

KEPT_SECONDS = 90 * 86_400
INDEXES: dict[str, list[IndexModel]] = {
    "shadow_runs": [
        IndexModel([("job_id", ASCENDING), ("due_at", DESCENDING)], name="of_job"),
        IndexModel([("at", ASCENDING)], name="old", expireAfterSeconds=KEPT_SECONDS),
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        drop_indexes(database[collection], [index.document["name"] for index in indexes])
    database["dynamic_jobs"].update_many({"shadow": {"$exists": True}}, {"$unset": {"shadow": ""}})

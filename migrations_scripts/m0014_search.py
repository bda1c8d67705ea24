"""Adds a field with the texts in which a list of jobs searches. A search reads only an index, and no job documents."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
PORTION = 1000
INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [IndexModel([("retired", A), ("name", A), ("search", A)], name="searched")],
}


def up(database: Database[dict[str, Any]]) -> None:
    jobs = database["dynamic_jobs"]
    changes: list[UpdateOne] = []
    for row in jobs.find({"search": {"$exists": False}}, {"name": 1, "description": 1, "tags": 1}):
        text = "\n".join((row["name"], row.get("description", ""), *row.get("tags", ()))).casefold()
        changes.append(UpdateOne({"_id": row["_id"]}, {"$set": {"search": text}}))
        if len(changes) == PORTION:
            jobs.bulk_write(changes, ordered=False)
            changes = []
    if changes:
        jobs.bulk_write(changes, ordered=False)
    jobs.create_indexes(INDEXES["dynamic_jobs"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["dynamic_jobs"], ["searched"])
    database["dynamic_jobs"].update_many({}, {"$unset": {"search": ""}})

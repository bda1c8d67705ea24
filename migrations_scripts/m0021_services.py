"""Adds the index for the jobs that a service has registered."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [
        IndexModel(
            [("registered.service", A), ("retired", A), ("name", A)],
            name="of_service",
            partialFilterExpression={"registered.service": {"$exists": True}},
        )
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["dynamic_jobs"], ["of_service"])
    database.drop_collection("services")

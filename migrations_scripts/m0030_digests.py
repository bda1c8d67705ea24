"""Adds the indexes for digests."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

INDEXES: dict[str, list[IndexModel]] = {
    "digests": [
        IndexModel([("name", ASCENDING)], name="name", unique=True, partialFilterExpression={"name": {"$gt": ""}}),
        IndexModel([("next_at", ASCENDING)], name="due", partialFilterExpression={"enabled": True}),
    ]
}


def up(database: Database[dict[str, Any]]) -> None:
    database["digests"].create_indexes(INDEXES["digests"])


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the digests: the version before does not know them."""
    for collection in ("digests", "monitor"):
        database[collection].drop()

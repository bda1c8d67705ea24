"""Makes the collection of the engine's nodes. A node is removed a day after its last heartbeat."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

INDEXES: dict[str, list[IndexModel]] = {
    "nodes": [IndexModel([("seen_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400)],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["nodes"].create_indexes(INDEXES["nodes"])


def down(database: Database[dict[str, Any]]) -> None:
    database["nodes"].drop()

"""Adds the index by which the imported entries of one source are found."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEXES: dict[str, list[IndexModel]] = {
    "imports": [IndexModel([("source", ASCENDING), ("entry", ASCENDING)], name="of_source")],
}


def up(database: Database[dict[str, Any]]) -> None:
    database["imports"].create_indexes(INDEXES["imports"])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["imports"], ["of_source"])

"""Adds the index of announced changes of dependencies by the jobs that they name."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes


def up(database: Database[dict[str, Any]]) -> None:
    database["dynamic_jobs"].create_indexes([IndexModel([("reserved.depends_on", ASCENDING)], name="reserved", sparse=True)])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["dynamic_jobs"], ["reserved"])
    database["dynamic_jobs"].update_many({"reserved": {"$exists": True}}, {"$unset": {"reserved": ""}})

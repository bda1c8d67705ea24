"""Renames `missed` to `due_times` in executions that summarise several due times. Skipped executions use the same field."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].update_many({"missed": {"$exists": True}}, {"$rename": {"missed": "due_times"}})


def down(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].update_many({"due_times": {"$exists": True}}, {"$rename": {"due_times": "missed"}})

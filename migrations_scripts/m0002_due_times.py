"""The summary of an execution that stands for several due times: `missed` becomes `due_times`, as skipped ones have it too."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database


def up(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].update_many({"missed": {"$exists": True}}, {"$rename": {"missed": "due_times"}})


def down(database: Database[dict[str, Any]]) -> None:
    database["job_executions"].update_many({"due_times": {"$exists": True}}, {"$rename": {"due_times": "missed"}})

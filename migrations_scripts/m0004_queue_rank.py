"""Orders the queue by a rank that also counts the time of waiting. By priority alone, executions of low priority could wait for ever."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [IndexModel([("status", A), ("queue_rank", A), ("available_at", A)], name="queue")],
}
DROPS: dict[str, list[str]] = {"job_executions": ["claim"]}
MINUTE_MS = 60_000


def up(database: Database[dict[str, Any]]) -> None:
    executions = database["job_executions"]
    rank = {"$subtract": ["$queued_at", {"$multiply": ["$priority", MINUTE_MS]}]}
    executions.update_many({"status": {"$in": ["queued", "running", "retrying"]}}, [{"$set": {"queue_rank": rank}}])
    executions.create_indexes(INDEXES["job_executions"])
    drop_indexes(executions, ["claim"])


def down(database: Database[dict[str, Any]]) -> None:
    executions = database["job_executions"]
    executions.create_indexes([IndexModel([("status", A), ("priority", D), ("queued_at", A)], name="claim")])
    drop_indexes(executions, ["queue"])
    executions.update_many({}, {"$unset": {"queue_rank": ""}})

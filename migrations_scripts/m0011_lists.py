"""Stores the status of its last run with each job. Adds indexes for lists by that status, by group and by creator. Drafts of forms expire
by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [
        IndexModel([("retired", A), ("last_status", A), ("name", A)], name="by_last_status"),
        IndexModel([("retired", A), ("group", A), ("name", A)], name="by_group"),
        IndexModel([("retired", A), ("created_by", A), ("name", A)], name="by_owner"),
        IndexModel([("retired", A), ("template_type", A), ("template_version", A)], name="by_version"),
        IndexModel([("schedule_error", A)], name="broken", partialFilterExpression={"schedule_error": {"$gt": ""}}),
    ],
    "job_executions": [
        # Has all fields that counts by hour need, including the one in the condition of the partial index.
        IndexModel(
            [("status", A), ("queued_at", D), ("completed_at", A)],
            name="ended_by_status",
            partialFilterExpression={"completed_at": ANY_DATE},
        ),
        # A timeline is drawn from this index. It is written once, at the end of a long run.
        IndexModel([("queued_at", D)], name="long", partialFilterExpression={"duration_seconds": {"$gte": 60}}),
        IndexModel([("queued_at", D)], name="dry", partialFilterExpression={"dry": True}),
    ],
    "job_drafts": [IndexModel([("at", A)], name="expiry", expireAfterSeconds=14 * 86_400)],
}
DROPS: dict[str, list[str]] = {"job_executions": ["ended"]}
RAN = ("success", "failed", "timeout", "cancelled")
PORTION = 1000


def up(database: Database[dict[str, Any]]) -> None:
    jobs, executions = database["dynamic_jobs"], database["job_executions"]
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)
    drop_indexes(executions, ["ended"])
    changes = []
    for job in jobs.find({"last_run_at": {"$type": "date"}, "last_status": {"$exists": False}}, {"_id": 1}):
        ended = {"job_id": job["_id"], "status": {"$in": list(RAN)}, "started_at": {"$type": "date"}}
        last = executions.find_one(ended, {"status": 1}, sort=[("queued_at", -1)])
        if last is not None:
            changes.append(UpdateOne({"_id": job["_id"]}, {"$set": {"last_status": last["status"]}}))
    for first in range(0, len(changes), PORTION):
        jobs.bulk_write(changes[first : first + PORTION], ordered=False)


def down(database: Database[dict[str, Any]]) -> None:
    database["dynamic_jobs"].update_many({}, {"$unset": {"last_status": ""}})
    database["job_executions"].create_index(
        [("status", A), ("queued_at", D)], name="ended", partialFilterExpression={"completed_at": ANY_DATE}
    )
    for collection, indexes in INDEXES.items():
        drop_indexes(database[collection], [index.document["name"] for index in indexes])

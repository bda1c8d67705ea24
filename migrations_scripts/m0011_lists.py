"""Jobs know how their last run ended; lists are narrowed by that, by group and by who made them; drafts of forms go by themselves."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.database import Database

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [
        IndexModel([("retired", A), ("last_status", A), ("name", A)], name="by_last_status"),
        IndexModel([("retired", A), ("group", A), ("name", A)], name="by_group"),
        IndexModel([("retired", A), ("created_by", A), ("name", A)], name="by_owner"),
    ],
    "job_drafts": [IndexModel([("at", A)], name="expiry", expireAfterSeconds=14 * 86_400)],
}
RAN = ("success", "failed", "timeout", "cancelled")
PORTION = 1000


def up(database: Database[dict[str, Any]]) -> None:
    jobs, executions = database["dynamic_jobs"], database["job_executions"]
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)
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
    for collection, indexes in INDEXES.items():
        for index in indexes:
            database[collection].drop_index(index.document["name"])

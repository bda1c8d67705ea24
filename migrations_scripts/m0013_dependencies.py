"""Adds the indexes for jobs that run after others: the jobs that run after a job, the ends that must still start other jobs, and the runs
that an end started."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
GATHERING_SECONDS = 400 * 86_400  # a gathering to which nothing was added for so long is removed
INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [IndexModel([("depends_on.job", A)], name="dependants", sparse=True)],
    "job_executions": [
        IndexModel([("dependants", A), ("completed_at", A)], name="to_follow", partialFilterExpression={"dependants": "pending"}),
        IndexModel([("caused_by", A)], name="caused_by", sparse=True),
    ],
    "gatherings": [IndexModel([("at", A)], name="forgotten", expireAfterSeconds=GATHERING_SECONDS)],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["dynamic_jobs"], ["dependants"])
    drop_indexes(database["job_executions"], ["to_follow", "caused_by"])
    database.drop_collection("gatherings")

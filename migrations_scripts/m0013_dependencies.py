"""Jobs that run after others: who runs after a job, which ends are still to be followed, what an end began."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

A = ASCENDING
GATHERING_SECONDS = 400 * 86_400  # what nobody has added to for so long is forgotten
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
    database["dynamic_jobs"].drop_index("dependants")
    for name in ("to_follow", "caused_by"):
        database["job_executions"].drop_index(name)
    database.drop_collection("gatherings")

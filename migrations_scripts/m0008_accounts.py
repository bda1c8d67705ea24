"""Adds the indexes for counted sign-in attempts, password resets, the sessions of an account, and approvals."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A = ASCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "sign_in_attempts": [IndexModel([("expires_at", A)], name="expiry", expireAfterSeconds=0)],
    "sessions": [IndexModel([("user_id", A)], name="of_user")],
    "approvals": [
        IndexModel([("state", A), ("requested_at", DESCENDING)], name="by_state"),
        IndexModel([("job_id", A), ("state", A)], name="of_job"),
    ],
    "users": [IndexModel([("reset.digest", A)], name="reset", partialFilterExpression={"reset.digest": {"$exists": True}})],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        drop_indexes(database[collection], [index.document["name"] for index in indexes])

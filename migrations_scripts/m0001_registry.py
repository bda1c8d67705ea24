"""Makes the collections of the registry and their indexes."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
DATE, TEXT, INT = {"$type": "date"}, {"$type": "string"}, {"$type": "int"}

INDEXES: dict[str, list[IndexModel]] = {
    "dynamic_jobs": [
        # A retired job keeps its name in the history, but another job may take that name.
        IndexModel([("name", A)], name="name", unique=True, partialFilterExpression={"retired": False}),
        # Each job has a numbered seat, so that the limits of the registry and of a creator hold when several jobs are made at once.
        IndexModel([("seat", A)], name="seat", unique=True, partialFilterExpression={"seat": INT}),
        IndexModel([("creator_seat", A)], name="creator_seat", unique=True, partialFilterExpression={"creator_seat": TEXT}),
        IndexModel([("next_run_at", A)], name="due", partialFilterExpression={"enabled": True, "next_run_at": DATE}),
        IndexModel([("dispatch.at", A)], name="outbox", partialFilterExpression={"dispatch.at": DATE}),
        IndexModel([("retired", A), ("name", A)], name="by_name"),
        IndexModel([("retired", A), ("template_type", A), ("name", A)], name="by_template"),
        IndexModel([("retired", A), ("tags", A), ("name", A)], name="by_tag"),
    ],
    "job_executions": [
        IndexModel(
            [("job_id", A), ("scheduled_for", A)], name="one_per_due_time", unique=True, partialFilterExpression={"scheduled_for": DATE}
        ),
        # An execution holds one of the `max_instances` slots of its job, and frees it at its end.
        IndexModel([("slot_key", A)], name="slot", unique=True, partialFilterExpression={"slot_key": TEXT}),
        IndexModel([("status", A), ("priority", D), ("queued_at", A)], name="claim"),
        IndexModel([("status", A), ("lease.expires_at", A)], name="lost"),
        IndexModel([("lease.claim", A)], name="claimed", partialFilterExpression={"lease.claim": TEXT}),
        IndexModel([("notify.at", A)], name="owed", partialFilterExpression={"notify.state": "pending"}),
        IndexModel([("job_id", A), ("queued_at", D)], name="by_job"),
        IndexModel([("job_id", A), ("status", A)], name="by_job_status"),
        IndexModel([("queued_at", D)], name="recent"),
        IndexModel([("status", A), ("queued_at", D)], name="by_status"),
    ],
    "execution_logs": [
        IndexModel([("execution_id", A), ("seq", A)], name="order", unique=True),
    ],
    "users": [IndexModel([("email", A)], name="email", unique=True)],
    "api_tokens": [
        IndexModel([("hash", A)], name="hash", unique=True),
        IndexModel([("user_id", A)], name="by_user"),
    ],
    "sessions": [IndexModel([("expires_at", A)], name="expiry", expireAfterSeconds=0)],
    "connections": [IndexModel([("name", A)], name="name", unique=True)],
    "job_revisions": [IndexModel([("job_id", A), ("version", A)], name="version", unique=True)],
    "audit_log": [
        IndexModel([("at", D), ("_id", D)], name="recent"),
        IndexModel([("target.kind", A), ("target.id", A), ("at", D), ("_id", D)], name="by_target"),
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the indexes; the documents stay."""
    for collection, indexes in INDEXES.items():
        drop_indexes(database[collection], [index.document["name"] for index in indexes])

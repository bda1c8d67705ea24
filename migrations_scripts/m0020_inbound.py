"""Adds the indexes for inbound addresses of jobs and for the deliveries to them, which expire by themselves."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "inbound_addresses": [
        IndexModel([("digest", A)], name="digest", unique=True),
        IndexModel([("job_id", A), ("name", A)], name="by_job"),
    ],
    "inbound_deliveries": [
        IndexModel([("job_id", A), ("at", D)], name="by_job"),
        IndexModel([("address_id", A), ("at", D)], name="by_address"),
        IndexModel([("at", A)], name="expiry", expireAfterSeconds=30 * 86_400),
    ],
    "inbound_seen": [IndexModel([("expires_at", A)], name="expiry", expireAfterSeconds=0)],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the addresses with their deliveries: the version before does not know them."""
    for collection in INDEXES:
        database[collection].drop()

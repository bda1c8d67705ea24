"""Adds the indexes for alert rules and for incidents."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

A, D = ASCENDING, DESCENDING
INDEXES: dict[str, list[IndexModel]] = {
    "alert_rules": [IndexModel([("name", A)], name="name", unique=True)],
    "incidents": [
        IndexModel([("rule_id", A), ("subject.key", A)], name="one_open", unique=True, partialFilterExpression={"open": True}),
        IndexModel([("rule_id", A), ("subject.key", A), ("opened_at", D), ("_id", D)], name="of_subject"),
        IndexModel([("due_at", A)], name="due", partialFilterExpression={"open": True}),
        IndexModel([("unsaid.number", A)], name="unsaid", partialFilterExpression={"unsaid.0": {"$exists": True}}),
        IndexModel([("opened_at", D), ("_id", D)], name="newest"),
        IndexModel([("open", A), ("opened_at", D), ("_id", D)], name="by_open"),
        IndexModel([("subject.id", A), ("opened_at", D), ("_id", D)], name="by_subject"),
    ],
}


def up(database: Database[dict[str, Any]]) -> None:
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def down(database: Database[dict[str, Any]]) -> None:
    """Removes the rules with their incidents: the version before does not know them."""
    for collection in INDEXES:
        database[collection].drop()

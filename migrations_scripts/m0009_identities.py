"""Adds the index that finds an account by its identity at a provider of single sign-on."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

INDEX = IndexModel(
    [("identity.issuer", ASCENDING), ("identity.subject", ASCENDING)],
    name="identity",
    unique=True,
    partialFilterExpression={"identity.subject": {"$exists": True}},
)


def up(database: Database[dict[str, Any]]) -> None:
    database["users"].create_indexes([INDEX])


def down(database: Database[dict[str, Any]]) -> None:
    drop_indexes(database["users"], ["identity"])

"""Reads a collection of another scheduler in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.imports.sources.addresses import full_address, without_credentials
from app.imports.sources.base import SourceError, SourceOptions

SCHEMES = ("mongodb",)
MOST_DOCUMENTS = 100_000
WAIT_MS = 5_000  # for a server that can be read


def read_collection(place: str, options: SourceOptions, *, database: str, collection: str) -> tuple[str, list[dict[str, Any]]]:
    """Returns the name of the database and the documents of a collection. `database` is taken if the address names none. Raises
    SourceError."""
    from pymongo import MongoClient  # noqa: PLC0415 - other sources do without
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - the same

    address = full_address(place, options, SCHEMES)
    shown = without_credentials(address)
    try:
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=WAIT_MS, appname="jobwright import") as client:
            chosen = client[options.get("database")] if options.get("database") else client.get_default_database(default=database)
            if collection not in _names(chosen, collection):
                raise SourceError(
                    f"{shown} has no collection {chosen.name}.{collection}. Say with --option database=NAME and "
                    f"--option collection=NAME where the jobs are."
                )
            found = list(chosen[collection].find().sort("_id", 1).limit(MOST_DOCUMENTS + 1))
    except (PyMongoError, ValueError) as error:
        raise SourceError(f"{shown} cannot be read: {without_credentials(str(error))[:300]}.") from error
    if len(found) > MOST_DOCUMENTS:
        raise SourceError(f"The collection {collection} has more than {MOST_DOCUMENTS:,} documents.")
    return chosen.name, found


def _names(database: Any, collection: str) -> Sequence[str]:
    """Returns the collections of a database. A user who may only read may not list those of others, so one is asked for by its name."""
    names: list[str] = database.list_collection_names(filter={"name": collection}, authorizedCollections=True, nameOnly=True)
    return names

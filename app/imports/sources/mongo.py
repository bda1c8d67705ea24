"""Reads collections of MongoDB: nothing but `find` is sent, so an account that can only read is enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from app.imports.sources.addresses import full_address, host_of, without_credentials
from app.imports.sources.base import SourceError, SourceOptions

WAIT_MILLISECONDS = 10_000
MOST_DOCUMENTS = 200_000
_UNAUTHORIZED, _NOT_AUTHENTICATED = 13, 18  # MongoDB, error codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection of a server: the address has credentials, `name` has none."""

    address: str
    database: str
    collection: str

    @property
    def name(self) -> str:
        """The host, the database and the collection, as they identify a source."""
        return f"{host_of(self.address)}/{self.database}.{self.collection}"

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yields the documents, sorted by their ids. Raises SourceError."""
        try:
            with MongoClient[dict[str, Any]](
                self.address, serverSelectionTimeoutMS=WAIT_MILLISECONDS, appname="jobwright import", tz_aware=True
            ) as client:
                found = client[self.database][self.collection].find({}, batch_size=2000).sort("_id", 1).limit(MOST_DOCUMENTS + 1)
                for number, document in enumerate(found):
                    if number == MOST_DOCUMENTS:
                        raise SourceError(f"{self.name} has more than {MOST_DOCUMENTS:,} documents.")
                    yield document
        except (PyMongoError, BSONError) as error:
            raise SourceError(_words(self, error)) from error


def collection_of(place: str, options: SourceOptions, *, database: str = "", collection: str) -> Collection:
    """Returns the collection that a place and the options `database` and `collection` name; the parameters are the usual ones of the
    source. Raises SourceError."""
    address = full_address(place, options, {"mongodb"})
    try:
        named = parse_uri(address, connect_timeout=WAIT_MILLISECONDS / 1000).get("database") or ""
    except (PyMongoError, ValueError) as error:
        raise SourceError(f"The address {without_credentials(address)} is not one of MongoDB: {type(error).__name__}.") from error
    chosen = options.get("database") or str(named) or database
    if not chosen:
        raise SourceError("The address names no database. Write it behind the host, or give it with --option database=NAME.")
    return Collection(address=address, database=chosen, collection=options.get("collection", collection))


def _words(collection: Collection, error: Exception) -> str:
    code = error.code if isinstance(error, OperationFailure) else 0
    if code == _NOT_AUTHENTICATED:
        return f"{collection.name}: MongoDB refuses the user or the password."
    if code == _UNAUTHORIZED:
        return f"{collection.name}: the user may not read this collection. It needs the role read on the database."
    if isinstance(error, ConfigurationError):
        return f"{collection.name}: the address is not complete, or an option in it is unknown."
    return f"{collection.name} cannot be read: {type(error).__name__}."

"""The door to MongoDB: one way to connect, one way to say that it is away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect, ConnectionFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.errors import StoreUnavailable

Document = dict[str, Any]

# A request waits so long for a server before it says 503; the health page shows the same figure.
SERVER_WAIT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}  # what a query says of a date that a partial index is of
DUPLICATE_KEY = 11000  # the server's code of a write that a unique index refused

CODEC: CodecOptions[Document] = CodecOptions(document_class=dict, tz_aware=True, tzinfo=UTC)


def connect(uri: str) -> MongoClient[Document]:
    """A client with every timeout set. Make it after any fork (PyMongo is not fork-safe)."""
    return MongoClient(
        uri,
        tz_aware=True,
        tzinfo=UTC,
        serverSelectionTimeoutMS=SERVER_WAIT_MS,
        connectTimeoutMS=SERVER_WAIT_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        retryWrites=True,
        appname="jobwright",
    )


def open_database(client: MongoClient[Document], name: str) -> Database[Document]:
    """The registry's database: majority writes, majority reads, aware UTC datetimes."""
    return client.get_database(
        name,
        codec_options=CODEC,
        write_concern=WriteConcern("majority", wtimeout=15_000),
        read_concern=ReadConcern("majority"),
    )


def by_id(ids: Sequence[str], values: Sequence[Any]) -> Document:
    """An expression: of `values`, the one in the place that the document's id has among `ids`."""
    return {"$arrayElemAt": [{"$literal": list(values)}, {"$indexOfArray": [{"$literal": list(ids)}, "$_id"]}]}


def as_stored(document: Document) -> Document:
    """The document as the database gives it back: milliseconds, plain types."""
    return bson.decode(bson.encode(document), CODEC)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn "the server is away" into StoreUnavailable (503); everything else passes as it is."""
    try:
        yield
    except (AutoReconnect, ConnectionFailure) as error:
        raise StoreUnavailable(str(error)[:200]) from error


def is_away(error: BaseException) -> bool:
    """True where the error means that the server did not answer, so that the same call may work later."""
    if isinstance(error, StoreUnavailable | AutoReconnect | ConnectionFailure):
        return True
    return isinstance(error, PyMongoError) and (error.has_error_label("RetryableWriteError") or error.timeout)

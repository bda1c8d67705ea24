"""The door to MongoDB: one way to connect, one way to say that it is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, TypeVar

import bson
from bson import DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidName,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.errors import StoreUnavailable
from app.events import get_logger
from app.validation.storable import bytes_in_words

log = get_logger(__name__)

Document = dict[str, Any]
T = TypeVar("T")

# A request waits so long for a server before it says 503; the health page shows the same figure.
SERVER_WAIT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
OLDEST_MONGODB = (6, 0)
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}  # what a query says of a date that a partial index is of
DUPLICATE_KEY = 11000  # the server's code of a write that a unique index refused


class _Plain(TypeDecoder):
    """Turns one of the driver's types into a type that every part of the service knows."""

    def __init__(self, bson_type: type, plain: Callable[[Any], Any]) -> None:
        self._bson_type, self._plain = bson_type, plain

    @property
    def bson_type(self) -> type:
        return self._bson_type

    def transform_bson(self, value: Any) -> Any:
        return self._plain(value)


# The registry writes plain values. The driver gives back types of its own for some of them (Int64 beyond 32 bits, DBRef for an object with
# `$ref` and `$id`, as JSON Schemas have them), and for whatever else somebody put into the database.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    Int64: int,
    DBRef: lambda reference: dict(reference.as_doc()),
    ObjectId: str,
    Decimal128: str,
    bytes: lambda data: bytes_in_words(len(data)),
    Binary: lambda data: bytes_in_words(len(data)),
    Regex: lambda regex: str(regex.pattern),
    Timestamp: lambda timestamp: timestamp.as_datetime(),
    Code: lambda code: code[:],
    MinKey: lambda _: "MinKey",
    MaxKey: lambda _: "MaxKey",
    # A date beyond the years 1 to 9999, which a datetime has not: what is out of the calendar is told as its milliseconds.
    DatetimeMS: lambda date: f"{int(date)} ms since 1970",
}
# As the driver gives it, for seals that were made over its types.
EXACT: CodecOptions[Document] = CodecOptions(
    document_class=dict, tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)  # fmt: skip
CODEC: CodecOptions[Document] = EXACT.with_options(type_registry=TypeRegistry([_Plain(kind, plain) for kind, plain in _PLAIN.items()]))


def connect(uri: str) -> MongoClient[Document]:
    """A client with every timeout set. Make it after any fork (PyMongo is not fork-safe). Raises ConfigurationError."""
    try:
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
    except ValueError as error:  # of a port or an option of the address
        raise ConfigurationError(str(error)) from error


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


def literal(text: str) -> str:
    """A pattern that finds `text` as it stands. The server takes no NUL in a pattern, but its escape."""
    return re.escape(text).replace("\0", r"\x00")


def begun(rows: Iterator[T]) -> Iterator[T]:
    """The same rows, of which the first has been read: what the server refuses of a query is raised here, before whoever streams the
    rows has begun to answer."""
    first = list(islice(rows, 1))
    return chain(first, rows)


def as_stored(document: Document, codec: CodecOptions[Document] = CODEC) -> Document:
    """The document as the database gives it back by `codec`: milliseconds, plain types."""
    return bson.decode(bson.encode(document), codec)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn "the server is away" into StoreUnavailable (503); everything else passes as it is."""
    try:
        yield
    except (AutoReconnect, ConnectionFailure) as error:
        log.warning("database.away", reason=str(error)[:200])  # the reason names addresses: it is for the log, not for who asked
        raise StoreUnavailable("MongoDB does not answer; nothing was changed, try again") from error


# Codes of the server (src/mongo/base/error_codes.yml) of a write that it refuses for its own state and not for what is written: no rights,
# no room, too busy, too slow, another primary.
PASSING_CODES = frozenset({
    6, 7, 8, 13, 18, 24, 46, 50, 64, 89, 91, 100, 112, 134, 189, 202, 203, 216, 237, 262, 8000, 9001, 10107, 11600, 11602, 13435, 13436,
    14031,
})  # fmt: skip


def is_permanent(error: BaseException) -> bool:
    """True where the same write is refused each time, as what is to be written cannot be: it cannot be encoded, is too large, or the server
    says so. False where the server is away, or refuses for its own state."""
    if is_away(error):
        return False
    if isinstance(error, BulkWriteError):
        codes = {one.get("code") for one in error.details.get("writeErrors", ())} - {DUPLICATE_KEY}
        return bool(codes) and not codes <= PASSING_CODES
    if isinstance(error, OperationFailure):
        return error.code is not None and error.code not in PASSING_CODES
    return not isinstance(error, PyMongoError) or isinstance(error, InvalidOperation | DocumentTooLarge | InvalidName)


def is_away(error: BaseException) -> bool:
    """True where the error means that the server did not answer, so that the same call may work later."""
    if isinstance(error, StoreUnavailable | AutoReconnect | ConnectionFailure):
        return True
    return isinstance(error, PyMongoError) and (error.has_error_label("RetryableWriteError") or error.timeout)

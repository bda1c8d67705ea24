"""The only way to MongoDB: connects, gives documents their shape, and tells whether the server is away."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

import bson
import pymongo
from bson import DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.cursor import Cursor
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
from app.shapes import DAMAGED, Object, make_readable, readable_values
from templates_lib.bodies import bytes_words

log = get_logger(__name__)

Document = dict[str, Any]
T = TypeVar("T")

# The time that a request waits for a server before it answers 503. The health page shows it too.
SERVER_WAIT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
QUERY_TIME_MS = 5_000  # that the server may take for a query of a list or a count
OLDEST_MONGODB = (6, 0)
# Matches any date. A query must say it like this to be answered from an index that is partial by the same condition.
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
DUPLICATE_KEY = 11000  # the server's error code for a write that a unique index refused


class _Plain(TypeDecoder):
    """Converts one of the driver's types into a plain Python type."""

    def __init__(self, bson_type: type, plain: Callable[[Any], Any]) -> None:
        self._bson_type, self._plain = bson_type, plain

    @property
    def bson_type(self) -> type:
        return self._bson_type

    def transform_bson(self, value: Any) -> Any:
        return self._plain(value)


# The registry writes plain values. For some of them, the driver returns types of its own: Int64 beyond 32 bits, DBRef for an object with
# `$ref` and `$id`, which JSON Schemas have. Other types come from people who write into the database.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    Int64: int,
    DBRef: lambda reference: dict(reference.as_doc()),
    ObjectId: str,
    Decimal128: str,
    bytes: lambda data: bytes_words(len(data)),
    Binary: lambda data: bytes_words(len(data)),
    Regex: lambda regex: str(regex.pattern),
    Timestamp: lambda timestamp: timestamp.as_datetime(),
    Code: lambda code: code[:],
    MinKey: lambda _: "MinKey",
    MaxKey: lambda _: "MaxKey",
    # A datetime has only the years 1 to 9999. A date outside of them becomes a text with its milliseconds.
    DatetimeMS: lambda date: f"{int(date)} ms since 1970",
}
# The types of the driver, unchanged: seals and resealing need them.
EXACT: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
CODEC: CodecOptions[Document] = EXACT.with_options(type_registry=TypeRegistry([_Plain(kind, plain) for kind, plain in _PLAIN.items()]))


class _Records:
    """A collection whose documents have a shape (app.shapes). A reader only gets documents of that shape.

    A damaged document is made readable and says under DAMAGED what is wrong with it; the log names it once. Everything else works as in the
    driver's collection.
    """

    def __init__(self, database: Database[Document], name: str, shape: Object) -> None:
        self._collection, self._name, self._shape = database[name], name, shape

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def find(self, filter: Any = None, projection: Any = None, **options: Any) -> Readable:
        """Works like the driver's method, with readable documents."""
        return Readable(self._collection.find(filter, projection, **options), lambda row: self.readable(row, projection))

    def find_one(self, filter: Any = None, projection: Any = None, **options: Any) -> Document | None:
        """Works like the driver's method, with a readable document."""
        row = self._collection.find_one(filter, projection, **options)
        return None if row is None else self.readable(row, projection)

    def find_one_and_update(self, filter: Any, update: Any, projection: Any = None, **options: Any) -> Document | None:
        """Works like the driver's method, with a readable document."""
        row = self._collection.find_one_and_update(filter, update, projection, **options)
        return None if row is None else self.readable(row, projection)

    def distinct(self, key: str, *args: Any, **options: Any) -> list[Any]:
        """Works like the driver's method, without values that do not have the type of the field."""
        return readable_values(self._collection.distinct(key, *args, **options), self._shape, key)

    def readable(self, row: Document, projection: Any = None) -> Document:
        """Returns a document as `find` returns it with `projection`. Logs damage once."""
        document = make_readable(row, self._shape, projection)
        if document is not row and _is_new((self._name, str(document.get("_id")), document[DAMAGED])):
            log.warning("record.damaged", collection=self._name, id=str(document.get("_id")), reason=document[DAMAGED])
        return document


class Readable:
    """A cursor of the driver whose documents have the shape of their collection."""

    def __init__(self, cursor: Cursor[Document], readable: Callable[[Document], Document]) -> None:
        self._cursor, self._readable = cursor, readable

    def sort(self, *order: Any) -> Readable:
        return Readable(self._cursor.sort(*order), self._readable)

    def skip(self, count: int) -> Readable:
        return Readable(self._cursor.skip(count), self._readable)

    def limit(self, count: int) -> Readable:
        return Readable(self._cursor.limit(count), self._readable)

    def max_time_ms(self, count: int | None) -> Readable:
        return Readable(self._cursor.max_time_ms(count), self._readable)

    def __iter__(self) -> Iterator[Document]:
        return map(self._readable, self._cursor)

    def __next__(self) -> Document:
        return self._readable(next(self._cursor))


if TYPE_CHECKING:

    class Records(Collection[Document]):
        """The view of type checkers: `_Records` passes everything else on to the driver's collection."""

        def __init__(self, database: Database[Document], name: str, shape: Object) -> None: ...
        def readable(self, row: Document, projection: Any = None) -> Document: ...

else:
    Records = _Records

_logged: OrderedDict[tuple[str, str, str], None] = OrderedDict()
_MOST_REMEMBERED = 10_000  # damaged documents that the log has named


def _is_new(damage: tuple[str, str, str]) -> bool:
    """Returns whether the log has not named this damage yet, and remembers it."""
    if damage in _logged:
        return False
    _logged[damage] = None
    while len(_logged) > _MOST_REMEMBERED:
        _logged.popitem(last=False)
    return True


def connect(uri: str, *, name: str = "jobwright") -> MongoClient[Document]:
    """Returns a client with every timeout set, which the server knows by a name (app.connected). Call it after any fork (PyMongo is not
    fork-safe). Raises ConfigurationError."""
    try:
        return MongoClient(
            uri,
            tz_aware=True,
            tzinfo=UTC,
            serverSelectionTimeoutMS=SERVER_WAIT_MS,
            connectTimeoutMS=SERVER_WAIT_MS,
            socketTimeoutMS=SOCKET_TIMEOUT_MS,
            retryWrites=True,
            appname=name,
        )
    except ValueError as error:  # a wrong port or option in the address
        raise ConfigurationError(str(error)) from error


def answering_within(seconds: float) -> AbstractContextManager[object]:
    """All that is asked of the database within the context fails if it takes longer than so many seconds together."""
    return pymongo.timeout(seconds)


def open_database(client: MongoClient[Document], name: str) -> Database[Document]:
    """Returns the registry's database, with majority writes, majority reads and aware UTC datetimes."""
    return client.get_database(
        name,
        codec_options=CODEC,
        write_concern=WriteConcern("majority", wtimeout=15_000),
        read_concern=ReadConcern("majority"),
    )


def by_id(ids: Sequence[str], values: Sequence[Any]) -> Document:
    """Returns an aggregation expression that gives each document the value at the position of its id in `ids`."""
    return {"$arrayElemAt": [{"$literal": list(values)}, {"$indexOfArray": [{"$literal": list(ids)}, "$_id"]}]}


def literal(text: str) -> str:
    """Returns a pattern that matches `text` literally. NUL is escaped, because the server accepts none in a pattern."""
    return re.escape(text).replace("\0", r"\x00")


def portions(items: Iterable[T], size_of: Callable[[T], int], *, most_bytes: int, most: int | None = None) -> Iterator[list[T]]:
    """Yields the items in order, in portions of at most `most_bytes` bytes and `most` items. An item that is larger is alone."""
    portion: list[T] = []
    size = 0
    for item in items:
        own = size_of(item)
        if portion and (len(portion) == most or size + own > most_bytes):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += own
    if portion:
        yield portion


def read_first(rows: Iterator[T]) -> Iterator[T]:
    """Reads the first row, and returns an iterator over all rows.

    A query that the server refuses raises its error here, before a streamed answer has started.
    """
    first = list(islice(rows, 1))
    return chain(first, rows)


def as_stored(document: Document, codec: CodecOptions[Document] = CODEC) -> Document:
    """Returns the document as the database would return it: times in milliseconds, types of `codec`."""
    return bson.decode(bson.encode(document), codec)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns errors of a server that does not answer into StoreUnavailable (503). Other errors pass unchanged."""
    try:
        yield
    except (AutoReconnect, ConnectionFailure) as error:
        log.warning("database.away", reason=str(error)[:200])  # the reason names addresses, so it goes to the log and not to the caller
        raise StoreUnavailable("MongoDB does not answer. Nothing was changed. Try again.") from error


# Error codes (src/mongo/base/error_codes.yml) of writes that the server refuses because of its own state and not because of the written
# document: no rights, no room, too busy, too slow, another primary.
PASSING_CODES = frozenset(
    {
        6,
        7,
        8,
        13,
        18,
        24,
        46,
        50,
        64,
        89,
        91,
        100,
        112,
        134,
        189,
        202,
        203,
        216,
        237,
        262,
        8000,
        9001,
        10107,
        11600,
        11602,
        13435,
        13436,
        14031,
    }
)


def is_permanent(error: BaseException) -> bool:
    """Returns whether the same write would fail each time: the document cannot be encoded, is too large, or the server refuses it.

    Returns False if the server is away, or refuses the write because of its own state.
    """
    if is_away(error):
        return False
    if isinstance(error, BulkWriteError):
        codes = {write_error.get("code") for write_error in error.details.get("writeErrors", ())} - {DUPLICATE_KEY}
        return bool(codes) and not codes <= PASSING_CODES
    if isinstance(error, OperationFailure):
        return error.code is not None and error.code not in PASSING_CODES
    return not isinstance(error, PyMongoError) or isinstance(error, InvalidOperation | DocumentTooLarge | InvalidName)


def is_only_duplicates(error: BulkWriteError) -> bool:
    """Returns whether a bulk write failed only where a unique index holds the same already; what else it was given is written."""
    return all(write_error["code"] == DUPLICATE_KEY for write_error in error.details["writeErrors"])


def is_away(error: BaseException) -> bool:
    """Returns whether the error means that the server did not answer, so the same call may work later."""
    if isinstance(error, StoreUnavailable | AutoReconnect | ConnectionFailure):
        return True
    return isinstance(error, PyMongoError) and (error.has_error_label("RetryableWriteError") or error.timeout)

"""The door to MongoDB: one way to connect, one way to say that it is away."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

import bson
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
from app.shapes import DAMAGED, Object, mended, readable_values
from templates_lib.bodies import bytes_words

log = get_logger(__name__)

Document = dict[str, Any]
T = TypeVar("T")

# A request waits so long for a server before it says 503; the health page shows the same figure.
SERVER_WAIT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
QUERY_TIME_MS = 5_000  # that the server may take for a query of a list or a count
OLDEST_MONGODB = (6, 0)
# Matches any date. A query must say it like this to be answered from an index that is partial by the same condition.
ANY_DATE = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}
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
    bytes: lambda data: bytes_words(len(data)),
    Binary: lambda data: bytes_words(len(data)),
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
    document_class=dict,
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
CODEC: CodecOptions[Document] = EXACT.with_options(type_registry=TypeRegistry([_Plain(kind, plain) for kind, plain in _PLAIN.items()]))


class _Records:
    """A collection whose documents have a shape: whoever reads gets no other ones (app.shapes). A damaged document is readable and says
    under DAMAGED what is wrong with it; the log names it once. All else is as the driver has it."""

    def __init__(self, database: Database[Document], name: str, shape: Object) -> None:
        self._collection, self._name, self._shape = database[name], name, shape

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def find(self, filter: Any = None, projection: Any = None, **options: Any) -> Readable:
        """As the driver's."""
        return Readable(self._collection.find(filter, projection, **options), lambda row: self.readable(row, projection))

    def find_one(self, filter: Any = None, projection: Any = None, **options: Any) -> Document | None:
        """As the driver's."""
        row = self._collection.find_one(filter, projection, **options)
        return None if row is None else self.readable(row, projection)

    def find_one_and_update(self, filter: Any, update: Any, projection: Any = None, **options: Any) -> Document | None:
        """As the driver's."""
        row = self._collection.find_one_and_update(filter, update, projection, **options)
        return None if row is None else self.readable(row, projection)

    def distinct(self, key: str, *args: Any, **options: Any) -> list[Any]:
        """As the driver's, but for values that are not of the field's kind."""
        return readable_values(self._collection.distinct(key, *args, **options), self._shape, key)

    def readable(self, row: Document, projection: Any = None) -> Document:
        """A document as `find` gives it with `projection`."""
        made = mended(row, self._shape, projection)
        if made is not row and _say_once((self._name, str(made.get("_id")), made[DAMAGED])):
            log.warning("record.damaged", collection=self._name, id=str(made.get("_id")), reason=made[DAMAGED])
        return made


class Readable:
    """The driver's cursor; its documents have the shape of their collection."""

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
        """As type checkers see it: what it does not do itself, the driver's collection does."""

        def __init__(self, database: Database[Document], name: str, shape: Object) -> None: ...
        def readable(self, row: Document, projection: Any = None) -> Document: ...

else:
    Records = _Records

_said: OrderedDict[tuple[str, str, str], None] = OrderedDict()
_MOST_SAID = 10_000  # damaged documents that are remembered as named in the log


def _say_once(what: tuple[str, str, str]) -> bool:
    if what in _said:
        return False
    _said[what] = None
    while len(_said) > _MOST_SAID:
        _said.popitem(last=False)
    return True


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


def portions(items: Iterable[T], size_of: Callable[[T], int], *, most_bytes: int, most: int | None = None) -> Iterator[list[T]]:
    """The items in their order, in as few portions as have at most `most_bytes` and `most` items; a larger one is alone."""
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

"""A registry in the test's own memory (mongomock): for tests of services and of plain reads and writes, which need no server.

It has one thread: claims are not atomic, and nothing expires. Whatever is about claims, leases, indexes, time limits or faults runs on the
real mongod. What else differs is listed in tests/contract/differences.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import mongomock
from bson.codec_options import CodecOptions
from pymongo import IndexModel

from app.factory import Store, migrate
from app.mongo import CODEC, Document, Readable, as_stored


class _Cursor(Readable):
    """A cursor of mongomock, which reads all documents at once."""

    def batch_size(self, _count: int) -> _Cursor:
        return self


class _Collection:
    """A collection of mongomock whose documents come out as the registry's codec gives them: mongomock itself knows one codec only."""

    def __init__(self, collection: Any, codec: CodecOptions[Document] = CODEC) -> None:
        self._collection, self._codec = collection, codec

    def with_options(self, codec_options: CodecOptions[Document] | None = None, **_options: Any) -> _Collection:
        """The same collection with another codec. Concerns of reads and writes mean nothing in memory."""
        return _Collection(self._collection, codec_options or self._codec)

    def find(self, *query: Any, **options: Any) -> _Cursor:
        return _Cursor(self._collection.find(*query, **options), self._decoded)

    def find_one(self, *query: Any, **options: Any) -> Document | None:
        return self._decoded(self._collection.find_one(*query, **options))

    def find_one_and_update(self, *query: Any, **options: Any) -> Document | None:
        return self._decoded(self._collection.find_one_and_update(*query, **options))

    def aggregate(self, *stages: Any, **options: Any) -> Iterator[Document]:
        return map(self._decoded, self._collection.aggregate(*stages, **options))

    def distinct(self, *query: Any, **options: Any) -> list[Any]:
        return [self._decoded({"value": value})["value"] for value in self._collection.distinct(*query, **options)]

    def create_indexes(self, indexes: Iterable[IndexModel]) -> None:
        """Unique indexes, also partial ones. None that expires: mongomock would remove documents by the machine's clock at once."""
        for index in indexes:
            options = {name: value for name, value in index.document.items() if name in {"name", "unique", "partialFilterExpression"}}
            self._collection.create_index(list(index.document["key"].items()), **options)

    def _decoded(self, document: Any) -> Any:
        return None if document is None else as_stored(document, self._codec)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


class MemoryDatabase:
    """A database of mongomock, as stores take one."""

    def __init__(self) -> None:
        self.client: Any = mongomock.MongoClient(tz_aware=True)
        self._database = self.client["registry"]

    def with_options(self, **_options: Any) -> MemoryDatabase:
        return self

    def __getitem__(self, name: str) -> Any:
        return _Collection(self._database[name])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def memory_store() -> Store:
    """A migrated registry in memory. Its collections have the unique indexes of the real one."""
    database: Any = MemoryDatabase()
    store = Store(database.client, database, None)
    migrate(store)
    return store

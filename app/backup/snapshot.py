"""Reads a database as it was at one instant, while others write to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from app.backup.content import filter_of, is_backed_up
from app.errors import BackupRefused
from app.mongo import EXACT, Document

BATCH = 1000
SNAPSHOT_TOO_OLD, SNAPSHOT_UNAVAILABLE = 239, 246  # codes of the server (src/mongo/base/error_codes.yml)


class CatalogueChanged(Exception):
    """A collection or an index was made, renamed or removed since the snapshot began. A new snapshot can be read."""


class Snapshot:
    """A view of a database at one instant."""

    def __init__(self, database: Database[Document], session: ClientSession) -> None:
        self._database = database.with_options(codec_options=EXACT, read_concern=ReadConcern())
        self._session = session
        # The instant: not later than the first read, which chooses the snapshot.
        self.at: datetime = database.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
        with _snapshot_errors():
            self._database["migrations"].find_one({}, session=session)
        self.names = sorted(filter(is_backed_up, self._database.list_collection_names()))

    def migrations(self) -> list[str]:
        """Returns the migrations that were applied, in order."""
        with _snapshot_errors():
            rows = self._database["migrations"].find({"applied_at": {"$exists": True}}, {"_id": 1}, session=self._session)
            return sorted(str(row["_id"]) for row in rows)

    def batches(self, name: str, *, history: bool) -> Iterator[bytes]:
        """Yields the documents of a collection, many at a time, as BSON."""
        with _snapshot_errors():
            found = self._database[name].find_raw_batches(filter_of(name, history=history), batch_size=BATCH, session=self._session)
            yield from cast("Iterator[bytes]", found)

    def indexes(self, name: str) -> list[Mapping[str, Any]]:
        """Returns the indexes of a collection, without that of the ids."""
        return [dict(index) for index in self._database[name].list_indexes() if index["name"] != "_id_"]


@contextmanager
def take_snapshot(client: MongoClient[Document], database: Database[Document]) -> Iterator[Snapshot]:
    """Yields the database as it is now.

    Reading it raises CatalogueChanged, or BackupRefused when the server no longer keeps the snapshot.
    """
    with client.start_session(snapshot=True) as session:
        yield Snapshot(database, session)


@contextmanager
def _snapshot_errors() -> Iterator[None]:
    try:
        yield
    except OperationFailure as error:
        if error.code == SNAPSHOT_UNAVAILABLE:
            raise CatalogueChanged from error
        if error.code == SNAPSHOT_TOO_OLD:
            raise BackupRefused(
                "The backup took longer than the server keeps old states (300 s by default). Use --without-history, or let the server keep "
                "them for an hour: db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})."
            ) from error
        raise

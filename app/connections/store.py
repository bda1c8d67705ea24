"""The `connections` collection."""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document, Records
from app.sealing import SealedFields
from app.shapes import UNKNOWN, Instant, Number, Object, Text, one_of, texts
from templates_lib.connections import KINDS

CONNECTION = Object(
    members={
        "name": Text(default=UNKNOWN),
        "kind": one_of(list(KINDS), UNKNOWN),
        "settings": Object(),
        "version": Number(),
        **texts("created_by", "updated_by"),
        "created_at": Instant(),
        "updated_at": Instant(),
    }
)
SEALED_FIELDS = (SealedFields("connections", ("settings",)),)


class ConnectionStore:
    """Reads and writes connections. Their secrets are sealed on the way in and on the way out."""

    def __init__(self, database: Database[Document]) -> None:
        self._connections = Records(database, "connections", CONNECTION)

    def add(self, connection: Document) -> None:
        """Adds a connection. Raises DuplicateName."""
        try:
            self._connections.insert_one(connection)
        except DuplicateKeyError as error:
            raise DuplicateName(connection["name"]) from error

    def get(self, connection_id: str) -> Document | None:
        return self._connections.find_one({"_id": connection_id})

    def by_names(self, names: Iterable[str]) -> list[Document]:
        wanted = sorted(names)
        return list(self._connections.find({"name": {"$in": wanted}})) if wanted else []

    def all(self) -> list[Document]:
        return list(self._connections.find().sort("name", 1))

    def replace_version(self, connection: Document, *, version: int) -> bool:
        """Replaces a connection that still has `version`. Returns False if somebody else was quicker. Raises DuplicateName."""
        try:
            return self._connections.replace_one({"_id": connection["_id"], "version": version}, connection).matched_count == 1
        except DuplicateKeyError as error:
            raise DuplicateName(connection["name"]) from error

    def remove(self, connection_id: str) -> bool:
        return self._connections.delete_one({"_id": connection_id}).deleted_count == 1

"""Encrypted values in the database: where they are, and how they are encrypted again after the key was changed.

A value is *sealed* when it is encrypted with a key of the installation. Each room declares, beside the shape of its collections, which of
their fields may hold sealed values (`SealedFields`). `jobwright secrets reseal` walks over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pymongo.database import Database

from app.errors import StartError
from app.mongo import EXACT, Document

MOST_TRIES = 5  # for one document that others keep changing


class Seal(Protocol):
    """One way to seal values."""

    def is_outdated(self, value: Any) -> bool:
        """Returns whether `value` is sealed with an earlier key, or holds a value that is, at any depth."""

    def renew(self, value: Any) -> Any:
        """Returns `value` with everything that is outdated sealed with the current key. Raises StartError if no known key opens it."""


@dataclass(frozen=True, slots=True)
class SealedFields:
    """The fields of one collection that may hold sealed values. A field in a nested object is written with dots: `totp.sealed`."""

    collection: str
    fields: tuple[str, ...]

    def count_outdated(self, database: Database[Document], seal: Seal) -> int:
        """Returns how many fields hold a value that is sealed with an earlier key."""
        return sum(seal.is_outdated(_value_of(row, field)) for field in self.fields for row in self._rows(database, field))

    def renew(self, database: Database[Document], seal: Seal) -> int:
        """Seals every outdated value with the current key, and returns the number of changed fields.

        May run beside everything else: a field is replaced only while it still has the value that was read. Raises StartError if no known
        key opens a value; the changes up to then stay.
        """
        return sum(self._renew_row(database, field, row, seal) for field in self.fields for row in self._rows(database, field))

    def _rows(self, database: Database[Document], field: str) -> Iterator[Document]:
        # A value is compared with itself, and an id is looked for as it is stored, so the driver's own types are kept.
        yield from database.with_options(codec_options=EXACT)[self.collection].find({field: {"$exists": True}}, {field: 1})

    def _renew_row(self, database: Database[Document], field: str, row: Document, seal: Seal) -> bool:
        collection = database.with_options(codec_options=EXACT)[self.collection]
        for _ in range(MOST_TRIES):
            value = _value_of(row, field)
            if not seal.is_outdated(value):
                return False
            as_read = {"_id": row["_id"], field: {"$eq": value}}
            if collection.update_one(as_read, {"$set": {field: seal.renew(value)}}).matched_count:
                return True
            changed_row = collection.find_one({"_id": row["_id"]}, {field: 1})
            if changed_row is None:
                return False
            row = changed_row
        raise StartError(f"{self.collection} {row['_id']} is changing too often to be encrypted again. Run the command once more.")


def _value_of(row: Document, field: str) -> Any:
    value: Any = row
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value

"""The `imports` collection: which job was made of which entry of which source."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import UNKNOWN, Instant, Object, Text, one_of


class ImportState(StrEnum):
    """How far the import of an entry is."""

    MAKING = "making"  # its job is being made, waits for an approval, or making it was interrupted
    MADE = "made"


IMPORT = Object(
    members={
        "source": Text(),
        "entry": Text(),
        "plan": Text(),
        "state": one_of([state.value for state in ImportState], UNKNOWN),
        "job_id": Text(),
        "name": Text(),
        "digest": Text(),
        "by": Text(),
        "by_id": Text(),
        "at": Instant(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """An imported entry. `plan` is the hash of the plan, `job_id` the job that it has become or will become, and `digest`
    tells its definition, as it was made, from others. `by_id` is the account that imports it."""

    id: str
    source: str
    entry: str
    plan: str
    state: str
    job_id: str
    name: str
    digest: str
    by: str
    by_id: str
    at: datetime


def import_id(source: str, entry: str) -> str:
    """Returns the id of the record of an entry."""
    return hashlib.sha256(f"{source}\0{entry}".encode()).hexdigest()[:32]


class ImportStore:
    """One document for each entry."""

    def __init__(self, database: Database[Document]) -> None:
        self._imports = Records(database, "imports", IMPORT)

    def get(self, record_id: str) -> ImportRecord | None:
        """Returns a record; None if there is none."""
        row = self._imports.find_one({"_id": record_id})
        return None if row is None else _record(row)

    def of_source(self, source: str | None, limit: int) -> list[ImportRecord]:
        """Returns the records of a source, or of all sources for None, sorted by source and entry."""
        return [
            _record(row)
            for row in self._imports.find({} if source is None else {"source": source}).sort([("source", 1), ("entry", 1)]).limit(limit)
        ]

    def begin(self, record: ImportRecord) -> bool:
        """Writes a new record. Returns False if there is one already."""
        row = {name: getattr(record, name) for name in IMPORT.members}
        with suppress(DuplicateKeyError):
            self._imports.insert_one({"_id": record.id, **row})
            return True
        return False

    def take_over(self, record: ImportRecord, *, by: str, by_id: str, job_id: str, at: datetime) -> bool:
        """Lets somebody else complete an import that was interrupted. Returns False if the record has changed meanwhile."""
        unchanged = {"_id": record.id, "state": ImportState.MAKING.value, "by_id": record.by_id, "at": record.at}
        change = {"by": by, "by_id": by_id, "job_id": job_id, "at": at}
        return self._imports.update_one(unchanged, {"$set": change}).matched_count == 1

    def complete(self, record_id: str, *, job_id: str, name: str, digest: str) -> None:
        """Notes that the job was made."""
        made = {"state": ImportState.MADE.value, "job_id": job_id, "name": name, "digest": digest}
        self._imports.update_one({"_id": record_id}, {"$set": made})

    def remove(self, record_id: str) -> None:
        """Forgets a record."""
        self._imports.delete_one({"_id": record_id})


def _record(row: Document) -> ImportRecord:
    return ImportRecord(id=row["_id"], **{name: row[name] for name in IMPORT.members})

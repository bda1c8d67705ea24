"""The `job_notes` collection."""

from __future__ import annotations

from pymongo.database import Database

from app.jobs.shape import NOTE
from app.mongo import Document, Records


class NoteStore:
    """One document a note {_id, job_id, text, by, by_id, at}."""

    def __init__(self, database: Database[Document]) -> None:
        self._notes = Records(database, "job_notes", NOTE)

    def add(self, row: Document) -> None:
        self._notes.insert_one(row)

    def of(self, job_id: str, limit: int) -> list[Document]:
        """Newest first."""
        return list(self._notes.find({"job_id": job_id}).sort([("at", -1), ("_id", -1)]).limit(limit))

    def count(self, job_id: str) -> int:
        return self._notes.count_documents({"job_id": job_id})

    def get(self, job_id: str, note_id: str) -> Document | None:
        return self._notes.find_one({"_id": note_id, "job_id": job_id})

    def remove(self, note_id: str) -> None:
        self._notes.delete_one({"_id": note_id})

"""The `template_moves` collection: which jobs were moved to another version of their template, and from where."""

from __future__ import annotations

from pymongo.database import Database

from app.jobs.shape import MOVE
from app.mongo import Document, Records


class MoveStore:
    """One document a move {_id, template_type, to, at, by, jobs[] {id, name, version, template_version}, rolled_back {at, by}}: it is
    written before the first job is moved."""

    def __init__(self, database: Database[Document]) -> None:
        self._moves = Records(database, "template_moves", MOVE)

    def add(self, row: Document) -> None:
        self._moves.insert_one(row)

    def get(self, move_id: str) -> Document | None:
        return self._moves.find_one({"_id": move_id})

    def latest(self, kind: str, limit: int) -> list[Document]:
        """Of a template, newest first."""
        return list(self._moves.find({"template_type": kind}).sort([("at", -1), ("_id", -1)]).limit(limit))

    def mark_rolled_back(self, move_id: str, by: Document) -> None:
        self._moves.update_one({"_id": move_id}, {"$set": {"rolled_back": by}})

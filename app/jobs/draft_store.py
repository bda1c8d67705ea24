"""The `job_drafts` collection."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database

from app.jobs.shape import DRAFT
from app.mongo import Document, Records


class DraftStore:
    """One document a person and template {_id: {user, kind}, pairs: [[name, value]], at}; a TTL index removes old ones."""

    def __init__(self, database: Database[Document]) -> None:
        self._drafts = Records(database, "job_drafts", DRAFT)

    def put(self, user_id: str, kind: str, pairs: list[list[str]], at: datetime) -> None:
        key = {"user": user_id, "kind": kind}
        self._drafts.replace_one({"_id": key}, {"_id": key, "pairs": pairs, "at": at}, upsert=True)

    def get(self, user_id: str, kind: str) -> Document | None:
        return self._drafts.find_one({"_id": {"user": user_id, "kind": kind}})

    def remove(self, user_id: str, kind: str) -> None:
        self._drafts.delete_one({"_id": {"user": user_id, "kind": kind}})

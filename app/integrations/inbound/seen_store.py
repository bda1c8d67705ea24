"""The `inbound_seen` collection: deliveries that were accepted, so that none starts a second run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import Flag, Instant, Object, Text, texts

SEEN = Object(
    members={
        "stamp": Text(),
        "at": Instant(),
        "expires_at": Instant(),
        "done": Flag(),
        **texts("execution_id", "approval_id", nullable=True),
    }
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A delivery that came before. `stamp` tells a copy of its request from one that was signed anew. Until it is `done`, somebody may be
    at work on it since `at`."""

    stamp: str
    at: datetime
    done: bool
    execution_id: str | None
    approval_id: str | None


class SeenStore:
    """One document a delivery, by a digest of its address and identity. Documents go by themselves after `expires_at`."""

    def __init__(self, database: Database[Document]) -> None:
        self._seen = Records(database, "inbound_seen", SEEN)

    def begin(self, key: str, *, stamp: str, at: datetime, expires_at: datetime) -> bool:
        """Notes that somebody is at work on a delivery. Returns False if it was noted before."""
        row = {"_id": key, "stamp": stamp, "at": at, "expires_at": expires_at, "done": False, "execution_id": None, "approval_id": None}
        try:
            self._seen.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    def get(self, key: str) -> Seen | None:
        row = self._seen.find_one({"_id": key})
        if row is None:
            return None
        return Seen(row["stamp"], row["at"], row["done"], row["execution_id"], row["approval_id"])

    def take_over(self, key: str, *, since: datetime, at: datetime) -> bool:
        """Continues with a delivery whose process was killed. Returns False if somebody else does."""
        return self._seen.update_one({"_id": key, "done": False, "at": since}, {"$set": {"at": at}}).modified_count == 1

    def finish(self, key: str, *, execution_id: str | None, approval_id: str | None) -> None:
        """Notes what the delivery has led to."""
        self._seen.update_one({"_id": key}, {"$set": {"done": True, "execution_id": execution_id, "approval_id": approval_id}})

    def forget(self, key: str) -> None:
        """The delivery was refused: it may come again."""
        self._seen.delete_one({"_id": key, "done": False})

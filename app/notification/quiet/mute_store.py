"""The `mutes` collection."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database

from app.mongo import Document, Records
from app.notification.quiet.muting import MATCHED, Mute, mute_from
from app.shapes import Instant, Listed, Number, Object, Text, texts

MUTE = Object(
    members={
        "matcher": Object(members={name: Listed(of=Text()) for name in MATCHED}),
        **texts("reason", "author"),
        "created_at": Instant(),
        "ends_at": Instant(),
        "version": Number(),
    }
)
FORGOTTEN_AT_ONCE = 1_000


class MuteStore:
    """One document a mute. A mute that has ended stays for some time, so that people see it."""

    def __init__(self, database: Database[Document]) -> None:
        self._mutes = Records(database, "mutes", MUTE)

    def add(self, mute: Mute) -> None:
        self._mutes.insert_one(mute.as_document())

    def get(self, mute_id: str) -> Mute | None:
        row = self._mutes.find_one({"_id": mute_id})
        return None if row is None else mute_from(row)

    def active(self, now: datetime) -> list[Mute]:
        """Returns the mutes that have not ended, the one that ends first before the others."""
        return [mute_from(row) for row in self._mutes.find({"ends_at": {"$gt": now}}).sort([("ends_at", 1), ("_id", 1)])]

    def ended(self, now: datetime, *, limit: int) -> list[Mute]:
        """Returns the mutes that have ended, the last one first."""
        rows = self._mutes.find({"ends_at": {"$lte": now}}).sort([("ends_at", -1), ("_id", 1)]).limit(limit)
        return [mute_from(row) for row in rows]

    def replace_version(self, mute: Mute, *, version: int) -> bool:
        """Replaces a mute that still has `version`. Returns False if somebody else was quicker."""
        return self._mutes.replace_one({"_id": mute.id, "version": version}, mute.as_document()).matched_count == 1

    def forget(self, before: datetime) -> int:
        """Removes some mutes that ended before then. Returns their number."""
        ids = [row["_id"] for row in self._mutes.find({"ends_at": {"$lt": before}}, {"_id": 1}).limit(FORGOTTEN_AT_ONCE)]
        return self._mutes.delete_many({"_id": {"$in": ids}}).deleted_count if ids else 0

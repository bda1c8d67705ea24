"""The `run_limits` collection."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.queue.shape import LIMIT


class RunLimits:
    """Manual runs of each user in a sliding hour, exact however many ask at once: one document a user, one compare-and-set."""

    def __init__(self, database: Database[Document]) -> None:
        self._limits = Records(database, "run_limits", LIMIT)

    def take(self, user_id: str, *, now: datetime, limit: int, window: timedelta) -> float | None:
        """Count one run; None where it fits, else the seconds until one will."""
        recent = {"$filter": {"input": {"$ifNull": ["$at", []]}, "cond": {"$gt": ["$$this", now - window]}}}
        fits = {"_id": user_id, "$expr": {"$lt": [{"$size": recent}, limit]}}
        update = [{"$set": {"at": {"$concatArrays": [recent, [now]]}}}]
        if self._limits.update_one(fits, update).matched_count:
            return None
        with suppress(DuplicateKeyError):  # a first run; of two that race one makes the document
            self._limits.update_one({"_id": user_id}, {"$setOnInsert": {"at": []}}, upsert=True)
        if self._limits.update_one(fits, update).matched_count:
            return None
        times = sorted((self._limits.find_one({"_id": user_id}) or {}).get("at", []))[-limit:]
        # Another process may have counted by a clock that is a little ahead of `now`.
        return min(max(1.0, (times[0] + window - now).total_seconds()), window.total_seconds()) if times else 1.0

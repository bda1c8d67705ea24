"""The `audit_log` collection: written, read, never changed."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from app.mongo import Document


class AuditStore:
    """Append-only: there is no method that updates or deletes."""

    def __init__(self, database: Database[Document]) -> None:
        self._events = database["audit_log"]

    def append(self, event: Document) -> None:
        """Write one event, majority-acknowledged."""
        self._events.insert_one(event)

    def find(self, *, kind: str | None = None, target_id: str | None = None, limit: int = 50) -> list[Document]:
        """The newest events first, of one target or of all."""
        query: dict[str, Any] = {}
        if kind is not None:
            query["target.kind"] = kind
        if target_id is not None:
            query["target.id"] = target_id
        return list(self._events.find(query).sort([("at", -1), ("_id", -1)]).limit(limit))

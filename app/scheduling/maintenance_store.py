"""The `switches` collection: what holds for the whole installation."""

from __future__ import annotations

import secrets
from datetime import datetime

from pymongo.database import Database

from app.mongo import Document, Records
from app.shapes import UNKNOWN, Instant, Object, Text

_ID = "maintenance"
SWITCH = Object(members={"reason": Text(default=UNKNOWN), "by": Text(), "at": Instant()})


class MaintenanceStore:
    """The switch is on while its document is there."""

    def __init__(self, database: Database[Document]) -> None:
        self._switches = Records(database, "switches", SWITCH)

    def get(self) -> Document | None:
        """{reason, by, at, token}, or None."""
        return self._switches.find_one({"_id": _ID})

    def token(self) -> str | None:
        """What each switching on is known by; None while it is off."""
        row = self.get()
        return None if row is None else str(row.get("token", ""))

    def put(self, *, reason: str, by: str, at: datetime) -> Document:
        """On, or on for another reason."""
        row = {"_id": _ID, "reason": reason, "by": by, "at": at, "token": secrets.token_hex(8)}
        self._switches.replace_one({"_id": _ID}, row, upsert=True)
        return row

    def remove(self) -> bool:
        """Off; False where it was off."""
        return self._switches.delete_one({"_id": _ID}).deleted_count == 1

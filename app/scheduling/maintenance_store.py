"""The `switches` collection: settings of the whole installation that are switched at run time."""

from __future__ import annotations

import secrets
from datetime import datetime

from pymongo.database import Database

from app.mongo import Document, Records
from app.shapes import UNKNOWN, Instant, Object, Text

_ID = "maintenance"
SWITCH = Object(members={"reason": Text(default=UNKNOWN), "by": Text(), "at": Instant(), "until": Instant(nullable=True)})


class MaintenanceStore:
    """The switch of maintenance. It is on while its document exists."""

    def __init__(self, database: Database[Document]) -> None:
        self._switches = Records(database, "switches", SWITCH)

    def get(self) -> Document | None:
        """{reason, by, at, until, token} while the switch is on, else None."""
        return self._switches.find_one({"_id": _ID})

    def token(self) -> str | None:
        """The token of the present maintenance; each time it is switched on has another. None while it is off."""
        row = self.get()
        return None if row is None else str(row.get("token", ""))

    def put(self, *, reason: str, by: str, at: datetime, until: datetime | None) -> Document:
        """Switches on, or gives another reason and end. Returns the document."""
        row = {"_id": _ID, "reason": reason, "by": by, "at": at, "until": until, "token": secrets.token_hex(8)}
        self._switches.replace_one({"_id": _ID}, row, upsert=True)
        return row

    def remove(self, *, token: str | None = None) -> bool:
        """Switches off: any maintenance, or only the one with this token. Returns False if that is not on."""
        return self._switches.delete_one({"_id": _ID, **({} if token is None else {"token": token})}).deleted_count == 1

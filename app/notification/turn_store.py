"""The `notification_turns` collection: which node does what only one of them should do at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import Instant, Object, Text

TURN = Object(members={"owner": Text(), "until": Instant()})


class Turns:
    """A node that takes a turn has it until it ends, and may take it again before. A turn saves work and promises nothing: a node that was
    stopped for longer than its turn may go on beside another one."""

    def __init__(self, database: Database[Document]) -> None:
        self._turns = Records(database, "notification_turns", TURN)

    def take(self, name: str, owner: str, *, now: datetime, lasts: timedelta) -> bool:
        """Takes a turn. Returns False while another node has it."""
        free = {"_id": name, "$or": [{"owner": owner}, {"until": {"$not": {"$gt": now}}}]}
        try:
            self._turns.update_one(free, {"$set": {"owner": owner, "until": now + lasts}}, upsert=True)
        except DuplicateKeyError:
            return False
        return True

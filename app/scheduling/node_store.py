"""The `nodes` collection: who runs an engine on this database, and what its clock says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.database import Database

from app.errors import StoreUnavailable
from app.mongo import Document, Records
from app.shapes import Instant, Number, Object, Text

SILENT_AFTER = timedelta(seconds=30)

NODE = Object(members={"host": Text(), "seen_at": Instant(), "clock": Instant(), "tick_age": Number(whole=False)})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node at its last sign of life. `skew_seconds`: how far its clock is ahead of the database's, the way to it included."""

    id: str
    host: str
    seen_at: datetime
    skew_seconds: float
    tick_age_seconds: float

    def lives(self, now: datetime) -> bool:
        """Whether it has given a sign of life lately."""
        return now - self.seen_at < SILENT_AFTER


class NodeStore:
    """Signs of life. A node that ended without a word is forgotten after a day."""

    def __init__(self, database: Database[Document]) -> None:
        self._nodes = Records(database, "nodes", NODE)

    def beat(self, node_id: str, *, host: str, clock: datetime, tick_age: float) -> None:
        """`clock` is the node's own time, `tick_age` seconds since its last good tick; the database puts its own time beside it."""
        self._nodes.update_one(
            {"_id": node_id},
            {"$set": {"host": host, "clock": clock, "tick_age": round(tick_age, 3)}, "$currentDate": {"seen_at": True}},
            upsert=True,
        )

    def ask(self, node_id: str) -> datetime:
        """The node is about to ask whether it may start runs; the database's time of that."""
        row: Document | None = self._nodes.find_one_and_update(
            {"_id": node_id},
            {"$currentDate": {"asked_at": True}, "$unset": {"rests": ""}},
            {"asked_at": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            raise StoreUnavailable("The node could not be written")  # an upsert always returns one
        asked_at: datetime = row["asked_at"]
        return asked_at

    def rest(self, node_id: str, token: str) -> None:
        """The node starts nothing, and nothing that it holds has still to begin; because of the switch with this token."""
        self._nodes.update_one({"_id": node_id}, {"$set": {"rests": token}})

    def may_start(self, token: str, within: timedelta) -> list[str]:
        """The nodes that have asked within this time, by the database's clock, and do not rest because of the switch with this token."""
        lately = {"$gte": ["$asked_at", {"$subtract": ["$$NOW", int(within.total_seconds() * 1000)]}]}
        rows = self._nodes.find({"asked_at": {"$exists": True}, "rests": {"$ne": token}, "$expr": lately}, {"_id": 1})
        return [row["_id"] for row in rows]

    def leave(self, node_id: str) -> None:
        """The node ends."""
        self._nodes.delete_one({"_id": node_id})

    def all(self) -> list[NodeSeen]:
        """All that were seen within a day, by name."""
        return [
            NodeSeen(
                id=row["_id"],
                host=row["host"],
                seen_at=row["seen_at"],
                tick_age_seconds=row["tick_age"],
                skew_seconds=(row["clock"] - row["seen_at"]).total_seconds(),
            )
            for row in self._nodes.find({"seen_at": {"$exists": True}}).sort("_id", 1)
        ]

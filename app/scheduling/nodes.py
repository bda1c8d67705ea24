"""The `nodes` collection: who runs an engine on this database, and what its clock says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo.database import Database

from app.mongo import Document

SILENT_AFTER = timedelta(seconds=30)


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
        self._nodes = database["nodes"]

    def beat(self, node_id: str, *, host: str, clock: datetime, tick_age: float) -> None:
        """`clock` is the node's own time, `tick_age` seconds since its last good tick; the database puts its own time beside it."""
        self._nodes.update_one(
            {"_id": node_id},
            {"$set": {"host": host, "clock": clock, "tick_age": round(tick_age, 3)}, "$currentDate": {"seen_at": True}},
            upsert=True,
        )

    def leave(self, node_id: str) -> None:
        """The node ends."""
        self._nodes.delete_one({"_id": node_id})

    def all(self) -> list[NodeSeen]:
        """All that were seen within a day, by name."""
        return [
            NodeSeen(
                id=row["_id"], host=row["host"], seen_at=row["seen_at"], tick_age_seconds=row["tick_age"],
                skew_seconds=(row["clock"] - row["seen_at"]).total_seconds(),
            )
            for row in self._nodes.find().sort("_id", 1)
        ]  # fmt: skip

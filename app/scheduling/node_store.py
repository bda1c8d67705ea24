"""The `nodes` collection: the nodes that run an engine on this database, and what their clocks say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.database import Database

from app.errors import StoreUnavailable
from app.mongo import Document, Records
from app.scheduling.bus_state import BUS_STATE, BusState
from app.shapes import Instant, Number, Object, Text

SILENT_AFTER = timedelta(seconds=30)  # a node that was not seen for so long is taken for gone

NODE = Object(members={"host": Text(), "seen_at": Instant(), "clock": Instant(), "tick_age": Number(whole=False), "bus": BUS_STATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node at its last heartbeat. `skew_seconds`: how far its clock is ahead of the database's, with the time that the message took.
    `bus` is None where no bus is set."""

    id: str
    host: str
    seen_at: datetime
    skew_seconds: float
    tick_age_seconds: float
    bus: BusState | None = None

    def lives(self, now: datetime) -> bool:
        """Whether the last heartbeat is recent at `now`."""
        return now - self.seen_at < SILENT_AFTER


class NodeStore:
    """Heartbeats of nodes. The document of a node that died is removed after a day."""

    def __init__(self, database: Database[Document]) -> None:
        self._nodes = Records(database, "nodes", NODE)

    def beat(self, node_id: str, *, host: str, clock: datetime, tick_age: float, bus: BusState | None = None) -> None:
        """Writes a heartbeat. `clock` is the node's own time and `tick_age` the seconds since its last good tick. The database adds its own
        time."""
        changed = {"host": host, "clock": clock, "tick_age": round(tick_age, 3), **({"bus": bus.as_document()} if bus else {})}
        self._nodes.update_one(
            {"_id": node_id},
            {"$set": changed, "$currentDate": {"seen_at": True}, **({} if bus else {"$unset": {"bus": ""}})},
            upsert=True,
        )

    def write_permit_request(self, node_id: str) -> datetime:
        """Writes that the node asks whether it may start runs, and that it does not rest. Returns the time of the database."""
        row: Document | None = self._nodes.find_one_and_update(
            {"_id": node_id},
            {"$currentDate": {"asked_at": True}, "$unset": {"rests": ""}},
            {"asked_at": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            raise StoreUnavailable("The node could not be stored")  # an upsert always returns one
        asked_at: datetime = row["asked_at"]
        return asked_at

    def write_rest(self, node_id: str, token: str) -> None:
        """Writes that the node rests: it starts no run, and every execution that it holds has begun. `token` is that of the switch."""
        self._nodes.update_one({"_id": node_id}, {"$set": {"rests": token}})

    def names_that_may_start(self, token: str, within: timedelta) -> list[str]:
        """The nodes that asked for a permit within this time, by the clock of the database, and do not rest for the switch with `token`."""
        lately = {"$gte": ["$asked_at", {"$subtract": ["$$NOW", int(within.total_seconds() * 1000)]}]}
        rows = self._nodes.find({"asked_at": {"$exists": True}, "rests": {"$ne": token}, "$expr": lately}, {"_id": 1})
        return [row["_id"] for row in rows]

    def leave(self, node_id: str) -> None:
        """Removes a node that ends."""
        self._nodes.delete_one({"_id": node_id})

    def all(self) -> list[NodeSeen]:
        """All nodes that were seen within a day, by name."""
        return [
            NodeSeen(
                id=row["_id"],
                host=row["host"],
                seen_at=row["seen_at"],
                tick_age_seconds=row["tick_age"],
                skew_seconds=(row["clock"] - row["seen_at"]).total_seconds(),
                bus=BusState.from_document(row["bus"]) if row.get("bus") else None,
            )
            for row in self._nodes.find({"seen_at": {"$exists": True}}).sort("_id", 1)
        ]

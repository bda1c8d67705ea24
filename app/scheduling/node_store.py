"""The `nodes` collection: the nodes that run an engine on this database, and what their clocks say."""

from __future__ import annotations

from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.database import Database

from app.errors import StoreUnavailable
from app.mongo import Document, Records
from app.scheduling.node_record import NODE, SILENT_AFTER, Drain, Heartbeat, NodeRole, NodeSeen, drain_from

__all__ = ["NODE", "SILENT_AFTER", "Drain", "Heartbeat", "NodeRole", "NodeSeen", "NodeStore"]


class NodeStore:
    """Heartbeats of nodes. The document of a node that died is removed after a day."""

    def __init__(self, database: Database[Document]) -> None:
        self._nodes, self._rows = Records(database, "nodes", NODE), database["nodes"]

    def beat(self, node_id: str, heartbeat: Heartbeat) -> Drain | None:
        """Writes a heartbeat. Returns who asked the node to drain; None if nobody did."""
        row: Document | None = self._nodes.find_one_and_update(
            {"_id": node_id}, heartbeat.as_update(), {"drain": 1}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return drain_from(row or {})

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

    def ask_to_drain(self, node_id: str, *, by: str, at: datetime) -> bool:
        """Writes that a person asks the node to drain, where nobody has. Returns False if there is no such node."""
        there = {"_id": node_id, "seen_at": {"$exists": True}}
        self._nodes.update_one({**there, "drain": None}, {"$set": {"drain": {"by": by, "at": at}}})
        return self._nodes.count_documents(there, limit=1) == 1

    def take_back_drain(self, node_id: str) -> None:
        """Removes the wish that the node drains."""
        self._nodes.update_one({"_id": node_id}, {"$unset": {"drain": ""}})

    def get(self, node_id: str) -> NodeSeen | None:
        """A node that was seen within a day; None if there is none of that name."""
        row = self._nodes.find_one({"_id": node_id, "seen_at": {"$exists": True}})
        return NodeSeen.from_row(row) if row else None

    def names_of_other_versions(self, version: str) -> list[str]:
        """The nodes that were seen or asked for a permit lately, by the clock of the database, and that are not known to be of `version`.
        They are read as they are: to this program, a record of another version may look damaged."""
        seen = {"$max": ["$seen_at", "$asked_at"]}
        lately = {"$gte": [seen, {"$subtract": ["$$NOW", int(SILENT_AFTER.total_seconds() * 1000)]}]}
        rows = self._rows.find({"version": {"$ne": version}, "$expr": lately}, {"version": 1})
        return sorted(f"{row['_id']} ({row.get('version') or 'no version'})" for row in rows)

    def leave(self, node_id: str) -> None:
        """Removes a node that ends."""
        self._nodes.delete_one({"_id": node_id})

    def all(self) -> list[NodeSeen]:
        """All nodes that were seen within a day, by name."""
        return [NodeSeen.from_row(row) for row in self._nodes.find({"seen_at": {"$exists": True}}).sort("_id", 1)]

"""Which executions are announced to workers through a message broker, in the `job_executions` collection.

The mark is a memory of what was announced and no claim: it changes nothing of who may run an execution.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from app.mongo import Document, Records, by_id
from app.queue.model import Status
from app.queue.needs import suits
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION
from app.shapes import LONG_AGO

HOLD_MS, LONGEST_HOLD_MS = 2_000, 60_000  # an execution that still waits so long after it was announced is announced again


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Which executions a worker takes: of the `templates` (all but them with `others`), with needs that its labels meet."""

    templates: frozenset[str]
    others: bool
    labels: tuple[str, ...]

    def condition(self) -> Document:
        """Returns the filter for its executions."""
        kinds = {"template_type": {"$nin" if self.others else "$in": sorted(self.templates)}}
        return {**(kinds if self.templates or not self.others else {}), **suits(self.labels)}


@dataclass(frozen=True, slots=True)
class Waiting:
    """An execution that may be announced."""

    id: str
    template_type: str
    priority: int
    needs: tuple[str, ...]


class ReleaseStore:
    """Reads what waits for workers, and notes what was announced. Times are compared by the clock of the database, as its claims are."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    def running_by_owner(self) -> dict[str, int]:
        """Returns how many executions each node holds."""
        held = {"slots": {"$exists": True}, "lease.owner": {"$exists": True}, "status": Status.RUNNING.value}
        counts: dict[str, int] = {}
        for row in self._executions.find(held, {"lease": 1}):
            owner = row["lease"]["owner"]
            counts[owner] = counts.get(owner, 0) + 1
        return counts

    def announced(self, taker: Taker, now: datetime) -> int:
        """Returns how many executions of a taker are announced and not claimed."""
        where = {"released.until": {"$gt": now}, "queue_rank": {"$exists": True}, **taker.condition()}
        return self._executions.count_documents(where, hint="released")

    def waiting(self, taker: Taker, now: datetime, limit: int) -> list[Waiting]:
        """Returns the executions of a taker that wait, whose time has come and that are not announced, those of the lowest rank first."""
        where = {
            "queue_rank": {"$gte": LONG_AGO},
            "available_at": {"$lte": now},
            "released.until": {"$not": {"$gt": now}},
            "cancel": {"$exists": False},
            **taker.condition(),
        }
        fields = {"template_type": 1, "priority": 1, "needs": 1}
        rows = self._executions.find(where, fields, hint="waiting").sort("queue_rank", 1).limit(limit)
        return [Waiting(row["_id"], row["template_type"], row["priority"], tuple(row.get("needs") or ())) for row in rows]

    def any_waiting(self, now: datetime) -> bool:
        """Returns whether anything waits whose time has come."""
        where = {"queue_rank": {"$gte": LONG_AGO}, "available_at": {"$lte": now}}
        return self._executions.find_one(where, {"_id": 1}, hint="waiting") is not None

    def mark(self, queues: Mapping[str, str], turn: str, now: datetime) -> list[str]:
        """Notes that executions (id → queue) are announced by `turn`, each unless it is claimed or another turn was quicker. Returns the
        ids that were noted. The hold doubles each time: 2 s, 4 s … 60 s."""
        ids = list(queues)
        times = {"$ifNull": ["$released.times", 0]}
        hold = {"$min": [LONGEST_HOLD_MS, {"$multiply": [HOLD_MS, {"$pow": [2, {"$min": [times, 10]}]}]}]}
        mark = {
            "at": now,
            "until": {"$add": [now, hold]},
            "times": {"$toInt": {"$add": [times, 1]}},
            "turn": {"$literal": turn},
            "queue": by_id(ids, list(queues.values())),
        }
        free = {"_id": {"$in": ids}, "queue_rank": {"$exists": True}, "released.until": {"$not": {"$gt": now}}}
        marked = self._executions.update_many(free, [{"$set": {"released": mark}}]).modified_count
        if marked == len(ids):
            return ids
        return [row["_id"] for row in self._executions.find({"_id": {"$in": ids}, "released.turn": turn}, {"_id": 1})]

    def unmark(self, ids: Collection[str], turn: str) -> None:
        """These could not be announced after all."""
        self._executions.update_many({"_id": {"$in": list(ids)}, "released.turn": turn}, {"$unset": {"released": ""}})

    def unmark_all(self) -> int:
        """Nothing is announced any more: the broker was away and may have lost it. Returns how many executions that were."""
        return self._executions.update_many(
            {"released.until": {"$gt": LONG_AGO}}, {"$unset": {"released": ""}}, hint="released"
        ).modified_count

    def needs_of_waiting(self) -> list[tuple[str, ...]]:
        """Returns the sets of labels that executions which wait need."""
        keys: Sequence[str] = self._executions.distinct("needs_key", {"queue_rank": {"$gte": LONG_AGO}, "needs_key": {"$gt": ""}})
        return [tuple(key.split(",")) for key in keys]

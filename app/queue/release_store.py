"""Which executions are announced to workers through a message broker, in the `job_executions` collection.

The mark is a memory of what was announced and no claim: it changes nothing of who may run an execution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from pymongo.database import Database

from app.mongo import Document, Records, by_id
from app.queue.model import Status
from app.queue.needs import suitable_keys, suits
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION
from app.queue.waiting_values import WaitingValues
from app.shapes import LONG_AGO

HOLD_MS, LONGEST_HOLD_MS = 2_000, 60_000  # an execution that still waits so long after it was announced is announced again
LONGEST_HOLD = timedelta(milliseconds=LONGEST_HOLD_MS)
SLACK = timedelta(minutes=3)  # between the clocks of nodes
BY_TEMPLATE = "waiting_by_template"  # the index of executions that wait, by template and by the labels that they need
MOST_SPANS = 200  # of an index in one query: MongoDB sorts what it finds in more of them, and reads all of that first


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Which executions a worker takes: of the `templates` (all but them with `others`), with needs that its labels meet. `name` is for the
    workers that take the same."""

    name: str
    templates: frozenset[str]
    others: bool
    labels: tuple[str, ...]

    @property
    def takes_all_templates(self) -> bool:
        return self.others and not self.templates

    def of(self, templates: Collection[str]) -> list[str]:
        """Returns those of some templates that it takes."""
        return sorted(template for template in templates if (template in self.templates) is not self.others)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An execution that may be announced."""

    id: str
    template_type: str
    priority: int
    needs: tuple[str, ...]


class ReleaseStore:
    """Reads what waits for workers, and notes what was announced."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)
        self._needs = WaitingValues(self._executions, "needs_key")
        self._templates = WaitingValues(self._executions, "template_type")

    def running_by_owner(self) -> dict[str, int]:
        """Returns how many executions each node holds."""
        held = {"slots": {"$exists": True}, "lease.owner": {"$exists": True}, "status": Status.RUNNING.value}
        counts: dict[str, int] = {}
        for row in self._executions.find(held, {"lease": 1}):
            owner = row["lease"]["owner"]
            counts[owner] = counts.get(owner, 0) + 1
        return counts

    def announced(self, taker: Taker, now: datetime) -> int:
        """Returns how many executions are announced for a taker and not claimed."""
        where = {"released.until": _held(now), "queue_rank": {"$exists": True}, "released.taker": taker.name}
        return self._executions.count_documents(where, hint="released")

    def waiting(self, taker: Taker, now: datetime, limit: int) -> list[Waiting]:
        """Returns the executions of a taker that wait, whose time has come and that are not announced, those of the lowest rank first.

        Those that only others take are not read: the index leads past them.
        """
        where: Document = {
            "queue_rank": {"$gte": LONG_AGO},
            "available_at": {"$lte": now},
            "released.until": {"$not": _held(now)},
            "cancel": {"$exists": False},
            **suits(taker.labels),
        }
        needs = self._needs.read(now)
        if not needs and taker.takes_all_templates:
            return [_waiting(row) for row in self._rows(where, limit, "waiting")]
        templates, keys = taker.of(self._templates.read(now)), suitable_keys(needs, taker.labels)
        found = [self._rows({**where, **span}, limit, BY_TEMPLATE) for span in _spans(templates, keys)]
        return [_waiting(row) for row in islice(merge(*found, key=lambda row: row["queue_rank"]), limit)]

    def _rows(self, where: Document, limit: int, index: str) -> Iterator[Document]:
        fields = {"template_type": 1, "priority": 1, "needs": 1, "queue_rank": 1}
        return iter(self._executions.find(where, fields, hint=index).sort("queue_rank", 1).limit(limit))

    def any_waiting(self, now: datetime) -> bool:
        """Returns whether anything waits whose time has come."""
        where = {"queue_rank": {"$gte": LONG_AGO}, "available_at": {"$lte": now}}
        return self._executions.find_one(where, {"_id": 1}, hint="waiting") is not None

    def mark(self, queues: Mapping[str, str], turn: str, taker: Taker, now: datetime) -> list[str]:
        """Notes that executions (id → queue) are announced by `turn` for a taker, each unless it is claimed or another turn was quicker.
        Returns the ids that were noted. The hold doubles each time: 2 s, 4 s … 60 s."""
        ids = list(queues)
        times = {"$ifNull": ["$released.times", 0]}
        hold = {"$min": [LONGEST_HOLD_MS, {"$multiply": [HOLD_MS, {"$pow": [2, {"$min": [times, 10]}]}]}]}
        mark = {
            "at": now,
            "until": {"$add": [now, hold]},
            "times": {"$toInt": {"$add": [times, 1]}},
            "turn": {"$literal": turn},
            "taker": {"$literal": taker.name},
            "queue": by_id(ids, list(queues.values())),
        }
        free = {"_id": {"$in": ids}, "queue_rank": {"$exists": True}, "released.until": {"$not": _held(now)}}
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


def _held(now: datetime) -> Document:
    """Returns the condition for a mark that holds. One that would hold for much longer than any does was made by a node whose clock was
    ahead, and holds nothing."""
    return {"$gt": now, "$lte": now + LONGEST_HOLD + SLACK}


def _spans(templates: Sequence[str], keys: Sequence[str | None]) -> Iterator[Document]:
    """Yields conditions that together find the executions of these templates and needs, each with few enough spans of the index."""
    for first in range(0, len(templates), MOST_SPANS):
        some = templates[first : first + MOST_SPANS]
        step = MOST_SPANS // len(some)
        for at in range(0, len(keys), step):
            yield {"template_type": {"$in": some}, "needs_key": {"$in": keys[at : at + step]}}


def _waiting(row: Document) -> Waiting:
    return Waiting(row["_id"], row["template_type"], row["priority"], tuple(row.get("needs") or ()))

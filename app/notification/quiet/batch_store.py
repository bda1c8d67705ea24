"""The `announcement_batches` collection: which entries are in which message. The rules for it stand at `Batches`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.notification.message import MessageKind
from app.notification.quiet.plan import LastMessage
from app.shapes import DAMAGED, Flag, Instant, Listed, Number, Object, Text, one_of, texts

FORGOTTEN_AT_ONCE = 1_000


class BatchState(StrEnum):
    """How far a batch is."""

    BINDING = "binding"  # its entries are given to it
    READY = "ready"  # it is known which entries it has; its message is being written
    DONE = "done"  # its message is written


BATCH = Object(
    members={
        **texts("group", "target_key"),
        "kind": one_of([item.value for item in MessageKind], MessageKind.NOTICE.value),
        # With an unreadable state, the message is written again: it is the same one.
        "state": one_of([item.value for item in BatchState], BatchState.READY.value),
        "open": Flag(optional=True),
        "at": Instant(),
        "ids": Listed(of=Text()),
        "count": Number(),
        "root": Text(nullable=True),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A message and the ids of the entries in it. While its state is `binding`, `ids` are those that it is to have."""

    id: str
    group: str
    target_key: str
    kind: MessageKind
    at: datetime
    ids: tuple[str, ...]
    root: str | None = None
    state: BatchState = BatchState.BINDING
    damaged: str = ""


class BatchStore:
    """One document for each message. `open` exists only while something is to be done."""

    def __init__(self, database: Database[Document]) -> None:
        self._batches = Records(database, "announcement_batches", BATCH)

    def begin(self, batch: Batch) -> bool:
        """Writes a new batch. Returns False if another node has written it already."""
        row = {
            "_id": batch.id,
            "group": batch.group,
            "target_key": batch.target_key,
            "kind": batch.kind.value,
            "state": BatchState.BINDING.value,
            "open": True,
            "at": batch.at,
            "ids": list(batch.ids),
            "count": len(batch.ids),
            "root": batch.root,
        }
        try:
            self._batches.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    def count(self, ids: Collection[str]) -> int:
        """Returns how many of these batches there are."""
        return self._batches.count_documents({"_id": {"$in": list(ids)}})

    def set_ready(self, batch_id: str, ids: Sequence[str]) -> bool:
        """Notes which entries a batch has. Returns False if that is known already."""
        change = {"$set": {"state": BatchState.READY.value, "ids": list(ids), "count": len(ids)}}
        return self._batches.update_one({"_id": batch_id, "state": BatchState.BINDING.value}, change).matched_count == 1

    def set_done(self, batch_id: str) -> None:
        """Notes that nothing is left to be done for a batch."""
        self._batches.update_one({"_id": batch_id}, {"$set": {"state": BatchState.DONE.value}, "$unset": {"open": ""}})

    def get(self, batch_id: str) -> Batch | None:
        row = self._batches.find_one({"_id": batch_id})
        return None if row is None else _batch_from(row)

    def open(self) -> list[str]:
        """Returns the ids of the batches for which something is to be done, oldest first."""
        return [row["_id"] for row in self._batches.find({"open": True}, {"_id": 1}).sort("at", 1)]

    def last_of(self, groups: Collection[str], *, since: datetime) -> dict[str, LastMessage]:
        """Returns the last message of each group that had one since then."""
        rows = self._batches.find({"group": {"$in": list(groups)}, "at": {"$gte": since}}, {"ids": 0}).sort("at", 1)
        return {row["group"]: LastMessage(batch=row["_id"], at=row["at"], count=row["count"]) for row in rows if row["count"]}

    def lately(self, targets: Collection[str], *, since: datetime) -> dict[str, int]:
        """Returns how many messages each target got after then."""
        match = {"target_key": {"$in": list(targets)}, "at": {"$gt": since}, "count": {"$gt": 0}}
        rows = self._batches.aggregate([{"$match": match}, {"$group": {"_id": "$target_key", "count": {"$sum": 1}}}])
        return {row["_id"]: row["count"] for row in rows}

    def forget(self, before: datetime) -> int:
        """Removes some batches that were done before then. Returns their number."""
        old = {"at": {"$lt": before}, "open": {"$exists": False}}
        ids = [row["_id"] for row in self._batches.find(old, {"_id": 1}).limit(FORGOTTEN_AT_ONCE)]
        return self._batches.delete_many({"_id": {"$in": ids}}).deleted_count if ids else 0


def _batch_from(row: Mapping[str, Any]) -> Batch:
    same = {name: row[name] for name in ("group", "target_key", "at", "root")}
    kind, state = MessageKind(row["kind"]), BatchState(row["state"])
    return Batch(id=row["_id"], kind=kind, state=state, ids=tuple(row["ids"]), damaged=row.get(DAMAGED, ""), **same)

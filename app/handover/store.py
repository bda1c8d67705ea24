"""The `hand_overs` collection: which jobs of the old scheduler were migrated, and who runs each."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.handover.model import HandOver, Stage
from app.mongo import Document, Records
from app.shapes import UNKNOWN, Instant, Number, Object, one_of, texts

HAND_OVER = Object(
    members={
        **texts("job_id", "connection", "by"),
        "stage": one_of([stage.value for stage in Stage], UNKNOWN),
        "epoch": Number(),
        "since": Instant(),
        "at": Instant(),
    }
)


class HandOverStore:
    """One document for each job of the old scheduler."""

    def __init__(self, database: Database[Document]) -> None:
        self._hand_overs = Records(database, "hand_overs", HAND_OVER)

    def get(self, name: str) -> HandOver | None:
        """Returns the migration of a job; None if there is none."""
        row = self._hand_overs.find_one({"_id": name})
        return None if row is None else _hand_over(row)

    def all(self) -> list[HandOver]:
        """Returns all migrations, by name."""
        return [_hand_over(row) for row in self._hand_overs.find().sort("_id", 1)]

    def unfinished(self) -> list[HandOver]:
        """Returns those that a node has to complete."""
        return [_hand_over(row) for row in self._hand_overs.find({"stage": {"$in": [Stage.MOVING.value, Stage.RETURNING.value]}})]

    def begin(self, hand_over: HandOver) -> None:
        """Writes a new migration. One that is there already stays as it is."""
        with suppress(DuplicateKeyError):
            self._hand_overs.insert_one({"_id": hand_over.id, **{name: getattr(hand_over, name) for name in HAND_OVER.members}})

    def made(self, before: HandOver, *, job_id: str) -> None:
        """Notes that the job was made: parallel operation has begun."""
        unchanged = {"_id": before.id, "stage": Stage.MAKING.value, "epoch": before.epoch}
        self._hand_overs.update_one(unchanged, {"$set": {"stage": Stage.SHADOW.value, "job_id": job_id}})

    def move(self, before: HandOver, stage: Stage, *, epoch: int, at: datetime) -> bool:
        """Begins a stage. Returns False if the migration has changed meanwhile."""
        unchanged = {"_id": before.id, "stage": before.stage, "epoch": before.epoch}
        change = {"stage": stage.value, "epoch": epoch, "at": at}
        return self._hand_overs.update_one(unchanged, {"$set": change}).matched_count == 1

    def remove(self, before: HandOver) -> None:
        """Forgets a migration, unless it has changed meanwhile."""
        self._hand_overs.delete_one({"_id": before.id, "stage": before.stage, "epoch": before.epoch})


def _hand_over(row: Document) -> HandOver:
    return HandOver(id=row["_id"], **{name: row[name] for name in HAND_OVER.members})

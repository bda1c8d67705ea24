"""The `gatherings` collection: of each job that runs after several, which of them have ended since it last ran for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import Listed, Number, Object, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """`arrived` is the execution whose end counts, by job; `seen` are the latest executions that were taken in, so that none is taken in
    twice; `owed` are those, together, whose run is still to be written. `revision` is 0 for one that is not stored yet."""

    revision: int = 0
    arrived: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    owed: tuple[tuple[str, ...], ...] = ()


GATHERING = Object(
    members={
        "revision": Number(default=1),
        "arrived": Listed(of=Listed(of=Text())),
        "seen": Listed(of=Text()),
        "owed": Listed(of=Listed(of=Text())),
    }
)


class GatheringStore:
    """One document a job, changed by compare-and-set on its revision."""

    def __init__(self, database: Database[Document]) -> None:
        self._gatherings = Records(database, "gatherings", GATHERING)

    def get(self, job_id: str) -> Gathering:
        row = self._gatherings.find_one({"_id": job_id})
        if row is None:
            return Gathering()
        owed = tuple(tuple(one) for one in row["owed"])
        return Gathering(
            revision=row["revision"],
            arrived={one[0]: one[1] for one in row["arrived"] if len(one) == 2},
            seen=tuple(row["seen"]),
            owed=owed,
        )

    def put(self, job_id: str, one: Gathering, *, at: datetime) -> bool:
        """Store what was made of the one with the same revision; False where somebody was quicker."""
        row = {
            "revision": one.revision + 1,
            "arrived": list(one.arrived.items()),
            "seen": list(one.seen),
            "owed": [list(ids) for ids in one.owed],
            "at": at,
        }
        if one.revision == 0:
            try:
                self._gatherings.insert_one({"_id": job_id, **row})
            except DuplicateKeyError:
                return False
            return True
        return self._gatherings.replace_one({"_id": job_id, "revision": one.revision}, row).matched_count == 1

    def paid(self, job_id: str, ids: tuple[str, ...]) -> None:
        """The run of these is written."""
        self._gatherings.update_one({"_id": job_id}, {"$pull": {"owed": list(ids)}, "$inc": {"revision": 1}})

    def drop(self, job_id: str) -> None:
        """Forget what has arrived."""
        self._gatherings.delete_one({"_id": job_id})

    def arrived(self, job_id: str) -> dict[str, str]:
        """The executions that wait for those of the other jobs, by their own job."""
        return dict(self.get(job_id).arrived)

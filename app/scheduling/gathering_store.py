"""The `gatherings` collection. A job that runs after several others has one gathering: which of them have ended since it last ran."""

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
    """`arrived` has the execution that ended, by the id of its job. `seen` are the executions that were added last, so that none is added
    twice. `owed` has, for each run that is still to be written, the executions that cause it. `revision` is 0 if nothing is stored yet."""

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
    """One document per job. It changes by a compare-and-set on its revision."""

    def __init__(self, database: Database[Document]) -> None:
        self._gatherings = Records(database, "gatherings", GATHERING)

    def get(self, job_id: str) -> Gathering:
        """The gathering of a job; an empty one if nothing is stored."""
        row = self._gatherings.find_one({"_id": job_id})
        if row is None:
            return Gathering()
        return Gathering(
            revision=row["revision"],
            arrived={pair[0]: pair[1] for pair in row["arrived"] if len(pair) == 2},
            seen=tuple(row["seen"]),
            owed=tuple(tuple(ids) for ids in row["owed"]),
        )

    def put(self, job_id: str, gathering: Gathering, *, at: datetime) -> bool:
        """Replaces the stored gathering of the same revision. Returns False if another node changed it first."""
        row = {
            "revision": gathering.revision + 1,
            "arrived": list(gathering.arrived.items()),
            "seen": list(gathering.seen),
            "owed": [list(ids) for ids in gathering.owed],
            "at": at,
        }
        if gathering.revision == 0:
            try:
                self._gatherings.insert_one({"_id": job_id, **row})
            except DuplicateKeyError:
                return False
            return True
        return self._gatherings.replace_one({"_id": job_id, "revision": gathering.revision}, row).matched_count == 1

    def paid(self, job_id: str, ids: tuple[str, ...]) -> None:
        """Removes an owed run: the run that these executions cause is written."""
        self._gatherings.update_one({"_id": job_id}, {"$pull": {"owed": list(ids)}, "$inc": {"revision": 1}})

    def drop(self, job_id: str) -> None:
        """Removes the gathering of a job."""
        self._gatherings.delete_one({"_id": job_id})

    def arrived(self, job_id: str) -> dict[str, str]:
        """The executions that have ended while others are waited for, by the id of their job."""
        return dict(self.get(job_id).arrived)

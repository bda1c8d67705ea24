"""The `samples` collection: the one record of what sample data there is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import UNKNOWN, Instant, Listed, Number, Object, Text, one_of

_ID = "sample"


class SampleState(StrEnum):
    """How far the sample data is."""

    MAKING = "making"  # it is being made, or making it was interrupted
    READY = "ready"
    REMOVING = "removing"  # it is being removed, or removing it was interrupted


SAMPLE = Object(
    members={
        "state": one_of([state.value for state in SampleState], UNKNOWN),
        "by": Text(),
        "at": Instant(),
        "database": Text(),
        "failing_hour": Number(),
        "connections": Listed(of=Text()),
        "jobs": Listed(of=Text()),
        "busy_until": Instant(optional=True, nullable=True),
        "busy": Text(optional=True, nullable=True),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The sample data. `database` is the name of the shop's database; `connections` and `jobs` are the ids of what was made so far;
    `failing_hour` is an hour of the day in which the report fails."""

    state: str
    by: str
    at: datetime
    database: str
    failing_hour: int
    connections: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return self.state == SampleState.READY


class SampleStore:
    """One document, which is there while there is sample data, or a part of it."""

    def __init__(self, database: Database[Document]) -> None:
        self._samples = Records(database, "samples", SAMPLE)

    def get(self) -> Sample | None:
        """Returns the record; None if there is no sample data."""
        row = self._samples.find_one({"_id": _ID})
        return None if row is None else _sample(row)

    def begin(self, sample: Sample) -> None:
        """Writes the record if there is none."""
        row = {
            "_id": _ID,
            "state": sample.state,
            "by": sample.by,
            "at": sample.at,
            "database": sample.database,
            "failing_hour": sample.failing_hour,
            "connections": [],
            "jobs": [],
        }
        with suppress(DuplicateKeyError):
            self._samples.insert_one(row)

    def take_turn(self, token: str, *, now: datetime, until: datetime) -> bool:
        """Lets nobody else change the sample data until then. Returns False if somebody else does at the moment."""
        is_free = {"$or": [{"busy": None}, {"busy": token}, {"busy_until": {"$lte": now}}]}
        return self._samples.update_one({"_id": _ID, **is_free}, {"$set": {"busy": token, "busy_until": until}}).matched_count == 1

    def end_turn(self, token: str) -> None:
        """Lets others change the sample data again."""
        self._samples.update_one({"_id": _ID, "busy": token}, {"$set": {"busy": None, "busy_until": None}})

    def set_state(self, state: SampleState) -> None:
        """Notes how far the sample data is."""
        self._samples.update_one({"_id": _ID}, {"$set": {"state": state.value}})

    def note(self, kind: str, made_id: str) -> None:
        """Notes the id of something that was made; `kind` is `connections` or `jobs`."""
        self._samples.update_one({"_id": _ID}, {"$addToSet": {kind: made_id}})

    def remove(self) -> None:
        """Forgets the record."""
        self._samples.delete_one({"_id": _ID})


def _sample(row: Document) -> Sample:
    return Sample(
        state=row["state"],
        by=row["by"],
        at=row["at"],
        database=row["database"],
        failing_hour=row["failing_hour"],
        connections=tuple(row["connections"]),
        jobs=tuple(row["jobs"]),
    )

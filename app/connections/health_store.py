"""The `connection_health` collection: what each connection answered when it was last opened to see whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import Flag, Instant, Number, Object, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`works` is None until the first answer; `since` is when it last became what it is, `failures` how often in a row it has not
    answered, `version` which settings were tried."""

    version: int
    works: bool | None
    message: str
    since: datetime
    probed_at: datetime | None
    next_at: datetime
    failures: int


HEALTH = Object(
    members={
        "version": Number(),
        "works": Flag(nullable=True),
        "message": Text(),
        "since": Instant(),
        "probed_at": Instant(nullable=True),
        "next_at": Instant(),
        "failures": Number(),
    }
)


class HealthStore:
    """One document a connection, its id that of the connection."""

    def __init__(self, database: Database[Document]) -> None:
        self._health = Records(database, "connection_health", HEALTH)

    def all(self) -> dict[str, Health]:
        return {row["_id"]: Health(**{name: row[name] for name in HEALTH.members}) for row in self._health.find()}

    def claim(self, connection_id: str, version: int, was: Health | None, *, now: datetime, until: datetime) -> bool:
        """Take the next look at a connection, until `until`; False where another node was quicker."""
        if was is None:
            fresh = {"works": None, "message": "", "since": now, "probed_at": None, "failures": 0}
            try:
                self._health.insert_one({"_id": connection_id, "version": version, "next_at": until, **fresh})
            except DuplicateKeyError:
                return False
            return True
        same = {"_id": connection_id, "version": was.version, "next_at": was.next_at}
        return self._health.update_one(same, {"$set": {"version": version, "next_at": until}}).matched_count == 1

    def note(self, connection_id: str, version: int, *, works: bool, message: str, failures: int, at: datetime, next_at: datetime) -> None:
        """Record an answer, unless the connection has been changed meanwhile."""
        self._health.update_one(
            {"_id": connection_id, "version": version},
            [
                {
                    "$set": {
                        "since": {"$cond": [{"$eq": ["$works", works]}, "$since", at]},
                        "failures": failures,
                        "works": works,
                        "message": {"$literal": message},
                        "probed_at": at,
                        "next_at": next_at,
                    }
                }
            ],
        )

    def remove(self, connection_id: str) -> None:
        self._health.delete_one({"_id": connection_id})

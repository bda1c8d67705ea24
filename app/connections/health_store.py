"""The `connection_health` collection: the answer of each connection when it was last probed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.shapes import Anything, Flag, Instant, Number, Object, Text
from templates_lib.messages import parts_of, restored


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The last answer of a connection.

    `works` is None until the first answer. `message` is a Said if it was stored with its parts, so that a page can show it in any
    language. `since` is when `works` last changed. `failures` counts the probes in a row that failed. `version` is the version of the
    settings that were tried.
    """

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
        "said": Anything(optional=True),  # the parts of the message; a health of an older release has none
        "since": Instant(),
        "probed_at": Instant(nullable=True),
        "next_at": Instant(),
        "failures": Number(),
    }
)


class HealthStore:
    """One document for each connection, with the id of the connection."""

    def __init__(self, database: Database[Document]) -> None:
        self._health = Records(database, "connection_health", HEALTH)

    def all(self) -> dict[str, Health]:
        """Returns the health of each connection by the id of the connection."""
        return {row["_id"]: _health(row) for row in self._health.find()}

    def claim(self, connection_id: str, version: int, before: Health | None, *, now: datetime, until: datetime) -> bool:
        """Claims the next probe of a connection until `until`. Returns False if another node was quicker."""
        if before is None:
            fresh = {"works": None, "message": "", "since": now, "probed_at": None, "failures": 0}
            try:
                self._health.insert_one({"_id": connection_id, "version": version, "next_at": until, **fresh})
            except DuplicateKeyError:
                return False
            return True
        unchanged = {"_id": connection_id, "version": before.version, "next_at": before.next_at}
        return self._health.update_one(unchanged, {"$set": {"version": version, "next_at": until}}).matched_count == 1

    def note(self, connection_id: str, version: int, *, works: bool, message: str, failures: int, at: datetime, next_at: datetime) -> None:
        """Records an answer, unless the connection was changed in the meantime."""
        self._health.update_one(
            {"_id": connection_id, "version": version},
            [
                {
                    "$set": {
                        "since": {"$cond": [{"$eq": ["$works", works]}, "$since", at]},
                        "failures": failures,
                        "works": works,
                        "message": {"$literal": message},
                        "said": {"$literal": parts_of(message)},
                        "probed_at": at,
                        "next_at": next_at,
                    }
                }
            ],
        )

    def remove(self, connection_id: str) -> None:
        self._health.delete_one({"_id": connection_id})


def _health(row: Document) -> Health:
    fields = {name: row[name] for name in HEALTH.members if name != "said"}
    return Health(**{**fields, "message": restored(row["message"], row.get("said"))})

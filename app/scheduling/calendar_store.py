"""The `calendars` collection."""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document, Records
from app.shapes import Instant, Listed, Number, Object, Text, texts

CALENDAR = Object(
    members={
        "version": Number(),
        "updated_by": Text(),
        "updated_at": Instant(),
        **texts("description", "ical", optional=True),
        "timezone": Text(default="UTC"),
        "dates": Listed(optional=True, of=Object()),
        "weekly": Listed(optional=True, of=Object()),
    }
)


class CalendarStore:
    """Calendars; the name is the `_id`, as schedules hold it."""

    def __init__(self, database: Database[Document]) -> None:
        self._calendars = Records(database, "calendars", CALENDAR)

    def add(self, row: Document) -> None:
        """Raises DuplicateName."""
        try:
            self._calendars.insert_one(row)
        except DuplicateKeyError as error:
            raise DuplicateName(row["_id"]) from error

    def get(self, name: str) -> Document | None:
        return self._calendars.find_one({"_id": name})

    def all(self) -> list[Document]:
        return list(self._calendars.find().sort("_id", 1))

    def names(self) -> list[str]:
        return [row["_id"] for row in self._calendars.find({}, {"_id": 1}).sort("_id", 1)]

    def versions(self, names: Iterable[str]) -> dict[str, int]:
        """The versions of those of `names` that are there."""
        return {row["_id"]: row["version"] for row in self._calendars.find({"_id": {"$in": list(names)}}, {"version": 1})}

    def replace_version(self, row: Document, *, version: int) -> bool:
        """Put `row` where the calendar still has `version`; False where someone was quicker."""
        return self._calendars.replace_one({"_id": row["_id"], "version": version}, row).matched_count == 1

    def delete(self, name: str) -> bool:
        return self._calendars.delete_one({"_id": name}).deleted_count == 1

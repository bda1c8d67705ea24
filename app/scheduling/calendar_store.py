"""The `calendars` collection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.instants import is_date
from app.mongo import Document, Records
from app.scheduling.calendars import DAYS
from app.shapes import Instant, Listed, Number, Object, Text, texts

TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"


@dataclass(frozen=True, kw_only=True)
class _Row(Object):
    """A row that is left out if a required member cannot be read: the rest of the row would mean another time."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict) and all(
            kind.fits(value[name]) if name in value else kind.optional for name, kind in self.members.items()
        )


@dataclass(frozen=True, kw_only=True)
class _Day(Text):
    """A date of the calendar, such as 2026-12-24."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and len(value) == len("2026-12-24") and is_date(value)


CALENDAR = Object(
    members={
        "version": Number(),
        "updated_by": Text(),
        "updated_at": Instant(),
        **texts("description", "ical", optional=True),
        "timezone": Text(default="UTC"),
        "dates": Listed(optional=True, of=_Row(members={"from": _Day(), "to": _Day(optional=True)})),
        "weekly": Listed(
            optional=True,
            of=_Row(members={"days": Listed(of=Text(words=DAYS)), "from": Text(pattern=TIME), "to": Text(pattern=f"{TIME}|24:00")}),
        ),
    }
)


class CalendarStore:
    """Stored calendars. The `_id` of a calendar is its name, and schedules hold that name."""

    def __init__(self, database: Database[Document]) -> None:
        self._calendars = Records(database, "calendars", CALENDAR)

    def add(self, row: Document) -> None:
        """Adds a calendar. Raises DuplicateName."""
        try:
            self._calendars.insert_one(row)
        except DuplicateKeyError as error:
            raise DuplicateName(row["_id"]) from error

    def get(self, name: str) -> Document | None:
        """The calendar of a name; None if there is none."""
        return self._calendars.find_one({"_id": name})

    def all(self) -> list[Document]:
        """All calendars, by name."""
        return list(self._calendars.find().sort("_id", 1))

    def names(self) -> list[str]:
        """The names of all calendars, sorted."""
        return [row["_id"] for row in self._calendars.find({}, {"_id": 1}).sort("_id", 1)]

    def versions(self, names: Iterable[str]) -> dict[str, int]:
        """The version of each calendar of these names, by name; a name without a calendar is left out."""
        return {row["_id"]: row["version"] for row in self._calendars.find({"_id": {"$in": list(names)}}, {"version": 1})}

    def replace_version(self, row: Document, *, version: int) -> bool:
        """Replaces the calendar if it still has `version`. Returns False if someone else changed it first."""
        return self._calendars.replace_one({"_id": row["_id"], "version": version}, row).matched_count == 1

    def delete(self, name: str) -> bool:
        """Removes the calendar. Returns False if there is none."""
        return self._calendars.delete_one({"_id": name}).deleted_count == 1

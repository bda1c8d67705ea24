"""The mark that a restore leaves in the database while it is not finished. Nothing starts on such a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import StartError
from app.mongo import Document

MARK = "restore"
_MARKS = "restores"


class Stage(StrEnum):
    """How far a restore has come."""

    LOADING = "loading"  # new collections are filled beside the old ones, which are unchanged
    SWITCHING = "switching"  # the new collections are complete, and take the names of the old ones
    MIGRATING = "migrating"  # the new collections have their names, and get the migrations that they lack
    CLEANING = "cleaning"  # all is restored; the old collections are deleted
    ROLLING_BACK = "rolling_back"  # the old collections get their names back


@dataclass(frozen=True, slots=True)
class Mark:
    """An unfinished restore: its stage, the collections that it makes, and those that were there when it began. `backup` says what is
    restored, for the audit trail."""

    stage: Stage
    at: datetime
    new: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    backup: Mapping[str, Any] = field(default_factory=dict)

    def as_document(self) -> Document:
        return {
            "_id": MARK,
            "stage": self.stage.value,
            "at": self.at,
            "new": list(self.new),
            "old": list(self.old),
            "backup": dict(self.backup),
        }


class RestoreMarks:
    """The collection `restores`, which has one document while a restore is not finished."""

    def __init__(self, database: Database[Document]) -> None:
        self._collection = database[_MARKS]

    def get(self) -> Mark | None:
        """Returns the mark of an unfinished restore."""
        row = self._collection.find_one({"_id": MARK})
        if row is None:
            return None
        return Mark(Stage(row["stage"]), row["at"], tuple(row["new"]), tuple(row["old"]), row["backup"])

    def begin(self, mark: Mark) -> None:
        """Writes the mark of a restore that begins. Raises StartError if there is one already."""
        try:
            self._collection.insert_one(mark.as_document())
        except DuplicateKeyError as error:
            raise StartError(describe(self.get() or mark)) from error

    def move(self, before: Stage, mark: Mark) -> None:
        """Replaces the mark. Raises StartError if its stage is not `before` any more: another process finishes this restore."""
        if self._collection.replace_one({"_id": MARK, "stage": before.value}, mark.as_document()).matched_count != 1:
            raise StartError("Another process is finishing this restore.")

    def remove(self) -> None:
        """Removes the mark and its collection."""
        self._collection.drop()


def require_no_restore(database: Database[Document]) -> None:
    """Raises StartError while a restore of this database is not finished."""
    mark = RestoreMarks(database).get()
    if mark is not None:
        raise StartError(describe(mark))


def describe(mark: Mark) -> str:
    """Returns what a restore has left behind, and what to do."""
    began = f"A restore of this database began at {mark.at:%Y-%m-%d %H:%M} UTC and is not finished."
    if mark.stage is Stage.LOADING:
        return f"{began} Wait for it. If it was stopped: `jobwright restore --roll-back` keeps the database as it was, then restore again."
    if mark.stage is Stage.ROLLING_BACK:
        return f"{began} It is being rolled back. If that was stopped, run `jobwright restore --roll-back` again."
    if mark.stage is Stage.CLEANING:
        return f"{began} If it was stopped, run `jobwright restore --finish`."
    return f"{began} If it was stopped: `jobwright restore --finish` completes it, `jobwright restore --roll-back` reverts it."

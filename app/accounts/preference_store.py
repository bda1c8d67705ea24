"""The `preferences` collection."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.accounts.shape import PREFERENCE
from app.mongo import Document, Records


class PreferenceStore:
    """Holds one document for each person: {_id, zone, language, views: [{name, query}]}."""

    def __init__(self, database: Database[Document]) -> None:
        self._preferences = Records(database, "preferences", PREFERENCE)

    def get(self, user_id: str) -> Document:
        """Returns the settings of the person; an empty document if there are none."""
        return self._preferences.find_one({"_id": user_id}) or {}

    def set_reading(self, user_id: str, zone: str, language: str) -> None:
        self._preferences.update_one({"_id": user_id}, {"$set": {"zone": zone, "language": language}}, upsert=True)

    def put_view(self, user_id: str, name: str, query: str, *, most: int) -> bool:
        """Stores a view, in place of one with the same name. Returns False if there are `most` views already.

        The limit holds even if several windows store views at the same time.
        """
        named = {"_id": user_id, "views.name": name}
        if self._preferences.update_one(named, {"$set": {"views.$.query": query}}).matched_count:
            return True
        room = {"_id": user_id, f"views.{most - 1}": {"$exists": False}, "views.name": {"$ne": name}}
        added = {"$push": {"views": {"$each": [{"name": name, "query": query}], "$sort": {"name": 1}}}}
        try:
            self._preferences.update_one(room, added, upsert=True)
        except DuplicateKeyError:  # the limit is reached, or another window has just stored a view with this name
            return self._preferences.find_one(named, {"_id": 1}) is not None
        return True

    def drop_view(self, user_id: str, names: Sequence[str]) -> None:
        """Removes the views that have one of these names."""
        self._preferences.update_one({"_id": user_id}, {"$pull": {"views": {"name": {"$in": list(names)}}}})

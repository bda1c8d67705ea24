"""The `job_templates` collection: what super-admins have set about templates, and the derived ones."""

from __future__ import annotations

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document


class TemplateStore:
    """One document a template, by its type; each change is a compare-and-set on `revision`.

    `standing {enabled, when_off, roles[], note}` may be of any template. A derived one has `base`, `draft {definition, by, at}` and
    `versions[] {number, definition, base_version, state, at, by, note}`.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._templates = database["job_templates"]

    def all(self) -> list[Document]:
        return list(self._templates.find())

    def get(self, kind: str) -> Document | None:
        return self._templates.find_one({"_id": kind})

    def add(self, row: Document) -> None:
        """Raises DuplicateName."""
        try:
            self._templates.insert_one(row)
        except DuplicateKeyError as error:
            raise DuplicateName(row["_id"]) from error

    def replace(self, row: Document, *, revision: int) -> bool:
        """Put `row` where the template still has `revision`, 0: where there is nothing of it yet; False where someone was quicker."""
        if revision == 0:
            try:
                self._templates.insert_one(row)
            except DuplicateKeyError:
                return False
            return True
        return self._templates.replace_one({"_id": row["_id"], "revision": revision}, row).matched_count == 1

    def remove(self, kind: str, *, revision: int) -> bool:
        return self._templates.delete_one({"_id": kind, "revision": revision}).deleted_count == 1

"""The `job_templates` collection: what super-admins have set about templates, and the derived ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.labels import union
from app.mongo import Document, Records
from app.shapes import Flag, Instant, Listed, Number, Object, Text, one_of, texts

_DRAFT = Object(optional=True, nullable=True, members={"definition": Object(), "by": Text(optional=True), "at": Instant(optional=True)})
_VERSION = Object(
    members={
        "number": Number(least=1, default=1),
        "definition": Object(),
        "base_version": Number(optional=True, nullable=True),
        "state": Text(optional=True),
        "at": Instant(optional=True),
        **texts("by", "note", optional=True),
    }
)
_STANDING = Object(
    optional=True,
    nullable=True,
    members={
        "enabled": Flag(),
        "when_off": one_of(["keep", "pause"], "keep"),
        "roles": Listed(of=Text()),
        "note": Text(optional=True),
        "needs": Listed(optional=True, of=Text()),
    },
)
TEMPLATE = Object(
    members={
        "revision": Number(default=1),
        "base": Text(optional=True),
        "versions": Listed(optional=True, of=_VERSION),
        "draft": _DRAFT,
        "standing": _STANDING,
    }
)


class TemplateStore:
    """One document a template, by its type; each change is a compare-and-set on `revision`.

    `standing {enabled, when_off, roles[], note, needs[]}` may be of any template. A derived one has `base`,
    `draft {definition, by, at}` and `versions[] {number, definition, base_version, state, at, by, note}`.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._templates = Records(database, "job_templates", TEMPLATE)

    def all(self) -> list[Document]:
        return list(self._templates.find())

    def get(self, kind: str) -> Document | None:
        return self._templates.find_one({"_id": kind})

    def needs_of(self, kinds: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Returns the labels that templates and their bases need, for those of `kinds` that need any."""
        rows = self._templates.find(
            {"$or": [{"_id": {"$in": list(kinds)}}, {"standing.needs.0": {"$exists": True}}]}, {"base": 1, "standing.needs": 1}
        )
        known = {row["_id"]: (row.get("base", ""), (row.get("standing") or {}).get("needs", ())) for row in rows}
        nothing: tuple[str, Sequence[str]] = ("", ())
        needs = {}
        for kind in kinds:
            base, own = known.get(kind, nothing)
            needs[kind] = union(own, known.get(base, nothing)[1])
        return {kind: labels for kind, labels in needs.items() if labels}

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

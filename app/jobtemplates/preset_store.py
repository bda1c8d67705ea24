"""The `template_presets` collection."""

from __future__ import annotations

from pymongo.database import Database

from app.mongo import Document, Records
from app.shapes import Flag, Instant, Number, Object, texts

PRESET = Object(
    members={
        **texts("template_type", "name", "owner", "by"),
        "shared": Flag(),
        "parameters": Object(),
        "code_version": Number(optional=True),
        "at": Instant(),
    }
)


class PresetStore:
    """One document a preset {_id, template_type, name, owner, shared, parameters, code_version, by, at}."""

    def __init__(self, database: Database[Document]) -> None:
        self._presets = Records(database, "template_presets", PRESET)

    def put(self, row: Document) -> None:
        """Write it, in place of the one of the same id."""
        self._presets.replace_one({"_id": row["_id"]}, row, upsert=True)

    def get(self, preset_id: str) -> Document | None:
        return self._presets.find_one({"_id": preset_id})

    def of(self, kind: str, owner: str) -> list[Document]:
        """Those of a template that `owner` sees: their own, and what others share; by name."""
        return list(
            self._presets.find({"template_type": kind, "$or": [{"owner": owner}, {"shared": True}]}).sort([("name", 1), ("_id", 1)])
        )

    def count(self, kind: str) -> int:
        return self._presets.count_documents({"template_type": kind})

    def remove(self, preset_id: str) -> None:
        self._presets.delete_one({"_id": preset_id})

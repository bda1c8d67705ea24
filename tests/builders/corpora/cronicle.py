"""An export of Cronicle."""

from __future__ import annotations

from pathlib import Path

from app.imports.entries import Entry
from tests.builders.corpora import Corpus, berlin
from tests.builders.foreign import cronicle

_INSIDE = {"title", "enabled", "when", "when_of", "event"}  # the name and the state of the job; `timing` stands as a whole


def make(folder: Path, mongod: str) -> Corpus:
    return Corpus(place=str(cronicle.write(folder / "export.txt")), options=berlin(), entries=200, fields=_fields)


def _fields(entry: Entry) -> set[str]:
    return {"timing"} | {name for name in entry.values if name not in _INSIDE and not name.startswith("timing")}

"""A folder of timers with their services."""

from __future__ import annotations

from pathlib import Path

from app.imports.entries import Entry
from tests.builders.corpora import Corpus, berlin
from tests.builders.foreign import systemd

# What the job has under other names: the command, its variables and its folder.
_IN_COMMAND = {"Service.ExecStart", "Service.Environment", "Service.WorkingDirectory", "Service.prefixes"}


def make(folder: Path, mongod: str) -> Corpus:
    place = systemd.write(folder / "system")
    return Corpus(place=str(place), options=berlin(own={"root": str(folder)}), entries=200, fields=_fields)


def _fields(entry: Entry) -> set[str]:
    return {name for name in entry.values if "." in name and name not in _IN_COMMAND}

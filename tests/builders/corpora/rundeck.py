"""An export of Rundeck."""

from __future__ import annotations

from pathlib import Path

from tests.builders.corpora import Corpus, berlin
from tests.builders.foreign import rundeck


def make(folder: Path, mongod: str) -> Corpus:
    place = rundeck.write(folder / "jobs.yaml")
    inside = {"name", "quartz", "scheduleEnabled", "executionEnabled"}  # they are the name, one text, and the state
    return Corpus(place=str(place), options=berlin(), entries=200, fields=lambda entry: set(entry.values) - inside)

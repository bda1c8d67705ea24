"""Manifests with CronJobs."""

from __future__ import annotations

from pathlib import Path

from tests.builders.corpora import Corpus, berlin
from tests.builders.foreign import kubernetes


def make(folder: Path, mongod: str) -> Corpus:
    place = kubernetes.write(folder / "manifests")
    inside = {"metadata.name", "spec.suspend"}  # the name of the job, and its state
    return Corpus(place=str(place), options=berlin(), entries=200, fields=lambda entry: set(entry.values) - inside)

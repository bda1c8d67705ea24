"""How long the scan of a large collection of Agenda takes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from app.imports.sources import SOURCES, SourceOptions
from tests.builders.corpora.agenda import documents

JOBS = 10_000
TARGET_SECONDS = 10.0


def imports(uri: str, row: Callable[..., None], *, jobs: int = JOBS) -> None:
    """Fills a collection, and scans it."""
    name = f"b_{uuid.uuid4().hex[:8]}"
    with MongoClient[dict[str, Any]](uri) as client:
        client[name]["agendaJobs"].insert_many(documents(jobs))
        try:
            began = time.perf_counter()
            reading = SOURCES["agenda"].read("", SourceOptions(machine="bench", timezone="UTC", address=uri, own={"database": name}))
            row(f"scan of {jobs:,} jobs of Agenda", time.perf_counter() - began, "s", TARGET_SECONDS, more_is_better=False)
            assert len(reading.entries) == jobs
        finally:
            client.drop_database(name)

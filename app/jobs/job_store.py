"""The `dynamic_jobs` collection. The stores of this room open it here; each of them has its own questions to ask of it."""

from __future__ import annotations

from datetime import UTC, datetime

from pymongo.database import Database

from app.jobs import shape
from app.mongo import Document, Records

# The time of an outbox that was filled by a change of a person: no scheduler will come back for it, so any scheduler writes it at once.
NOBODY_AT_WORK = datetime(1970, 1, 1, tzinfo=UTC)


def open_jobs(database: Database[Document]) -> Records:
    """Returns the jobs of the registry, deleted ones too."""
    return Records(database, "dynamic_jobs", shape.JOB)

"""The `job_starts` collection: the last starts of each job that has a limit of runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.queue.shape import STARTS
from app.queue.starts import Start, Starts
from app.shapes import DAMAGED


class StartStore:
    """One document a job, changed by compare-and-set on its revision. A document goes by itself when none of its starts counts any more."""

    def __init__(self, database: Database[Document]) -> None:
        self._starts = Records(database, "job_starts", STARTS)

    def read(self, job_ids: Iterable[str]) -> dict[str, Starts]:
        """Returns the starts of those jobs that have any; a damaged document counts as none that covers a limit."""
        return {row["_id"]: _from_row(row) for row in self._starts.find({"_id": {"$in": list(job_ids)}})}

    def write(self, starts: Starts) -> bool:
        """Replaces the starts of a job. Returns False if somebody else has changed them since they were read."""
        row = _row(starts)
        if starts.revision:
            return self._starts.replace_one({"_id": starts.job_id, "revision": starts.revision}, row).matched_count == 1
        try:
            self._starts.insert_one(row)
        except DuplicateKeyError:
            return self._starts.replace_one({"_id": starts.job_id, "revision": {"$exists": False}}, row).matched_count == 1
        return True


def _from_row(row: Document) -> Starts:
    readable = DAMAGED not in row
    starts = tuple(Start(start["of"], start["at"], start["backfill"]) for start in row["starts"]) if readable else ()
    return Starts(
        job_id=row["_id"],
        runs=row["runs"] if readable else 0,
        seconds=row["seconds"] if readable else 0,
        starts=starts,
        revision=row["revision"],
    )


def _row(starts: Starts) -> Document:
    last = max(start.at for start in starts.starts)
    return {
        "_id": starts.job_id,
        "runs": starts.runs,
        "seconds": starts.seconds,
        "starts": [{"of": start.execution_id, "at": start.at, "backfill": start.in_backfill} for start in starts.starts],
        "revision": starts.revision + 1,
        "until": last + timedelta(seconds=starts.seconds),
    }

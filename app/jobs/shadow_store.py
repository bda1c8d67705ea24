"""The `shadow_runs` collection: what jobs in shadow mode would have run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import InsertOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.jobs.records import WOULD_RUN, ShadowRun
from app.jobs.shape import SHADOW_RUN
from app.mongo import Document, Records, is_only_duplicates


class ShadowStore:
    """One document for each shadow run. An index removes them after 90 days."""

    def __init__(self, database: Database[Document]) -> None:
        self._runs = Records(database, "shadow_runs", SHADOW_RUN)

    def add(self, rows: Sequence[Document]) -> int:
        """Writes new shadow runs. Returns how many are new: one whose id is there already is left as it is."""
        if not rows:
            return 0
        try:
            return self._runs.bulk_write([InsertOne(row) for row in rows], ordered=False).inserted_count
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise
            return int(error.details["nInserted"])

    def of_job(self, job_id: str, limit: int, *, since: datetime | None = None) -> list[ShadowRun]:
        """Returns the last `limit` shadow runs of a job, newest first; with `since`, those that were due from then on."""
        where: Document = {"job_id": job_id, **({} if since is None else {"last_due_at": {"$gte": since}})}
        return [_shadow_run(row) for row in self._runs.find(where).sort("due_at", -1).limit(limit)]

    def count(self, job_id: str, since: datetime) -> int:
        """Returns how often the job would have run at due times from `since` on."""
        where = {"job_id": job_id, "outcome": WOULD_RUN, "due_at": {"$gte": since}}
        return self._runs.count_documents(where)

    def forget_from(self, job_id: str, due_at: datetime) -> None:
        """Removes the shadow runs that were due at `due_at` or later: the job really runs from then on."""
        self._runs.delete_many({"job_id": job_id, "due_at": {"$gte": due_at}})


def _shadow_run(row: Document) -> ShadowRun:
    return ShadowRun(
        id=row["_id"],
        job_id=row["job_id"],
        outcome=row["outcome"],
        reason=row.get("reason"),
        due_at=row["due_at"],
        last_due_at=row["last_due_at"],
        count=row["count"],
        triggered_by=row.get("triggered_by", "schedule"),
        at=row["at"],
    )

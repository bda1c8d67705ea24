"""The `job_executions` collection as digests read it: what has ended in a span, by job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.database import Database

from app.execution.measured_store import ENDED_INDEX
from app.mongo import Document, Records
from app.queue.model import Status
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION

REVIEW_TIME_MS = 20_000  # a digest is made in the background, once a day
_STATUSES = frozenset(status.value for status in Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndsOfJob:
    """The executions of a job that ended in a span with one status: how many (a record that stands for several due times counts as so
    many), the last of them and when it ended, and how many seconds they took together."""

    job_id: str
    status: str
    count: int
    last_id: str
    last_at: datetime
    seconds: float


class ReviewStore:
    """Reads only. Each read is bounded in time."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    def ends(self, begin: datetime, end: datetime) -> list[EndsOfJob]:
        """Returns what ended after `begin` and not after `end`, by job and status. Previews do not count."""
        times = {"$cond": [{"$isNumber": "$due_times.count"}, "$due_times.count", 1]}
        group = {
            "_id": {"job": "$job_id", "status": "$status"},
            "count": {"$sum": times},
            "seconds": {"$sum": "$duration_seconds"},
            "last": {"$max": {"at": "$completed_at", "id": "$_id"}},
        }
        where = {"completed_at": {"$gt": begin, "$lte": end}, "dry": {"$ne": True}}
        rows = self._executions.aggregate([{"$match": where}, {"$group": group}], hint=ENDED_INDEX, maxTimeMS=REVIEW_TIME_MS)
        return [_ends(row) for row in rows if isinstance(row["_id"].get("job"), str) and row["_id"].get("status") in _STATUSES]

    def seconds_of_successes(self, job_id: str, begin: datetime | None, end: datetime, limit: int) -> list[float]:
        """Returns how many seconds the newest successes of a job took that were queued from `begin` on and before `end`."""
        within = {"$lt": end, **({} if begin is None else {"$gte": begin})}
        where = {"job_id": job_id, "queued_at": within, "status": Status.SUCCESS.value, "dry": {"$ne": True}}
        rows = self._executions.find(where, {"duration_seconds": 1}, max_time_ms=REVIEW_TIME_MS).sort("queued_at", -1).limit(limit)
        return [row["duration_seconds"] for row in rows if row["duration_seconds"] is not None]


def _ends(row: dict[str, Any]) -> EndsOfJob:
    return EndsOfJob(
        job_id=row["_id"]["job"],
        status=row["_id"]["status"],
        count=int(row["count"]),
        last_id=row["last"]["id"],
        last_at=row["last"]["at"],
        seconds=float(row["seconds"]),
    )

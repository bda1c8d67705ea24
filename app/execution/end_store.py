"""The ends in the `job_executions` collection, in brief."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo.database import Database

from app.execution.ends import EndCount, EndedRun, LiveRun
from app.mongo import ANY_DATE, QUERY_TIME_MS, Document, Records
from app.queue.model import Reason, Trigger
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION

BRIEF = dict.fromkeys(
    (
        "job_id",
        "status",
        "reason",
        "queued_at",
        "started_at",
        "completed_at",
        "scheduled_for",
        "duration_seconds",
        "job_version",
        "attempts.number",
        "triggered_by",
    ),
    1,
)


LIVE_FIELDS = ("job_id", "status", "queued_at", "available_at", "scheduled_for", "started_at")


class EndStore:
    """Reads ends, from an index and bounded in time."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    def latest(self, job_id: str, limit: int) -> list[EndedRun]:
        """Returns the ends of the newest executions of a job, the latest end first; previews do not count."""
        where: Document = {"job_id": job_id, "completed_at": ANY_DATE, "dry": {"$ne": True}}
        rows = self._executions.find(where, BRIEF, max_time_ms=QUERY_TIME_MS).sort("queued_at", -1).limit(limit)
        return sorted((_from_row(row) for row in rows), key=lambda run: run.place, reverse=True)

    def live(self, limit: int) -> list[LiveRun]:
        """Returns executions that have not ended, without those of backfills and previews."""
        where: Document = {"live": True, "dry": {"$ne": True}, "triggered_by": {"$ne": Trigger.BACKFILL.value}}
        rows = self._executions.find(where, dict.fromkeys(LIVE_FIELDS, 1), max_time_ms=QUERY_TIME_MS, hint="live").limit(limit)
        return [_live_from(row) for row in rows]

    def up_to(self, run: EndedRun, limit: int) -> list[EndedRun]:
        """Returns an end, and those of the same job before it, the latest one first."""
        # Whatever has ended by then was queued by then.
        where: Document = {
            "job_id": run.job_id,
            "queued_at": {**ANY_DATE, "$lte": run.completed_at},
            "completed_at": {**ANY_DATE, "$lte": run.completed_at},
            "dry": {"$ne": True},
        }
        rows = self._executions.find(where, BRIEF, max_time_ms=QUERY_TIME_MS).sort("queued_at", -1).limit(limit)
        before = (other for other in map(_from_row, rows) if other.place < run.place)
        return [run, *sorted(before, key=lambda other: other.place, reverse=True)]

    def between(self, begin: datetime, end: datetime, limit: int) -> list[str]:
        """Returns the ids of executions that ended in this time."""
        where: Document = {"completed_at": {"$type": "date", "$gte": begin, "$lt": end}}
        return [row["_id"] for row in self._executions.find(where, {"_id": 1}, max_time_ms=QUERY_TIME_MS).limit(limit)]

    def counts_since(self, begin: datetime) -> list[EndCount]:
        """Returns how many executions ended since then, by job and status, without those of backfills and previews."""
        where = {"completed_at": {**ANY_DATE, "$gte": begin}, "dry": {"$ne": True}, "triggered_by": {"$ne": Trigger.BACKFILL.value}}
        last = {"$max": {"at": "$completed_at", "id": "$_id"}}
        count = {"$sum": {"$ifNull": ["$due_times.count", 1]}}
        stages: list[Document] = [
            {"$match": where},
            {"$group": {"_id": {"job": "$job_id", "status": "$status"}, "count": count, "last": last}},
        ]
        rows = self._executions.aggregate(stages, maxTimeMS=QUERY_TIME_MS)
        return [
            EndCount(job_id=row["_id"]["job"], status=row["_id"]["status"], count=row["count"], **row["last"])
            for row in rows
            if isinstance(row["_id"].get("job"), str) and isinstance(row["_id"].get("status"), str)
        ]

    def lost_since(self, begin: datetime, limit: int) -> list[tuple[datetime, str]]:
        """Returns when executions ended of which a worker had lost an attempt, each with its id, the latest one first."""
        where = {"completed_at": {**ANY_DATE, "$gte": begin}, "attempts.reason": Reason.LOST_WORKER.value}
        rows = self._executions.find(where, {"completed_at": 1}, max_time_ms=QUERY_TIME_MS).sort("completed_at", -1).limit(limit)
        return [(row["completed_at"], row["_id"]) for row in rows]


def _live_from(row: Document) -> LiveRun:
    fields: dict[str, Any] = {name: row.get(name) for name in LIVE_FIELDS}
    return LiveRun(id=row["_id"], **fields)


def _from_row(row: Document) -> EndedRun:
    brief: dict[str, Any] = {name: row.get(name) for name in ("reason", "started_at", "scheduled_for", "duration_seconds")}
    return EndedRun(
        id=row["_id"],
        job_id=row["job_id"],
        status=row["status"],
        completed_at=row["completed_at"],
        job_version=row.get("job_version") or 0,
        attempts=len(row.get("attempts") or ()),
        triggered_by=row.get("triggered_by") or "",
        queued_at=row.get("queued_at"),
        **brief,
    )

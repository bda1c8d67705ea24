"""The `job_executions` collection as metrics need it: what waits, what runs, and what has ended since they looked last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from app.execution.filters import LIVE_INDEX
from app.mongo import QUERY_TIME_MS, Document, Records
from app.queue.model import Reason, Status, Trigger
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION

WAITING_INDEX, ENDED_INDEX = "waiting", "ended_at"
LONG_SHARE = 0.8  # of its timeout: an attempt that has run for longer than that runs long
_FIELDS = (
    "job_id",
    "template_type",
    "status",
    "reason",
    "scheduled_for",
    "started_at",
    "duration_seconds",
    "due_times",
    "attempts.reason",
    "triggered_by",
    "dry",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`free` executions could start now, `all` wait, those for a retry, a slot or a node with their labels too. `oldest` is when the one
    that has waited longest could start for the first time; None if none can."""

    free: int
    all: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNow:
    """`oldest` is when the attempt began that runs longest; `long` attempts have used up most of their timeout."""

    oldest: datetime | None
    long: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An execution that has ended. `due_times` is for how many due times the record stands, `seconds` how long its last attempt took, and
    `delay` by how many seconds a scheduled run began after its time. `lost` attempts of `attempts` ended as their worker fell silent."""

    job_id: str
    template: str
    status: str
    reason: str | None
    due_times: int
    seconds: float | None
    delay: float | None
    attempts: int
    lost: int


class MeasuredStore:
    """Reads only. Each read is bounded by what waits, runs, or has ended in the span that is asked for."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    def waiting(self, now: datetime, takes: Callable[[Collection[str]], bool]) -> Waiting:
        """What waits. An execution that waits for a slot of its job or group could not start now, nor could one that needs labels which no
        node has: `takes` says whether some node has them."""
        free = {"$and": [{"$lte": ["$available_at", now]}, {"$eq": [{"$type": "$waits_for"}, "missing"]}]}
        sums = {
            "_id": "$needs_key",
            "all": {"$sum": 1},
            "free": {"$sum": {"$cond": [free, 1, 0]}},
            "oldest": {"$min": {"$cond": [free, "$available_at", None]}},
        }
        stages: list[Document] = [{"$match": {"queue_rank": {"$exists": True}}}, {"$group": sums}]
        rows = list(self._executions.aggregate(stages, hint=WAITING_INDEX, maxTimeMS=QUERY_TIME_MS))
        placed = [row for row in rows if takes(row["_id"].split(",") if row["_id"] else ())]
        oldest = [row["oldest"] for row in placed if isinstance(row["oldest"], datetime)]
        return Waiting(free=sum(row["free"] for row in placed), all=sum(row["all"] for row in rows), oldest=min(oldest, default=None))

    def running(self, now: datetime) -> RunningNow:
        """What runs. An attempt began when it was claimed."""
        where = {"live": True, "status": Status.RUNNING.value}
        rows = self._executions.find(where, {"attempts.started_at": 1, "timeout_seconds": 1}, hint=LIVE_INDEX, max_time_ms=QUERY_TIME_MS)
        spans = [(row["attempts"][-1]["started_at"], row.get("timeout_seconds", 0.0)) for row in rows if row.get("attempts")]
        long = sum((now - began).total_seconds() > LONG_SHARE * timeout for began, timeout in spans)
        return RunningNow(oldest=min((began for began, _ in spans), default=None), long=long)

    def first_end_after(self, instant: datetime) -> datetime | None:
        """When the first execution ended after an instant; None if none did."""
        rows = self._executions.find({"completed_at": {"$gt": instant}}, {"completed_at": 1}, hint=ENDED_INDEX)
        row = next(iter(rows.sort("completed_at", 1).limit(1)), None)
        return row["completed_at"] if row else None

    def ended(self, after: datetime, until: datetime) -> Iterator[Ended]:
        """The executions that ended after one instant and not after another; those of previews do not count."""
        rows = self._executions.find({"completed_at": {"$gt": after, "$lte": until}}, _FIELDS, hint=ENDED_INDEX)
        return (_ended(row) for row in rows if not row.get("dry"))


def _ended(row: Document) -> Ended:
    scheduled, began = row.get("scheduled_for"), row.get("started_at")
    of_schedule = row.get("triggered_by") == Trigger.SCHEDULE.value
    delay = (began - scheduled).total_seconds() if of_schedule and scheduled is not None and began is not None else None
    attempts = row.get("attempts") or []
    return Ended(
        job_id=row["job_id"],
        template=row["template_type"],
        status=row["status"],
        reason=row.get("reason"),
        due_times=row["due_times"]["count"] if row.get("due_times") else 1,
        seconds=row.get("duration_seconds"),
        delay=delay,
        attempts=len(attempts),
        lost=sum(attempt.get("reason") == Reason.LOST_WORKER.value for attempt in attempts),
    )

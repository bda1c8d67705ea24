"""What executions come to, counted by the database: for the dashboard, the calendar and the health page."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database
from pymongo.errors import ExecutionTimeout

from app.execution.filters import LIVE_INDEX, in_groups
from app.execution.sums import Sums
from app.execution.tallies import Begun, Tally
from app.mongo import ANY_DATE, Document, Records
from app.queue.execution import Outline
from app.queue.items import MEMBERS, ItemCounts
from app.queue.model import FAILURES, Status
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION, ENDED_VALUES, LIVE_VALUES
from app.shapes import LONG_AGO

QUERY_TIME_MS = 5_000
SUMS_TIME_MS = 2_000
DRAWN = dict.fromkeys(("job_id", "job_name", "status", "reason", "started_at", "completed_at", "duration_seconds"), 1)
LONG_SECONDS = 60  # the partial index `long_runs` holds the runs that took at least so long
FAILURE_VALUES = sorted(FAILURES)
_STATUSES = tuple(status.value for status in Status)  # no set: the status in a damaged record may be an object


@dataclass(frozen=True, slots=True, kw_only=True)
class UnplacedRuns:
    """Executions of a job that wait and need the same labels: one of them, how many they are, and since when the first could have run."""

    job_id: str
    job_name: str
    group: str
    execution_id: str
    needs: tuple[str, ...]
    since: datetime
    count: int


class StatisticsStore:
    """Each count is bounded in time. `groups` are those of the jobs that count; None: all jobs do."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    def tallies(self, since: datetime, until: datetime | None = None, *, groups: Collection[str] | None = None) -> dict[datetime, Tally]:
        """What the executions came to that were queued since then, and before `until`, and have ended; by the hour (UTC)."""
        within = {"$gte": since, **({} if until is None else {"$lt": until})}
        ended: Document = {"status": {"$in": ENDED_VALUES}, "queued_at": within, "completed_at": ANY_DATE}
        if groups is not None:
            return self._by_hour({**ended, **in_groups(groups)})
        # An index answers this alone, except for which of them were previews: those are few, and subtracted.
        hours = self._by_hour(ended)
        for hour, dry in self._by_hour({**ended, "dry": True}).items():
            whole = hours[hour]
            left = {status: n for status, count in whole.counts.items() if (n := count - dry.counts.get(status, 0))}
            hours[hour] = Tally(left, max(0.0, whole.seconds - dry.seconds))
        return {hour: tally for hour, tally in hours.items() if tally.counts}

    def _by_hour(self, where: Document) -> dict[datetime, Tally]:
        hour = {"$dateTrunc": {"date": "$queued_at", "unit": "hour"}}
        sums = {"count": {"$sum": 1}, "seconds": {"$sum": "$duration_seconds"}}
        counts: dict[datetime, dict[str, int]] = {}
        seconds: dict[datetime, float] = {}
        stages: list[Document] = [{"$match": where}, {"$group": {"_id": {"hour": hour, "status": "$status"}, **sums}}]
        for row in self._executions.aggregate(stages, maxTimeMS=QUERY_TIME_MS):
            at, status = row["_id"]["hour"], row["_id"]["status"]
            counts.setdefault(at, {})[status] = row["count"]
            if status == Status.SUCCESS:
                seconds[at] = _summed(row["seconds"])
        return {at: Tally(by_status, seconds.get(at, 0.0)) for at, by_status in counts.items()}

    def drawn(
        self, begin: datetime, end: datetime, limit: int, *, newest: bool = True, groups: Collection[str] | None = None
    ) -> list[Outline]:
        """What is worth drawing of the executions that were queued from `begin` on and before `end`, and began: those that took
        LONG_SECONDS or more (with those queued a day before that went on), the failures, what runs and, where they are asked for, the
        `newest`; `limit` of each of these at most."""
        where: Document = {"queued_at": {"$gte": begin, "$lt": end}, "started_at": ANY_DATE, "dry": {"$ne": True}, **in_groups(groups)}
        yesterday: Document = {"queued_at": {"$gte": begin - timedelta(days=1), "$lt": begin}}
        queries: list[tuple[Document, Document]] = [
            ({"status": {"$in": FAILURE_VALUES}, "completed_at": ANY_DATE}, {}),
            ({"duration_seconds": {"$gte": LONG_SECONDS}}, {}),
            ({"duration_seconds": {"$gte": LONG_SECONDS}, **yesterday, "completed_at": {"$gt": begin}}, {}),
            ({"live": True, "status": Status.RUNNING.value}, {"hint": LIVE_INDEX}),
            *([({}, {})] if newest else []),
        ]
        outlines: dict[str, Outline] = {}
        for query, hint in queries:
            rows = self._executions.find({**where, **query}, DRAWN, max_time_ms=QUERY_TIME_MS, **hint).sort("queued_at", -1).limit(limit)
            outlines |= {row["_id"]: Outline.from_row(row) for row in rows}
        return list(outlines.values())

    def minutes(
        self, begin: datetime, end: datetime, *, groups: Collection[str] | None = None, job_ids: Collection[str] | None = None
    ) -> list[Begun]:
        """In which minutes the executions began that were queued from `begin` on and before `end`, by job and status; of all jobs, or of
        `job_ids`."""
        where: Document = {"queued_at": {"$gte": begin, "$lt": end}, "started_at": ANY_DATE, "dry": {"$ne": True}, **in_groups(groups)}
        if job_ids is not None:
            where["job_id"] = {"$in": list(job_ids)}
        minute = {"$dateDiff": {"startDate": begin, "endDate": "$started_at", "unit": "minute"}}
        sums = {"name": {"$last": "$job_name"}, "count": {"$sum": 1}, "seconds": {"$sum": "$duration_seconds"}}
        group = {"_id": {"job": "$job_id", "status": "$status"}, **sums, "minutes": {"$addToSet": minute}}
        rows = self._executions.aggregate([{"$match": where}, {"$group": group}], maxTimeMS=QUERY_TIME_MS)
        return [
            Begun(row["_id"]["job"], str(row["name"]), row["_id"]["status"], row["count"], _summed(row["seconds"]), row["minutes"])
            for row in rows
            if isinstance(row["_id"].get("job"), str) and row["_id"].get("status") in _STATUSES
        ]

    def sums(self, job_ids: Collection[str], *, since: datetime | None = None) -> dict[str, Sums] | None:
        """What the executions of these jobs come to that were queued since then, by job; previews do not count. None if there are too many
        to count them in SUMS_TIME_MS."""
        if not job_ids:
            return {}
        where: Document = {"job_id": {"$in": list(job_ids)}, "dry": {"$ne": True}}
        if since is not None:
            where["queued_at"] = {"$gte": since}
        totals = {"count": {"$sum": 1}, "seconds": {"$sum": "$duration_seconds"}, **_ITEM_SUMS}
        group = {"_id": {"job": "$job_id", "status": "$status"}, **totals}
        stages: list[Document] = [{"$match": where}, {"$set": _GIVEN_COUNTS}, {"$set": _ALL_COUNTS}, {"$group": group}]
        by_job: dict[str, Sums] = {}
        try:
            rows = list(self._executions.aggregate(stages, maxTimeMS=SUMS_TIME_MS))
        except ExecutionTimeout:
            return None
        for row in rows:
            job, status = row["_id"].get("job"), row["_id"].get("status")
            if isinstance(job, str) and status in _STATUSES:
                items = ItemCounts(**{what: int(_summed(row[what])) for what in MEMBERS}) if row["counting"] else None
                by_job[job] = by_job.get(job, Sums()).plus(status, row["count"], _summed(row["seconds"]), items)
        return by_job

    def counts_by_status(self) -> dict[str, int]:
        """How many are live, by status."""
        stages: list[Document] = [{"$match": {"live": True}}, {"$group": {"_id": "$status", "count": {"$sum": 1}}}]
        rows = self._executions.aggregate(stages, hint=LIVE_INDEX, maxTimeMS=QUERY_TIME_MS)
        return {**dict.fromkeys(LIVE_VALUES, 0), **{row["_id"]: row["count"] for row in rows if row["_id"] in LIVE_VALUES}}

    def stuck(self, now: datetime, *, silent: timedelta, waiting: timedelta, without: Collection[tuple[str, ...]] = ()) -> dict[str, int]:
        """How many hang: `silent` ones run with a lease that ended so long ago, and `waiting` ones have been free to run for so long.
        Those that need one of the sets of labels in `without` are not counted among these: they wait for a node."""
        silent_ones = {"slots": {"$exists": True}, "lease.expires_at": {"$lt": now - silent}, "status": Status.RUNNING.value}
        others = {"needs_key": {"$nin": [",".join(needs) for needs in without]}} if without else {}
        return {
            "silent": self._executions.count_documents(silent_ones),
            "waiting": self._executions.count_documents(
                {"queue_rank": {"$exists": True}, "available_at": {"$lt": now - waiting}, **others}
            ),
        }

    def waiting_by_needs(self, now: datetime, limit: int) -> list[UnplacedRuns]:
        """Which executions that need labels wait although their time has come, by job and labels: how many, and since when, the longest
        first."""
        waiting = {"needs_key": {"$gt": ""}, "queue_rank": {"$gte": LONG_AGO}, "available_at": {"$lte": now}}
        of = {"job": "$job_id", "needs": "$needs_key"}
        rows = self._executions.aggregate(
            [
                {"$match": waiting},
                {"$group": {"_id": of, "since": {"$min": "$available_at"}, "count": {"$sum": 1}, "first": {"$first": "$$ROOT"}}},
                {"$project": {"since": 1, "count": 1, "job_name": "$first.job_name", "group": "$first.group", "execution": "$first._id"}},
                {"$sort": {"since": 1}},
                {"$limit": limit},
            ]
        )
        return [
            UnplacedRuns(
                job_id=row["_id"]["job"],
                job_name=str(row.get("job_name") or ""),
                group=str(row.get("group") or ""),
                execution_id=row["execution"],
                needs=tuple(row["_id"]["needs"].split(",")),
                since=row["since"],
                count=row["count"],
            )
            for row in rows
        ]


def _summed(seconds: Any) -> float:
    """A sum of durations by the database; 0 where a damaged record made it none."""
    return float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else 0.0


def _count(names: Sequence[str]) -> Any:
    """An expression for the first of these members of the result that is a count; null where none is."""
    value: Any = None
    for name in reversed(names):
        member = f"$result.{name}"
        value = {"$cond": [{"$and": [{"$isNumber": member}, {"$gte": [member, 0]}]}, member, value]}
    return value


# As `ItemCounts.of_result` does: the counts that a result gives, and all of them by those.
_GIVEN_COUNTS = {f"given.{what}": _count(names) for what, names in MEMBERS.items()}
_FAILED = {"$ifNull": ["$given.failed", 0]}
_PROCESSED = {"$ifNull": ["$given.processed", {"$add": [{"$ifNull": ["$given.succeeded", 0]}, _FAILED]}]}
_ALL_COUNTS = {
    "items.counting": {"$cond": [{"$eq": [{"$ifNull": [*(f"$given.{what}" for what in MEMBERS), None]}, None]}, 0, 1]},
    "items.processed": _PROCESSED,
    "items.succeeded": {"$ifNull": ["$given.succeeded", {"$max": [0, {"$subtract": [_PROCESSED, _FAILED]}]}]},
    "items.failed": _FAILED,
}
_ITEM_SUMS = {name: {"$sum": f"$items.{name}"} for name in ("counting", *MEMBERS)}

"""The record of what ran, in the `job_executions` collection: read, and forgotten when it is old."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.execution.filters import MOST_SEARCHED, ExecutionFilter, in_groups
from app.mongo import ANY_DATE, Document, Records, is_only_duplicates
from app.queue.execution import Execution, Outline
from app.queue.items import ITEM_FIELDS
from app.queue.model import FAILURES, RAN, Status, Trigger
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION, ENDED_VALUES, LIVE_VALUES

QUERY_TIME_MS = 5_000
# What an Outline is read from: for strips of marks, for lists beside a job.
MARK = dict.fromkeys(("status", "reason", "queued_at", "duration_seconds"), 1)
BRIEF = {**MARK, **dict.fromkeys(("started_at", "completed_at", *ITEM_FIELDS), 1)}
NAMED = {**BRIEF, **dict.fromkeys(("job_id", "job_name"), 1)}
DECIDED = {**NAMED, "error.message": 1, "error.said": 1}
DECIDED_VALUES = sorted({Status.SUCCESS, *FAILURES})
FAILURE_VALUES, RAN_VALUES = sorted(FAILURES), sorted(RAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSuccess:
    """The newest success of a job, for dynamic values that refer to the run before."""

    id: str
    result: Any
    completed_at: datetime


class HistoryStore:
    """Reads executions, each time from an index and bounded in time."""

    def __init__(self, database: Database[Document]) -> None:
        self._database, self._executions = database, Records(database, COLLECTION, EXECUTION)

    # -- lists ----------------------------------------------------------------------------------------------------

    def page(
        self, query: ExecutionFilter, *, groups: Collection[str] | None = None, skip: int = 0, limit: int = 50, most: int = 0
    ) -> tuple[list[Execution], int]:
        """The executions of jobs of `groups` (None: of all), newest first, with how many there are in all. With `most`, no more than so
        many are counted."""
        where = {**query.where(), **in_groups(groups)}
        if query.search:
            return self._searched(query, where, skip=skip, limit=limit)
        rows = self._executions.find(where, max_time_ms=QUERY_TIME_MS, **query.hint).sort("queued_at", -1).skip(skip).limit(limit)
        bounds: dict[str, Any] = {**({"limit": most} if most else {}), **query.hint}
        total = (
            self._executions.count_documents(where, maxTimeMS=QUERY_TIME_MS, **bounds)
            if where
            else self._executions.estimated_document_count()
        )
        return [Execution.from_row(row) for row in rows], total

    def _searched(self, query: ExecutionFilter, where: Document, *, skip: int, limit: int) -> tuple[list[Execution], int]:
        """The same for a search, in the newest MOST_SEARCHED executions that pass the other filters."""
        stages: list[Document] = [
            {"$match": where},
            {"$sort": {"queued_at": -1}},
            {"$limit": MOST_SEARCHED},
            {"$match": query.found()},
            {"$project": {"_id": 1}},
        ]
        ids = [row["_id"] for row in self._executions.aggregate(stages, maxTimeMS=QUERY_TIME_MS, **query.hint)]
        chosen = ids[skip : skip + limit]
        by_id = {row["_id"]: row for row in self._executions.find({"_id": {"$in": chosen}}, max_time_ms=QUERY_TIME_MS)}
        return [Execution.from_row(by_id[execution_id]) for execution_id in chosen if execution_id in by_id], len(ids)

    def latest(self, job_id: str, limit: int) -> list[Outline]:
        """The newest executions of a job, in brief."""
        return _outlines(self._executions.find({"job_id": job_id}, BRIEF).sort("queued_at", -1).limit(limit))

    def latest_of(self, job_ids: Sequence[str], limit: int) -> dict[str, list[Outline]]:
        """The newest of many jobs in one trip, as marks: each job's are read from its own place in the index."""
        if not job_ids:
            return {}
        stages_of_each: list[Document] = [{"$sort": {"queued_at": -1}}, {"$limit": limit}, {"$project": MARK}]
        join = {"from": COLLECTION, "localField": "id", "foreignField": "job_id", "pipeline": stages_of_each, "as": "rows"}
        stages: list[Document] = [{"$documents": [{"id": job_id} for job_id in job_ids]}, {"$lookup": join}]
        rows = self._database.aggregate(stages, maxTimeMS=QUERY_TIME_MS)
        return {row["id"]: _outlines(self._executions.readable(of, MARK) for of in row["rows"]) for row in rows}

    def last_decided(self, job_ids: Sequence[str]) -> dict[str, Outline]:
        """The newest execution of each of these jobs that succeeded or failed, with its error; previews do not count."""
        if not job_ids:
            return {}
        decided: Document = {"status": {"$in": DECIDED_VALUES}, "completed_at": ANY_DATE, "dry": {"$ne": True}}
        stages_of_each: list[Document] = [{"$match": decided}, {"$sort": {"queued_at": -1}}, {"$limit": 1}, {"$project": DECIDED}]
        join = {"from": COLLECTION, "localField": "id", "foreignField": "job_id", "pipeline": stages_of_each, "as": "rows"}
        stages: list[Document] = [
            {"$documents": [{"id": job_id} for job_id in job_ids]},
            {"$lookup": join},
            {"$match": {"rows": {"$ne": []}}},
        ]
        rows = self._database.aggregate(stages, maxTimeMS=QUERY_TIME_MS)
        return {row["id"]: Outline.from_row(self._executions.readable(row["rows"][0], DECIDED)) for row in rows}

    def named(self, ids: Sequence[str]) -> list[Outline]:
        """These executions in brief, with their jobs."""
        return _outlines(self._executions.find({"_id": {"$in": list(ids)}}, NAMED))

    def running_on(self, owners: Collection[str], limit: int) -> list[tuple[str, Outline]]:
        """Returns what runs under a lease of these nodes, each with the name of its node, the longest running first."""
        held = {"slots": {"$exists": True}, "lease.owner": {"$in": list(owners)}, "status": Status.RUNNING.value}
        fields = {**dict.fromkeys(("job_id", "job_name", "status", "started_at"), 1), "lease": 1}
        rows = self._executions.find(held, fields, hint="slots").sort("started_at", 1).limit(limit)
        return [(row["lease"].get("owner", ""), Outline.from_row(row)) for row in rows]

    def caused_by(self, execution_id: str, limit: int) -> list[Outline]:
        """The executions that its end began, in brief, with their jobs."""
        return _outlines(self._executions.find({"caused_by": execution_id}, NAMED).limit(limit))

    # -- around one execution -------------------------------------------------------------------------------------

    def neighbour(self, execution: Execution, *, earlier: bool) -> str | None:
        """The id of the execution of the same job that was queued next before it, or next after it."""
        beyond = {"$lt": execution.queued_at} if earlier else {"$gt": execution.queued_at}
        where = {"job_id": execution.job_id, "queued_at": beyond}
        row = self._executions.find_one(where, {"_id": 1}, sort=[("queued_at", -1 if earlier else 1)])
        return row["_id"] if row else None

    def success_before(self, execution: Execution) -> Execution | None:
        """The last success of the same job that was queued before it."""
        where = {"job_id": execution.job_id, "queued_at": {"$lt": execution.queued_at}, "status": Status.SUCCESS.value}
        row = self._executions.find_one(where, sort=[("queued_at", -1)], max_time_ms=QUERY_TIME_MS)
        return Execution.from_row(row) if row else None

    # -- of one job or template -----------------------------------------------------------------------------------

    def last_success(self, job_id: str) -> LastSuccess | None:
        """The newest success of a job."""
        fields = {"result": 1, "completed_at": 1}
        row = self._executions.find_one({"job_id": job_id, "status": Status.SUCCESS.value}, fields, sort=[("queued_at", -1)])
        return LastSuccess(id=row["_id"], result=row["result"], completed_at=row["completed_at"]) if row else None

    def failures_in_a_row(self, job_id: str, since: datetime, limit: int) -> int:
        """How many of the newest executions that were queued after `since` and ran to an end failed, up to `limit`."""
        ran = {"job_id": job_id, "status": {"$in": RAN_VALUES}, "queued_at": {"$gt": since}}
        rows = self._executions.find(ran, {"status": 1}).sort("queued_at", -1).limit(limit)
        return sum(1 for _ in takewhile(lambda row: row["status"] in FAILURES, rows))

    def latest_durations(self, template: str, limit: int) -> list[float]:
        """How many seconds the latest successful runs of a template took."""
        where = {"template_type": template, "status": Status.SUCCESS.value}
        rows = self._executions.find(where, {"duration_seconds": 1}).sort("completed_at", -1).limit(limit)
        return [row["duration_seconds"] for row in rows if row["duration_seconds"] is not None]

    def made_up_for(self, job_id: str, begin: datetime, end: datetime) -> set[datetime]:
        """Due times of [begin, end) that have a run which succeeded or is still to end."""
        wanted = [Status.SUCCESS.value, *LIVE_VALUES]
        within = {"$gte": begin, "$lt": end}
        due = self._executions.find({"job_id": job_id, "scheduled_for": within, "status": {"$in": wanted}}, {"scheduled_for": 1})
        again = {"job_id": job_id, "triggered_by": Trigger.BACKFILL.value, "stands_for": within, "status": {"$in": wanted}}
        return {row["scheduled_for"] for row in due} | {row["stands_for"] for row in self._executions.find(again, {"stands_for": 1})}

    # -- the past of sample data -----------------------------------------------------------------------------------

    def add_past(self, documents: Sequence[Document]) -> None:
        """Writes executions that have ended and owe nothing. One whose due time is there already is left as it is."""
        try:
            self._executions.insert_many(list(documents), ordered=False)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise

    # -- forgetting -----------------------------------------------------------------------------------------------

    def forgettable(
        self, *, before: datetime, status: Status | None = None, job_id: str | None = None, spare_jobs: Sequence[str] = (), limit: int
    ) -> list[str]:
        """Ids of ended executions that were queued before `before`, oldest first, of one status or of one job; none that still owe
        something."""
        if job_id is not None and job_id in spare_jobs:
            return []
        where: Document = {
            "status": status.value if status else {"$in": ENDED_VALUES},
            "completed_at": ANY_DATE,
            "queued_at": {"$lt": before},
            "job_id": {"$nin": list(spare_jobs)} if job_id is None else job_id,
            "owed.at": {"$not": ANY_DATE},
        }
        rows = self._executions.find(where, {"_id": 1}).sort("queued_at", 1).limit(limit)
        return [row["_id"] for row in rows]

    def crowded(self, most: int) -> Iterator[tuple[str, datetime]]:
        """Jobs with more than `most` executions, each with the time of the last one that may stay."""
        for job_id in self._executions.distinct("job_id"):
            newest = self._executions.find({"job_id": job_id}, {"queued_at": 1}).sort("queued_at", -1).skip(most - 1).limit(2)
            rows = list(newest)
            if len(rows) == 2:
                yield job_id, rows[0]["queued_at"]

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these, if they have ended and owe nothing."""
        self._executions.delete_many({"_id": {"$in": list(ids)}, "status": {"$in": ENDED_VALUES}, "owed.at": {"$not": ANY_DATE}})


def _outlines(rows: Any) -> list[Outline]:
    return [Outline.from_row(row) for row in rows]

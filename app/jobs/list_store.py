"""The `dynamic_jobs` collection, as lists, facets and calendars read it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from pymongo.database import Database

from app.jobs import shape
from app.jobs.filters import EVERY_JOB, SORTS, JobFilter, in_groups, matching
from app.jobs.job_store import open_jobs
from app.jobs.model import Job, Misfire, job_from
from app.jobs.records import JobRef, SharedSchedule
from app.mongo import ANY_DATE, QUERY_TIME_MS, Document
from app.shapes import DAMAGED, make_readable
from app.triggers import COMMON_FIELDS, FIELDS, TRIGGERS, trigger_from
from app.validation.names import spellings

MOST_NAMED = 60  # of the jobs that share a schedule
MOST_FOUND = 1_000  # jobs of a text search whose ids are read at once, for the page and its total
_TRIGGER_FIELDS = ("type", *FIELDS, *COMMON_FIELDS)


class ListStore:
    """Pages and lists of the jobs in the registry. `groups` narrows each of them to jobs of these groups; None means all jobs."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = open_jobs(database)

    def page(
        self,
        query: JobFilter,
        *,
        sort: str,
        skip: int,
        limit: int,
        now: datetime,
        missing: Sequence[tuple[str, int]] = (),
    ) -> tuple[list[Job], int]:
        """Returns one page of the list, and the number of jobs in all its pages. `sort` is a key of SORTS; `missing` are the templates and
        versions that are not installed, whose jobs are broken."""
        where = matching(query, missing, now)
        if sort == "next_run_at":
            return self._by_next_run(where, skip, limit)
        by_name = sort.removeprefix("-") == "name"
        # A list of all jobs is read from one index. The hint spares the planner its trials, which are slow for a page far behind.
        whole = by_name and replace(query, search="") == EVERY_JOB
        hint: Document = {"hint": "searched" if query.search else "by_name"} if whole else {}
        order = [SORTS[sort]] if by_name else [SORTS[sort], ("_id", 1)]  # names are unique
        if query.search:  # a search reads all jobs, so it does so once, for the page and for the total
            rows = self._jobs.find(where, {"_id": 1}, max_time_ms=QUERY_TIME_MS, batch_size=MOST_FOUND, **hint)
            first_ids = [row["_id"] for row in rows.sort(order).limit(MOST_FOUND)]
            if len(first_ids) < MOST_FOUND:
                ids = first_ids[skip : skip + limit]
                by_id = {row["_id"]: row for row in self._jobs.find({"_id": {"$in": ids}, "retired": False})}
                return [job_from(by_id[job_id]) for job_id in ids if job_id in by_id], len(first_ids)
        total = self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS, **hint)
        rows = self._jobs.find(where, max_time_ms=QUERY_TIME_MS, **hint).sort(order).skip(skip).limit(limit)
        return [job_from(row) for row in rows], total

    def _by_next_run(self, where: Document, skip: int, limit: int) -> tuple[list[Job], int]:
        """Jobs with a due time come first, the next one first; the others follow by name."""
        due = {"enabled": True, "next_run_at": ANY_DATE}
        total = self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS)
        rows = list(self._jobs.find({"$and": [where, due]}, max_time_ms=QUERY_TIME_MS).sort("next_run_at", 1).skip(skip).limit(limit))
        if len(rows) < limit and skip + len(rows) < total:
            before = max(0, skip - self._jobs.count_documents({"$and": [where, due]}, maxTimeMS=QUERY_TIME_MS))
            others = self._jobs.find({"$and": [where, {"$nor": [due]}]}, max_time_ms=QUERY_TIME_MS).sort("name", 1)
            rows += list(others.skip(before).limit(limit - len(rows)))
        return [job_from(row) for row in rows], total

    def ever_named(self, name: str) -> bool:
        """Returns whether any job has this name, also a deleted one."""
        return self._jobs.find_one({"name": {"$in": spellings(name)}}, {"_id": 1}, max_time_ms=QUERY_TIME_MS) is not None

    def due_between(self, begin: datetime, end: datetime, limit: int, *, groups: Collection[str] | None = None) -> list[Job]:
        """Returns enabled jobs that are due from `begin` on and before `end`, the next one first."""
        where = {
            "enabled": True,
            "next_run_at": {**ANY_DATE, "$gte": begin, "$lt": end},
            "retired": False,
            "paused": None,
            "shadow": None,
            **in_groups(groups),
        }
        rows = self._jobs.find(where, max_time_ms=QUERY_TIME_MS).sort("next_run_at", 1).limit(limit)
        return [job_from(row) for row in rows if DAMAGED not in row]

    def enabled(self, limit: int) -> list[Job]:
        """Returns at most `limit` jobs that are switched on, by name, without those that cannot be read."""
        rows = self._jobs.find({"retired": False, "enabled": True}, max_time_ms=QUERY_TIME_MS).sort("name", 1).limit(limit)
        return [job_from(row) for row in rows if DAMAGED not in row]

    def shared_schedules(self, *, groups: Collection[str] | None = None, ids: Collection[str] | None = None) -> list[SharedSchedule]:
        """Returns the schedules of all enabled jobs that have due times and are not paused, or of the jobs `ids` (at most MOST_NAMED)."""
        where = {
            "retired": False,
            "enabled": True,
            "paused": None,
            "shadow": None,
            "schedule_error": None,
            "schedule.type": {"$nin": [each.type for each in TRIGGERS.values() if not each.is_timed]},
            **in_groups(groups),
            **({} if ids is None else {"_id": {"$in": list(ids)}}),
        }
        in_phase = [each.type for each in TRIGGERS.values() if each.counts_from_first_due]
        phase = {"$cond": [{"$in": ["$schedule.type", in_phase]}, "$next_run_at", None]}
        first = {"$firstN": {"n": MOST_NAMED, "input": {"id": "$_id", "name": "$name"}}}
        group = {"_id": {**{part: f"$schedule.{part}" for part in _TRIGGER_FIELDS}, "phase": phase}, "jobs": {"$sum": 1}, "first": first}
        rows = self._jobs.aggregate([{"$match": where}, {"$group": group}], maxTimeMS=QUERY_TIME_MS)
        return [shared for row in rows if (shared := _shared_schedule(row)) is not None]

    def names(self, *, groups: Collection[str] | None = None, limit: int) -> list[str]:
        """Returns the first `limit` names, sorted."""
        rows = self._jobs.find({"retired": False, **in_groups(groups)}, {"name": 1}).sort("name", 1).limit(limit)
        return [row["name"] for row in rows]

    def groups(self) -> list[str]:
        """Returns every group that a job is in, sorted."""
        return sorted(filter(None, self._jobs.distinct("group", {"retired": False})))

    def tags(self, *, groups: Collection[str] | None = None) -> list[str]:
        """Returns every tag that a job has, sorted."""
        return sorted(self._jobs.distinct("tags", {"retired": False, **in_groups(groups)}))

    def owners(self, *, groups: Collection[str] | None = None) -> list[str]:
        """Returns the e-mail addresses of everybody who has made a job that is in the registry, sorted."""
        return sorted(self._jobs.distinct("created_by", {"retired": False, **in_groups(groups)}))

    def of_these_in(self, ids: Collection[str], groups: Collection[str]) -> set[str]:
        """Returns those of these jobs that are of some groups, deleted ones too: their history belongs to the group."""
        return {row["_id"] for row in self._jobs.find({"_id": {"$in": list(ids)}, **in_groups(groups)}, {"_id": 1})}

    def deleted(self, job_id: str) -> Job | None:
        """Returns a deleted job as it was when it was deleted; None if it is not deleted, or cannot be read."""
        row = self._jobs.find_one({"_id": job_id, "retired": True})
        return None if row is None or DAMAGED in row else job_from(row)

    def group_of(self, job_id: str) -> str | None:
        """Returns the group of a job, which may be deleted; None if there never was such a job."""
        row = self._jobs.find_one({"_id": job_id}, {"group": 1})
        return row.get("group", "") if row else None

    def graces(self, ids: Collection[str]) -> dict[str, float]:
        """Returns how many seconds late the runs of these jobs may start, by the id of the job."""
        rows = self._jobs.find({"_id": {"$in": list(ids)}}, {"misfire": 1})
        return {row["_id"]: float((row.get("misfire") or {}).get("grace_seconds", Misfire().grace_seconds)) for row in rows}

    def last_ended(self, statuses: Sequence[str], limit: int, *, groups: Collection[str] | None = None) -> tuple[list[JobRef], int]:
        """Returns the jobs whose last run ended with one of `statuses`, the newest run first, and the number of all of them."""
        where = {"retired": False, "last_status": {"$in": list(statuses)}, **in_groups(groups)}
        fields = {"name": 1, "group": 1, "last_status": 1}
        rows = self._jobs.find(where, fields, max_time_ms=QUERY_TIME_MS, hint="by_last_status").sort("last_run_at", -1).limit(limit)
        jobs = [JobRef(row["_id"], row["name"], row.get("group", ""), row.get("last_status")) for row in rows]
        if len(jobs) < limit:
            return jobs, len(jobs)
        return jobs, self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS, hint="by_last_status")


def _shared_schedule(row: Document) -> SharedSchedule | None:
    """Returns None for a schedule that cannot be read."""
    key = {name: value for name, value in row["_id"].items() if value is not None}
    phase = key.pop("phase", None)
    if DAMAGED in make_readable({"schedule": key}, shape.SCHEDULED) or not isinstance(phase, datetime | None):
        return None
    first = tuple((job["id"], job["name"]) for job in row["first"] if isinstance(job.get("id"), str) and isinstance(job.get("name"), str))
    return SharedSchedule(trigger_from(key), phase, row["jobs"], first)

"""The `dynamic_jobs` and `job_revisions` collections."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName, LimitReached
from app.jobs import shape
from app.jobs.filters import EVERY_JOB, JobFilter, in_groups, matching, searched
from app.jobs.model import Cause, Job, Pause, Schedule, job_document, job_from, schedule_from, to_plain
from app.mongo import ANY_DATE, Document, Records, by_id, portions
from app.shapes import DAMAGED, mended
from app.validation.names import spellings
from templates_lib.messages import say

SORTS = {
    "name": ("name", 1),
    "-name": ("name", -1),
    "created_at": ("created_at", 1),
    "-created_at": ("created_at", -1),
    "updated_at": ("updated_at", 1),
    "-updated_at": ("updated_at", -1),
    "next_run_at": ("next_run_at", 1),
    "-next_run_at": ("next_run_at", -1),
    "last_run_at": ("last_run_at", 1),
    "-last_run_at": ("last_run_at", -1),
}
QUERY_TIME_MS = 5_000
NAMED_OF_A_PLAN = 60
MOST_FOUND = 1_000  # by a search, of which the first ids are held at once
_BY_VERSION: Document = {"maxTimeMS": QUERY_TIME_MS, "hint": "by_version"}  # holds all that counts of templates ask for
# A race for the last free seats is lost at most so often before the registry counts as full.
SEAT_TRIES = 50
COMMAND_BYTES = 8_000_000  # of one command, which may have 48 MB; what is larger is a portion of its own
_OF_RUNS = {"_id", "last_run_at", "last_status"}
_WRITTEN_BY_ENGINE = {*_OF_RUNS, "next_run_at", "paused"}
# An outbox with this time waits for no scheduler to come back.
NOBODY_AT_WORK = datetime(1970, 1, 1, tzinfo=UTC)


class SameRequest(Exception):
    """The job that this very request made is there already; carries it."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


@dataclass(frozen=True, slots=True)
class JobRef:
    """What others need to know of a job to speak of it."""

    id: str
    name: str
    group: str
    last_status: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A change of who runs after whom that is about to be written (app.jobs.graph): the job that will run after `depends_on`, or that
    `leaves` the registry."""

    token: str
    job_id: str
    depends_on: tuple[str, ...] = ()
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule, how many jobs have it, and (id, name) of the first NAMED_OF_A_PLAN of them. `phase` is the next due time of an interval's
    jobs."""

    schedule: Schedule
    phase: datetime | None
    jobs: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run of a job that has begun, and how it ended; None while it is to be tried again."""

    job_id: str
    began_at: datetime
    status: str | None


@dataclass(frozen=True, slots=True)
class Advance:
    """One job's step of the dispatcher: from which version and due time, to which, and the executions that it owes."""

    job_id: str
    version: int
    due: datetime
    next_run_at: datetime | None
    executions: list[Document]
    ends_pause: bool = False
    pause: Pause | None = None  # the one that begins


def stored(job: Job) -> Document:
    """A job as the registry keeps it: with `search`, its name, description and tags without regard to case, in which a list looks for a
    text: so it reads an index and no jobs."""
    definition = job.definition
    return {**job_document(job), "search": searched("\n".join((definition.name, definition.description, *definition.tags)))}


class JobStore:
    """Jobs, and the compare-and-sets that their changes are."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = Records(database, "dynamic_jobs", shape.JOB)
        self._revisions = Records(database, "job_revisions", shape.REVISION)

    # -- the registry ---------------------------------------------------------------------------------------------

    def add(self, job: Job, *, max_jobs: int, max_per_creator: int) -> None:
        """Put a new job on a free seat.

        Raises DuplicateName, LimitReached, or SameRequest where its id is taken. However many race, no more jobs than
        `max_jobs`, and no more of one creator than `max_per_creator`, ever sit: a seat is a unique number.
        """
        for seats in self._seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                self._jobs.insert_one({**stored(job), **seats})
            except DuplicateKeyError as error:
                if _taken(error, job) == "_id" and (existing := self.get(job.id)) is not None:
                    raise SameRequest(existing) from error
            else:
                return

    def discard(self, job: Job) -> None:
        """Remove a job that was just added, unless somebody has changed it since."""
        self._jobs.delete_one({"_id": job.id, "version": job.version, "retired": False})

    def refuse_full(self, job: Job, *, max_jobs: int, max_per_creator: int) -> None:
        """Raises LimitReached where no seat is free for a job; SameRequest where the job has one."""
        try:
            next(self._seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator))
        except LimitReached:
            if (existing := self.get(job.id)) is not None:
                raise SameRequest(existing) from None
            raise

    def bring_back(self, job: Job, after: Job, *, max_jobs: int, max_per_creator: int, reserved: str | None = None) -> bool:
        """Put a retired job back on a free seat, as `after`; False where it has changed, or where the reservation `reserved` was removed.
        Raises as `add`."""
        changed = {key: value for key, value in stored(after).items() if key not in _OF_RUNS}
        where: Document = {"_id": job.id, "retired": True, "version": job.version}
        if reserved is not None:
            where["reserved.token"] = reserved
        for seats in self._seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                change = {"$set": {**changed, **seats}, "$unset": {"was_enabled": "", "reserved": ""}}
                return self._jobs.update_one(where, change).matched_count == 1
            except DuplicateKeyError as error:
                _taken(error, job)
        return False

    def get_retired(self, job_id: str) -> Job | None:
        """A job that was deleted, switched on or off as it was."""
        row = self._jobs.find_one({"_id": job_id, "retired": True})
        return job_from({**row, "enabled": row.get("was_enabled", False)}) if row else None

    def _seats(self, job: Job, *, max_jobs: int, max_per_creator: int) -> Iterator[Document]:
        """Seats that were free a moment ago, one after the other until whoever iterates has one. Raises LimitReached."""
        for _ in range(SEAT_TRIES):
            seat = _lowest_free(self._jobs.distinct("seat", {"seat": {"$exists": True}}), max_jobs)
            if seat is None:
                raise LimitReached(say("The registry is full: {most} jobs (JOBWRIGHT_MAX_JOBS)", most=max_jobs))
            mine = self._jobs.distinct("creator_seat", {"created_by": job.created_by, "creator_seat": {"$exists": True}})
            own = _lowest_free([int(text.rpartition("#")[2]) for text in mine], max_per_creator)
            if own is None:
                raise LimitReached(
                    say(
                        "{created_by} has made {most} jobs (MAX_SCHEDULES_PER_CREATOR)",
                        created_by=job.created_by,
                        most=max_per_creator,
                    )
                )
            yield {"seat": seat, "creator_seat": f"{job.created_by}#{own}"}
        raise LimitReached("Too many jobs are being made at once; try again", retry_after_seconds=1)

    def get(self, job_id: str) -> Job | None:
        row = self._jobs.find_one({"_id": job_id, "retired": False})
        return job_from(row) if row else None

    def name_taken(self, name: str, *, by_other_than: str | None) -> bool:
        where = {"name": {"$in": spellings(name)}, "retired": False, "_id": {"$ne": by_other_than}}
        return self._jobs.find_one(where, {"_id": 1}) is not None

    def page(
        self, query: JobFilter, *, sort: str, skip: int, limit: int, now: datetime, gone: Sequence[tuple[str, int]] = ()
    ) -> tuple[list[Job], int]:
        """One page of the list, and how many there are in all; `gone` are the templates and versions whose jobs are broken."""
        where = matching(query, gone, now)
        if sort == "next_run_at":
            return self._by_next_run(where, skip, limit)
        # All of them are read off one index, which is told: a page far behind would have the planner try all others first.
        whole = sort.removeprefix("-") == "name" and replace(query, search="") == EVERY_JOB
        by_name: Document = {"hint": "searched" if query.search else "by_name"} if whole else {}
        order = [SORTS[sort]] if sort.removeprefix("-") == "name" else [SORTS[sort], ("_id", 1)]  # names are unique
        if query.search:  # which reads them all: once for the page and its number
            rows = self._jobs.find(where, {"_id": 1}, max_time_ms=QUERY_TIME_MS, batch_size=MOST_FOUND, **by_name)
            found = [row["_id"] for row in rows.sort(order).limit(MOST_FOUND)]
            if len(found) < MOST_FOUND:
                ids = found[skip : skip + limit]
                there = {row["_id"]: row for row in self._jobs.find({"_id": {"$in": ids}, "retired": False})}
                return [job_from(there[one]) for one in ids if one in there], len(found)
        total = self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS, **by_name)
        rows = self._jobs.find(where, max_time_ms=QUERY_TIME_MS, **by_name).sort(order).skip(skip).limit(limit)
        return [job_from(row) for row in rows], total

    def _by_next_run(self, where: Document, skip: int, limit: int) -> tuple[list[Job], int]:
        """What is due, the next first, and after that by name what is not."""
        due = {"enabled": True, "next_run_at": ANY_DATE}
        total = self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS)
        rows = list(self._jobs.find({"$and": [where, due]}, max_time_ms=QUERY_TIME_MS).sort("next_run_at", 1).skip(skip).limit(limit))
        if len(rows) < limit and skip + len(rows) < total:
            before = max(0, skip - self._jobs.count_documents({"$and": [where, due]}, maxTimeMS=QUERY_TIME_MS))
            others = self._jobs.find({"$and": [where, {"$nor": [due]}]}, max_time_ms=QUERY_TIME_MS).sort("name", 1)
            rows += list(others.skip(before).limit(limit - len(rows)))
        return [job_from(row) for row in rows], total

    def names(self, *, groups: Collection[str] | None = None, limit: int) -> list[str]:
        """The first names of the jobs in the registry, or of those of some groups, sorted."""
        rows = self._jobs.find({"retired": False, **in_groups(groups)}, {"name": 1}).sort("name", 1).limit(limit)
        return [row["name"] for row in rows]

    def groups(self) -> list[str]:
        """Every group that a job is in, sorted."""
        return sorted(filter(None, self._jobs.distinct("group", {"retired": False})))

    def tags(self, *, groups: Collection[str] | None = None) -> list[str]:
        """Every tag that a job has, all or of some groups, sorted."""
        return sorted(self._jobs.distinct("tags", {"retired": False, **in_groups(groups)}))

    def counts_by_owner(self, owners: Sequence[str]) -> dict[str, int]:
        """How many jobs each of these has made that are in the registry."""
        stages: list[Document] = [
            {"$match": {"retired": False, "created_by": {"$in": list(owners)}}},
            {"$group": {"_id": "$created_by", "n": {"$sum": 1}}},
        ]
        return {row["_id"]: row["n"] for row in self._jobs.aggregate(stages, maxTimeMS=QUERY_TIME_MS)}

    def owners(self, *, groups: Collection[str] | None = None) -> list[str]:
        """Whoever made a job that is there, sorted."""
        return sorted(self._jobs.distinct("created_by", {"retired": False, **in_groups(groups)}))

    def ids_in(self, groups: Collection[str]) -> list[str]:
        """Ids of the jobs of some groups, retired ones too: their history is theirs."""
        return [row["_id"] for row in self._jobs.find(in_groups(groups), {"_id": 1})]

    def retired(self, ids: Collection[str]) -> set[str]:
        """Which of these jobs have been deleted."""
        return {row["_id"] for row in self._jobs.find({"_id": {"$in": list(ids)}, "retired": True}, {"_id": 1})}

    def group_of(self, job_id: str) -> str | None:
        """The group of a job, retired or not; None where there never was such a job."""
        row = self._jobs.find_one({"_id": job_id}, {"group": 1})
        return row.get("group", "") if row else None

    def with_last_status(self, ids: Sequence[str], statuses: Sequence[str]) -> set[str]:
        """Which of these jobs of the registry have one of these as their last status."""
        where = {"_id": {"$in": list(ids)}, "retired": False, "last_status": {"$in": list(statuses)}}
        return {row["_id"] for row in self._jobs.find(where, {"_id": 1}, hint="_id_", batch_size=len(ids), max_time_ms=QUERY_TIME_MS)}

    def names_using(self, connection: str, pointers: Iterable[str]) -> list[str]:
        """Names of the jobs whose parameters hold `connection` at one of the dotted `pointers`."""
        where = {"retired": False, "$or": [{f"parameters.{path}": connection} for path in pointers]}
        return [row["name"] for row in self._jobs.find(where, {"name": 1})]

    def due_between(self, begin: datetime, end: datetime, limit: int, *, groups: Collection[str] | None = None) -> list[Job]:
        """Enabled jobs that are due from `begin` on and before `end`, the next first."""
        where = {
            "enabled": True,
            "next_run_at": {**ANY_DATE, "$gte": begin, "$lt": end},
            "retired": False,
            "paused": None,
            **in_groups(groups),
        }
        rows = self._jobs.find(where, max_time_ms=QUERY_TIME_MS).sort("next_run_at", 1).limit(limit)
        return [job_from(row) for row in rows if DAMAGED not in row]

    def planned(self, *, groups: Collection[str] | None = None, ids: Collection[str] | None = None) -> list[Planned]:
        """The schedules of all enabled jobs that are due by themselves and not paused, each with how many jobs have it; or of some jobs,
        NAMED_OF_A_PLAN at most."""
        where = {
            "retired": False,
            "enabled": True,
            "paused": None,
            "schedule_error": None,
            "schedule.type": {"$ne": "manual"},
            **in_groups(groups),
            **({} if ids is None else {"_id": {"$in": list(ids)}}),
        }
        parts = ("type", "expression", "interval_seconds", "run_at", "timezone", "start_at", "end_at")
        phase = {"$cond": [{"$eq": ["$schedule.type", "interval"]}, "$next_run_at", None]}
        first = {"$firstN": {"n": NAMED_OF_A_PLAN, "input": {"id": "$_id", "name": "$name"}}}
        group = {"_id": {**{part: f"$schedule.{part}" for part in parts}, "phase": phase}, "jobs": {"$sum": 1}, "first": first}
        rows = self._jobs.aggregate([{"$match": where}, {"$group": group}], maxTimeMS=QUERY_TIME_MS)
        return [one for row in rows if (one := _planned(row)) is not None]

    def enabled(self, limit: int) -> list[Job]:
        """Jobs that are switched on, by name, `limit` at most; one that cannot be read is left out."""
        rows = self._jobs.find({"retired": False, "enabled": True}, max_time_ms=QUERY_TIME_MS).sort("name", 1).limit(limit)
        return [job_from(row) for row in rows if DAMAGED not in row]

    def count_with_recipients(self) -> int:
        """How many jobs that are switched on mail an outcome to somebody."""
        somebody = [{f"notifications.{name}.0": {"$exists": True}} for name in ("on_success", "on_failure")]
        return self._jobs.count_documents({"retired": False, "enabled": True, "$or": somebody}, maxTimeMS=QUERY_TIME_MS)

    def count_of(self, kind: str, version: int | None = None) -> int:
        """How many jobs are of a template, or of one version of it."""
        where = {"template_type": kind, "retired": False, **({} if version is None else {"template_version": version})}
        return self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS)

    def versions_in_use(self) -> dict[tuple[str, int], int]:
        """Each template and version that a job is of, with how many are."""
        group = {"_id": {"kind": "$template_type", "version": "$template_version"}, "count": {"$sum": 1}}
        rows = self._jobs.aggregate([{"$match": {"retired": False}}, {"$group": group}], **_BY_VERSION)
        found = [(row["_id"].get("kind"), row["_id"].get("version"), row["count"]) for row in rows]
        return {(kind, version): count for kind, version, count in found if isinstance(kind, str) and isinstance(version, int)}

    def names_of(self, kind: str, version: int) -> list[str]:
        """Names of the jobs of one version of a template."""
        where = {"retired": False, "template_type": kind, "template_version": version}
        return [row["name"] for row in self._jobs.find(where, {"name": 1}).sort("name", 1)]

    def counts_by_version(self, kind: str) -> dict[int, int]:
        """How many jobs each version of a template has."""
        match = {"$match": {"template_type": kind, "retired": False}}
        rows = self._jobs.aggregate([match, {"$sortByCount": "$template_version"}], maxTimeMS=QUERY_TIME_MS)
        return {row["_id"]: row["count"] for row in rows if isinstance(row["_id"], int)}

    def of_template(self, kind: str) -> list[Job]:
        """All jobs of a template, by name."""
        return [job_from(row) for row in self._jobs.find({"template_type": kind, "retired": False}).sort("name", 1)]

    def revision(self, job_id: str, version: int) -> Job | None:
        """The job as it was at `version`, where that was kept."""
        row = self._revisions.find_one({"job_id": job_id, "version": version})
        return job_from({**row["definition"], "_id": job_id}) if row else None

    def revisions(self, job_id: str, *, before: int, limit: int) -> list[Job]:
        """The job as it was at versions below `before`, newest first."""
        rows = self._revisions.find({"job_id": job_id, "version": {"$lt": before}}).sort("version", -1).limit(limit)
        return [job_from({**row["definition"], "_id": job_id}) for row in rows]

    def zones_in_use(self) -> list[Any]:
        """The time zones of the jobs in the registry, whatever stands in their place."""
        return list(self._jobs.distinct("schedule.timezone", {"retired": False}))

    def templates_that_pause(self) -> list[str]:
        """Types of the templates that jobs wait for, which were switched off."""
        return list(self._jobs.distinct("paused.reason", {"paused.cause": Cause.TEMPLATE.value}))

    def kinds_in_use(self) -> list[str]:
        """Template types of the jobs that are switched on."""
        return sorted(self._jobs.distinct("template_type", {"retired": False, "enabled": True}))

    def update(self, before: Job, after: Job, *, reschedule: bool, owed: Sequence[Document] = (), reserved: str | None = None) -> bool:
        """Put `after` where the job is still as in `before`; False where someone was quicker, or where the reservation `reserved` was
        removed.

        `next_run_at` and `paused` are written, and the former must be as in `before`, only with `reschedule`: else the dispatcher
        may have moved them meanwhile.
        `owed` are executions that go into the outbox with it. The older definition is kept as a revision first. Raises DuplicateName.
        """
        self._revisions.update_one(
            {"job_id": before.id, "version": before.version},
            {"$setOnInsert": {"definition": job_document(before)}},
            upsert=True,
        )
        changed = {key: value for key, value in stored(after).items() if key not in _WRITTEN_BY_ENGINE}
        where: Document = {"_id": before.id, "version": before.version, "retired": False}
        if reschedule:
            changed |= {"next_run_at": after.next_run_at, "paused": to_plain(after.paused)}
            where["next_run_at"] = before.next_run_at
        change: Document = {"$set": changed}
        if reserved is not None:
            where["reserved.token"] = reserved
            change["$unset"] = {"reserved": ""}
        try:
            result = self._jobs.update_one(where, _with_owed(change, owed))
        except DuplicateKeyError as error:
            raise DuplicateName(after.definition.name) from error
        return result.matched_count == 1

    def retire(self, job: Job, *, by: str, at: datetime, reserved: str, owed: Sequence[Document] = ()) -> bool:
        """Take the job out of the registry; its history stays and its seat and name are free. `reserved` and `owed` as in `update`."""
        where = {"_id": job.id, "version": job.version, "retired": False, "next_run_at": job.next_run_at, "reserved.token": reserved}
        result = self._jobs.update_one(
            where,
            _with_owed(
                {
                    "$set": {
                        "retired": True,
                        "enabled": False,
                        "next_run_at": None,
                        "updated_by": by,
                        "updated_at": at,
                        "was_enabled": job.definition.enabled,
                    },
                    "$unset": {"seat": "", "creator_seat": "", "reserved": ""},
                    "$inc": {"version": 1},
                },
                owed,
            ),
        )
        return result.matched_count == 1

    # -- dependencies ---------------------------------------------------------------------------------------------

    def refs(self, words: Sequence[str]) -> list[JobRef]:
        """The jobs of the registry that have one of these ids, or are called so."""
        if not words:
            return []
        names = [one for word in words for one in spellings(word)]
        where = {"retired": False, "$or": [{"_id": {"$in": list(words)}}, {"name": {"$in": names}}]}
        rows = self._jobs.find(where, {"name": 1, "group": 1, "last_status": 1}, max_time_ms=QUERY_TIME_MS)
        return [JobRef(row["_id"], row["name"], row.get("group", ""), row.get("last_status")) for row in rows]

    def upstream_of(self, ids: Collection[str]) -> dict[str, dict[str, str | None]]:
        """The ids of the jobs that each of these runs after, with None; and of those that a reservation is to have it run after, with the
        reservation's token."""
        stored_ones: Document = {"retired": False, "depends_on.job": {"$exists": True}}
        where = {"_id": {"$in": list(ids)}, "$or": [stored_ones, {"reserved.depends_on": {"$exists": True}}]}
        found: dict[str, dict[str, str | None]] = {}
        for row in self._jobs.find(where, {"retired": 1, "depends_on.job": 1, "reserved": 1}):
            reserved = row.get("reserved", {})
            links: dict[str, str | None] = dict.fromkeys(reserved.get("depends_on", ()), reserved.get("token"))
            links |= {} if row["retired"] else dict.fromkeys(one["job"] for one in row.get("depends_on") or ())
            found[row["_id"]] = links
        return found

    def reserve(self, wanted: Reservation, *, version: int, at: datetime) -> bool:
        """Announce a change of a job, which may be retired; False where it is not at `version`. It takes the place of another one."""
        change: Document = {"leaves": True} if wanted.leaves else {"depends_on": list(wanted.depends_on)}
        row = {"token": wanted.token, "at": at, **change}
        where = {"_id": wanted.job_id, "version": version}
        return self._jobs.update_one(where, {"$set": {"reserved": row}}).matched_count == 1

    def release(self, job_id: str, token: str) -> None:
        """Remove a reservation: the change that it announces cannot be written any more."""
        self._jobs.update_one({"_id": job_id, "reserved.token": token}, {"$unset": {"reserved": ""}})

    def after(self, job_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Ids of the jobs that run after this one, and (job id, token) of reservations to do so."""
        mine = [row["_id"] for row in self._jobs.find({"depends_on.job": job_id, "retired": False}, {"_id": 1})]
        rows = self._jobs.find({"reserved.depends_on": job_id}, {"reserved.token": 1})
        return mine, [(row["_id"], row["reserved"]["token"]) for row in rows]

    def standing(self, ids: Collection[str]) -> dict[str, str | None]:
        """Which of these jobs are in the registry, each with the token of a reservation to leave it, or None."""
        rows = self._jobs.find({"_id": {"$in": list(ids)}, "retired": False}, {"reserved": 1})
        found = {row["_id"]: row.get("reserved", {}) for row in rows}
        return {one: reserved["token"] if reserved.get("leaves") else None for one, reserved in found.items()}

    def dependants(self, job_id: str, *, enabled: bool | None = None) -> list[Job]:
        """The jobs that run after this one, by name; all, or those that are switched on."""
        where = {"depends_on.job": job_id, "retired": False, **({} if enabled is None else {"enabled": enabled})}
        return [job_from(row) for row in self._jobs.find(where).sort("name", 1)]

    def kinds_after(self, ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """The jobs that run after one of these, switched on or not: by id, the template of each and its version."""
        where = {"depends_on.job": {"$in": list(ids)}, "retired": False}
        rows = self._jobs.find(where, {"template_type": 1, "template_version": 1})
        return {row["_id"]: (str(row.get("template_type", "")), int(row.get("template_version") or 0)) for row in rows}

    def followed(self, ids: Collection[str]) -> set[str]:
        """Which of these jobs others run after."""
        where = {"depends_on.job": {"$in": list(ids)}, "retired": False, "enabled": True}
        rows = self._jobs.find(where, {"_id": 0, "depends_on.job": 1})
        return {one["job"] for row in rows for one in row["depends_on"]} & set(ids)

    # -- the dispatcher -------------------------------------------------------------------------------------------

    def find_due(self, now: datetime, limit: int) -> list[Job]:
        """Enabled jobs whose due time has come, longest waiting first."""
        rows = self._jobs.find({"enabled": True, "next_run_at": {**ANY_DATE, "$lte": now}, "schedule_error": None}).sort("next_run_at", 1)
        return [job_from(row) for row in rows.limit(limit)]

    def next_due_at(self, after: datetime | None = None) -> datetime | None:
        """When the first job is due, of those that are not due at `after` yet; None where none is."""
        where = {"enabled": True, "next_run_at": ANY_DATE if after is None else {"$gt": after}, "schedule_error": None}
        row = self._jobs.find_one(where, {"next_run_at": 1}, sort=[("next_run_at", 1)])
        return row["next_run_at"] if row else None

    def advance(self, steps: Sequence[Advance], *, claim: str, at: datetime, settled: Sequence[tuple[str, str]]) -> set[str]:
        """Move each job to its next due time and write what it owes into its outbox, in one compare-and-set a job.

        `settled` are (job id, claim) pairs whose executions are written: their outboxes are emptied in this trip. Returns the ids of the
        jobs that this claim moved; another scheduler moved the others.
        """
        by_claim: dict[str, list[str]] = {}
        for job_id, old in settled:
            by_claim.setdefault(old, []).append(job_id)
        emptied = {"$unset": {"dispatch": ""}}
        operations = [UpdateMany({"_id": {"$in": ids}, "dispatch.claim": old}, emptied, hint="_id_") for old, ids in by_claim.items()]
        operations += [_advance(some, claim, at) for some in portions(steps, _size, most_bytes=COMMAND_BYTES)]
        if not operations:
            return set()
        matched = self._jobs.bulk_write(operations, ordered=True).matched_count
        ids = [step.job_id for step in steps]
        if matched == len(settled) + len(steps):
            return set(ids)
        return {row["_id"] for row in self._jobs.find({"_id": {"$in": ids}, "dispatch.claim": claim}, {"_id": 1})} if ids else set()

    def find_unsettled(self, before: datetime, limit: int) -> list[Document]:
        """Outboxes that were filled before `before` and not emptied: their scheduler died, or is about to come back."""
        rows = self._jobs.find({"dispatch.at": {"$lt": before}}, {"dispatch": 1}).limit(limit)
        return list(rows)

    def with_full_outbox(self) -> list[str]:
        """Ids of the jobs whose outbox holds executions that may still be written."""
        return [row["_id"] for row in self._jobs.find({"dispatch.at": {"$gte": NOBODY_AT_WORK}}, {"_id": 1})]

    def broken(self) -> dict[str, str]:
        """Names of the jobs whose schedule cannot be computed, with the reason."""
        rows = self._jobs.find({"retired": False, "schedule_error": {"$gt": ""}}, {"name": 1, "schedule_error": 1})
        return {row["name"]: row["schedule_error"] for row in rows}

    def settle(self, job_id: str, claim: str) -> None:
        """Empty one outbox, if it is still that claim's."""
        self._jobs.update_one({"_id": job_id, "dispatch.claim": claim}, {"$unset": {"dispatch": ""}})

    def look_again(self, cause: Cause, reason: str | None, now: datetime) -> int:
        """Have the dispatcher look at the jobs that `cause` (and, if given, `reason`) pauses, as if it had ended; returns how many."""
        paused = {"paused.cause": cause.value, **({} if reason is None else {"paused.reason": reason})}
        return self._jobs.update_many(paused, {"$set": {"next_run_at": now, "paused.until": now}}).modified_count

    def names_on(self, calendar: str, *, groups: Collection[str] | None = None) -> list[str]:
        """Names of the jobs, all or of some groups, that name the calendar."""
        rows = self._jobs.find({"retired": False, "schedule.calendars": calendar, **in_groups(groups)}, {"name": 1})
        return sorted(row["name"] for row in rows)

    def mark_broken(self, job: Job, reason: str) -> None:
        """A schedule that cannot be computed any more: the job is left alone and says why."""
        where = {"_id": job.id} if job.damaged else {"_id": job.id, "version": job.version}
        self._jobs.update_one(where, {"$set": {"schedule_error": reason}})

    def note_runs(self, runs: Iterable[Ended]) -> None:
        """`last_run_at` and `last_status` of each job, neither ever backwards."""
        newest: dict[str, Ended] = {}
        for run in sorted(runs, key=lambda run: run.began_at):
            newest[run.job_id] = run if run.status or run.job_id not in newest else replace(run, status=newest[run.job_id].status)
        if newest:
            self._jobs.bulk_write([_noted(run) for run in newest.values()], ordered=False)

    def seconds_late(self, now: datetime, tolerance: timedelta) -> float:
        """How late the longest-waiting due job is beyond `tolerance`, in seconds; 0 where none is."""
        row = self._jobs.find_one(
            {"enabled": True, "next_run_at": {**ANY_DATE, "$lte": now - tolerance}, "schedule_error": None},
            {"next_run_at": 1},
            sort=[("next_run_at", 1)],
        )
        return (now - row["next_run_at"]).total_seconds() if row else 0.0


def _noted(run: Ended) -> UpdateOne:
    later = {"last_run_at": run.began_at, **({"last_status": run.status} if run.status else {})}
    is_older = {"_id": run.job_id, "$or": [{"last_run_at": None}, {"last_run_at": {"$lte": run.began_at}}]}
    return UpdateOne(is_older, {"$set": later})


def _planned(row: Document) -> Planned | None:
    """None for a schedule that cannot be read."""
    key = {name: value for name, value in row["_id"].items() if value is not None}
    phase = key.pop("phase", None)
    if DAMAGED in mended({"schedule": key}, shape.SCHEDULED) or not isinstance(phase, datetime | None):
        return None
    first = tuple((one["id"], one["name"]) for one in row["first"] if isinstance(one.get("id"), str) and isinstance(one.get("name"), str))
    return Planned(schedule_from(key), phase, row["jobs"], first)


def _size(step: Advance) -> int:
    return len(bson.encode({"executions": step.executions}))


def _advance(steps: Sequence[Advance], claim: str, at: datetime) -> UpdateMany:
    """One update for many jobs, each by compare-and-set on its own version and due time: an update a job costs the server four times
    as much."""
    ids = [step.job_id for step in steps]
    changes = [
        {
            "next_run_at": step.next_run_at,
            "dispatch": {"claim": claim, "at": at, "executions": step.executions},
            **({"paused": to_plain(step.pause)} if step.ends_pause or step.pause else {}),
        }
        for step in steps
    ]
    unchanged = {"$eq": [{"version": "$version", "due": "$next_run_at"}, by_id(ids, [{"version": s.version, "due": s.due} for s in steps])]}
    return UpdateMany(
        {"_id": {"$in": ids}, "enabled": True, "dispatch": {"$exists": False}, "$expr": unchanged},
        [{"$replaceWith": {"$mergeObjects": ["$$ROOT", by_id(ids, changes)]}}],
        hint="_id_",
    )


def _with_owed(change: Document, owed: Sequence[Document]) -> Document:
    """`change` with executions added to the outbox, which is nobody's then: any scheduler writes it at its next look."""
    if not owed:
        return change
    outbox = {"dispatch.claim": secrets.token_hex(12), "dispatch.at": NOBODY_AT_WORK}
    return {**change, "$set": {**change["$set"], **outbox}, "$push": {"dispatch.executions": {"$each": list(owed)}}}


def _taken(error: DuplicateKeyError, job: Job) -> str:
    """Which key another job has: `_id`, or a seat. Raises DuplicateName where it is the name."""
    field = next(iter((error.details or {}).get("keyPattern", {"seat": 1})))
    if field == "name":
        raise DuplicateName(job.definition.name) from error
    return str(field)


def _lowest_free(taken: Iterable[int], limit: int) -> int | None:
    used = set(taken)
    return next((number for number in range(limit) if number not in used), None)

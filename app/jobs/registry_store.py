"""The `dynamic_jobs` and `job_revisions` collections, as the registry changes them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.errors import DuplicateName, LimitReached
from app.jobs import shape
from app.jobs.filters import search_text
from app.jobs.job_store import NOBODY_AT_WORK, open_jobs
from app.jobs.model import Job, job_document, job_from, to_plain
from app.jobs.rules import OutboxEntry
from app.mongo import Document, Records, is_only_duplicates
from app.validation.names import spellings
from templates_lib.messages import say

SEAT_TRIES = 50  # lost races for a free seat, after which the registry counts as full
_OF_RUNS = {"_id", "last_run_at", "last_status"}
_WRITTEN_BY_ENGINE = {*_OF_RUNS, "next_run_at", "paused"}


class SameRequest(Exception):
    """The registry already holds the job that this request would make; `job` is that job."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


def stored(job: Job) -> Document:
    """Returns a job as the registry keeps it: its document with `search`, the case-folded name, description and tags, so that a text
    search is answered from an index without reading jobs."""
    definition = job.definition
    return {**job_document(job), "search": search_text("\n".join((definition.name, definition.description, *definition.tags)))}


class RegistryStore:
    """Jobs and their earlier versions. Each change is one compare-and-set on the job's version."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = open_jobs(database)
        self._revisions = Records(database, "job_revisions", shape.REVISION)

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job | None:
        row = self._jobs.find_one({"_id": job_id, "retired": False})
        return job_from(row) if row else None

    def get_retired(self, job_id: str) -> Job | None:
        """Returns a deleted job, switched on or off as it was before it was deleted."""
        row = self._jobs.find_one({"_id": job_id, "retired": True})
        return job_from({**row, "enabled": row.get("was_enabled", False)}) if row else None

    def name_taken(self, name: str, *, by_other_than: str | None) -> bool:
        """Whether a job in the registry has this name, other than the job with the id `by_other_than`."""
        where = {"name": {"$in": spellings(name)}, "retired": False, "_id": {"$ne": by_other_than}}
        return self._jobs.find_one(where, {"_id": 1}) is not None

    def of_template(self, template_type: str) -> list[Job]:
        """Returns all jobs of a template, by name."""
        return [job_from(row) for row in self._jobs.find({"template_type": template_type, "retired": False}).sort("name", 1)]

    def named(self, names: Collection[str]) -> list[Job]:
        """Returns the jobs with these names, in any order."""
        wanted = [spelling for name in names for spelling in spellings(name)]
        return [job_from(row) for row in self._jobs.find({"name": {"$in": wanted}, "retired": False})]

    def of_service(self, service: str, *, retired: bool = False, names: Collection[str] | None = None) -> list[Job]:
        """Returns the jobs that a service has registered, by name: those in the registry, or those that were deleted, the newest first."""
        where: Document = {"registered.service": service, "retired": retired}
        if names is not None:
            where["name"] = {"$in": list(names)}
        rows = self._jobs.find(where).sort([("name", 1), ("updated_at", -1)])
        return [job_from({**row, "enabled": row.get("was_enabled", False)} if retired else row) for row in rows]

    def of_services(self, services: Collection[str]) -> dict[str, list[Job]]:
        """Returns the jobs in the registry that these services have registered, by name, for each service that has any."""
        jobs: dict[str, list[Job]] = {}
        where: Document = {"registered.service": {"$in": list(services)}, "retired": False}
        for row in self._jobs.find(where).sort([("registered.service", 1), ("retired", 1), ("name", 1)]):  # as the index has them
            jobs.setdefault(row["registered"]["service"], []).append(job_from(row))
        return jobs

    def digests(self, names: Collection[str]) -> dict[str, tuple[str, str]]:
        """Returns the service and the digest of the last registration of each job in the registry that has one of these names."""
        fields = {"name": 1, "registered.service": 1, "registered.digest": 1}
        rows = self._jobs.find({"name": {"$in": list(names)}, "retired": False}, fields)
        stored = ((row["name"], row.get("registered") or {}) for row in rows)
        return {name: (registered.get("service", ""), registered.get("digest", "")) for name, registered in stored}

    def revision(self, job_id: str, version: int) -> Job | None:
        """Returns the job as it was at `version`; None if that version is not kept."""
        row = self._revisions.find_one({"job_id": job_id, "version": version})
        return job_from({**row["definition"], "_id": job_id}) if row else None

    def revisions(self, job_id: str, *, before: int, limit: int) -> list[Job]:
        """Returns the job as it was at versions below `before`, newest first."""
        rows = self._revisions.find({"job_id": job_id, "version": {"$lt": before}}).sort("version", -1).limit(limit)
        return [job_from({**row["definition"], "_id": job_id}) for row in rows]

    # -- changing -------------------------------------------------------------------------------------------------

    def add(self, job: Job, *, max_jobs: int, max_per_creator: int) -> None:
        """Adds a new job on a free seat. However many processes race, no more than `max_jobs` jobs, and no more than `max_per_creator` of
        one creator, ever have a seat: a seat is a unique number.

        Raises DuplicateName; LimitReached; SameRequest if the job's id is taken.
        """
        for (seats,) in self._free_seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                self._jobs.insert_one({**stored(job), **seats})
            except DuplicateKeyError as error:
                if _taken_key(error, job) == "_id" and (existing := self.get(job.id)) is not None:
                    raise SameRequest(existing) from error
            else:
                return

    def add_all(self, jobs: Sequence[Job], *, max_jobs: int, max_per_creator: int) -> set[str]:
        """Adds new jobs of one creator, as `add` adds one, in few writes. Returns the ids of those that are added; the names of the others
        were taken a moment ago. Raises LimitReached if not all of them find a seat, possibly after some are added."""
        waiting, added = {job.id: job for job in jobs}, set[str]()
        for seats in self._free_seats(jobs[0], max_jobs=max_jobs, max_per_creator=max_per_creator, count=len(jobs)) if jobs else ():
            rows = [{**stored(job), **seat} for job, seat in zip(waiting.values(), seats, strict=False)]
            taken = self._insert(rows)
            added |= {row["_id"] for row in rows} - taken.keys()
            waiting = {job_id: job for job_id, job in waiting.items() if taken.get(job_id) in {"seat", "creator_seat"}}
            if not waiting:
                break
        return added

    def discard(self, job: Job) -> None:
        """Removes a job that was just added, unless somebody has changed it since."""
        self._jobs.delete_one({"_id": job.id, "version": job.version, "retired": False})

    def refuse_full(self, job: Job, *, max_jobs: int, max_per_creator: int) -> None:
        """Raises LimitReached if no seat is free for a job; SameRequest if the job has a seat already."""
        try:
            next(self._free_seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator))
        except LimitReached:
            if (existing := self.get(job.id)) is not None:
                raise SameRequest(existing) from None
            raise

    def update(self, before: Job, after: Job, *, reschedule: bool, owed: Sequence[OutboxEntry] = (), reserved: str | None = None) -> bool:
        """Writes `after` if the job is still as in `before`. Returns False if somebody else was quicker, or if the reservation with the
        token `reserved` was removed. Raises DuplicateName.

        `next_run_at` and `paused` are written only with `reschedule`, and then the stored `next_run_at` must be that of `before`; else the
        dispatcher may have moved them meanwhile. `owed` goes into the outbox with the same write. The older definition is kept as a
        revision first.
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

    def retire(self, job: Job, *, by: str, at: datetime, reserved: str, owed: Sequence[OutboxEntry] = ()) -> bool:
        """Takes the job out of the registry: its history stays, its seat and its name become free. Returns False as `update` does;
        `reserved` and `owed` as there."""
        where = {"_id": job.id, "version": job.version, "retired": False, "next_run_at": job.next_run_at, "reserved.token": reserved}
        change: Document = {
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
        }
        return self._jobs.update_one(where, _with_owed(change, owed)).matched_count == 1

    def bring_back(self, job: Job, after: Job, *, max_jobs: int, max_per_creator: int, reserved: str | None = None) -> bool:
        """Puts a retired job back on a free seat, as `after`. Returns False if it has changed, or if the reservation with the token
        `reserved` was removed. Raises as `add`."""
        changed = {key: value for key, value in stored(after).items() if key not in _OF_RUNS}
        where: Document = {"_id": job.id, "retired": True, "version": job.version}
        if reserved is not None:
            where["reserved.token"] = reserved
        for (seats,) in self._free_seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                change = {"$set": {**changed, **seats}, "$unset": {"was_enabled": "", "reserved": ""}}
                return self._jobs.update_one(where, change).matched_count == 1
            except DuplicateKeyError as error:
                _taken_key(error, job)
        return False

    # -- steps ----------------------------------------------------------------------------------------------------

    def _free_seats(self, job: Job, *, max_jobs: int, max_per_creator: int, count: int = 1) -> Iterator[list[Document]]:
        """Yields `count` seats that were free a moment ago, until the caller has got them. Raises LimitReached."""
        for _ in range(SEAT_TRIES):
            numbers = _lowest_free(self._jobs.distinct("seat", {"seat": {"$exists": True}}), max_jobs, count)
            if len(numbers) < count:
                raise _no_room(max_jobs, len(numbers), count)
            of_creator = self._jobs.distinct("creator_seat", {"created_by": job.created_by, "creator_seat": {"$exists": True}})
            own = _lowest_free([int(text.rpartition("#")[2]) for text in of_creator], max_per_creator, count)
            if len(own) < count:
                raise _no_room(max_per_creator, len(own), count, creator=job.created_by)
            yield [{"seat": seat, "creator_seat": f"{job.created_by}#{number}"} for seat, number in zip(numbers, own, strict=True)]
        raise LimitReached("Too many jobs are being created at the same time. Try again.", retry_after_seconds=1)

    def _insert(self, rows: Sequence[Document]) -> dict[str, str]:
        """Inserts documents. Returns, by the id of each that was not inserted, the field whose value another job has."""
        try:
            self._jobs.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise
            return {rows[item["index"]]["_id"]: next(iter(item.get("keyPattern", {"seat": 1}))) for item in error.details["writeErrors"]}
        return {}


def _with_owed(change: Document, owed: Sequence[OutboxEntry]) -> Document:
    """Returns `change` with entries added to the outbox. The outbox then belongs to nobody: any scheduler writes it at its next look."""
    if not owed:
        return change
    outbox = {"dispatch.claim": secrets.token_hex(12), "dispatch.at": NOBODY_AT_WORK}
    return {**change, "$set": {**change["$set"], **outbox}, "$push": {"dispatch.executions": {"$each": list(owed)}}}


def _taken_key(error: DuplicateKeyError, job: Job) -> str:
    """Returns the key that another job has: `_id`, or a seat. Raises DuplicateName if it is the name."""
    field = next(iter((error.details or {}).get("keyPattern", {"seat": 1})))
    if field == "name":
        raise DuplicateName(job.definition.name) from error
    return str(field)


def _no_room(most: int, free: int, count: int, *, creator: str = "") -> LimitReached:
    """Returns the error for `count` new jobs, of which `free` find a seat."""
    match bool(creator), count > 1:
        case False, False:
            words = say("There are already {most} jobs, which is the limit (JOBWRIGHT_MAX_JOBS). Delete a job first.", most=most)
        case False, True:
            words = say(
                "The limit of {most} jobs (JOBWRIGHT_MAX_JOBS) leaves room for only {free} of the {count} new ones.",
                most=most,
                free=free,
                count=count,
            )
        case True, False:
            words = say(
                "{created_by} has already created {most} jobs, which is the limit (MAX_SCHEDULES_PER_CREATOR). Delete a job first.",
                created_by=creator,
                most=most,
            )
        case _:
            words = say(
                "The limit of {most} jobs of {created_by} (MAX_SCHEDULES_PER_CREATOR) leaves room for only {free} of the {count} new ones.",
                created_by=creator,
                most=most,
                free=free,
                count=count,
            )
    return LimitReached(words)


def _lowest_free(taken: Iterable[int], limit: int, count: int) -> list[int]:
    """Returns the `count` lowest numbers below `limit` that are not taken, or as many as there are."""
    used: Collection[int] = set(taken)
    return list(islice((number for number in range(limit) if number not in used), count))

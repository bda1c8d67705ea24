"""The `dynamic_jobs` and `job_revisions` collections, as the registry changes them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName, LimitReached
from app.jobs import shape
from app.jobs.filters import search_text
from app.jobs.job_store import NOBODY_AT_WORK, open_jobs
from app.jobs.model import Job, job_document, job_from, to_plain
from app.jobs.rules import OutboxEntry
from app.mongo import Document, Records
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
        for seats in self._free_seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                self._jobs.insert_one({**stored(job), **seats})
            except DuplicateKeyError as error:
                if _taken_key(error, job) == "_id" and (existing := self.get(job.id)) is not None:
                    raise SameRequest(existing) from error
            else:
                return

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
        for seats in self._free_seats(job, max_jobs=max_jobs, max_per_creator=max_per_creator):
            try:
                change = {"$set": {**changed, **seats}, "$unset": {"was_enabled": "", "reserved": ""}}
                return self._jobs.update_one(where, change).matched_count == 1
            except DuplicateKeyError as error:
                _taken_key(error, job)
        return False

    # -- steps ----------------------------------------------------------------------------------------------------

    def _free_seats(self, job: Job, *, max_jobs: int, max_per_creator: int) -> Iterator[Document]:
        """Yields seats that were free a moment ago, until the caller has got one. Raises LimitReached."""
        for _ in range(SEAT_TRIES):
            seat = _lowest_free(self._jobs.distinct("seat", {"seat": {"$exists": True}}), max_jobs)
            if seat is None:
                raise LimitReached(
                    say("There are already {most} jobs, which is the limit (JOBWRIGHT_MAX_JOBS). Delete a job first.", most=max_jobs)
                )
            of_creator = self._jobs.distinct("creator_seat", {"created_by": job.created_by, "creator_seat": {"$exists": True}})
            creator_seat = _lowest_free([int(text.rpartition("#")[2]) for text in of_creator], max_per_creator)
            if creator_seat is None:
                raise LimitReached(
                    say(
                        "{created_by} has already created {most} jobs, which is the limit (MAX_SCHEDULES_PER_CREATOR). Delete a job first.",
                        created_by=job.created_by,
                        most=max_per_creator,
                    )
                )
            yield {"seat": seat, "creator_seat": f"{job.created_by}#{creator_seat}"}
        raise LimitReached("Too many jobs are being created at the same time. Try again.", retry_after_seconds=1)


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


def _lowest_free(taken: Iterable[int], limit: int) -> int | None:
    used: Collection[int] = set(taken)
    return next((number for number in range(limit) if number not in used), None)

"""The `dynamic_jobs` collection, as the engine reads due jobs, moves them on and fills their outboxes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import bson
from pymongo import UpdateMany, UpdateOne
from pymongo.database import Database

from app.jobs.job_store import NOBODY_AT_WORK, open_jobs
from app.jobs.model import Cause, Job, job_from, to_plain
from app.jobs.records import Advance, Outbox, RunEnd
from app.mongo import ANY_DATE, Document, by_id, portions

COMMAND_BYTES = 8_000_000  # of one command; the server takes 48 MB. A larger step is a command of its own


class DispatchStore:
    """Due times, outboxes, and what the engine notes on jobs. It changes no definition."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = open_jobs(database)

    # -- due times ------------------------------------------------------------------------------------------------

    def find_due(self, now: datetime, limit: int) -> list[Job]:
        """Returns enabled jobs whose due time has come; the one that has waited longest is first."""
        rows = self._jobs.find({"enabled": True, "next_run_at": {**ANY_DATE, "$lte": now}, "schedule_error": None}).sort("next_run_at", 1)
        return [job_from(row) for row in rows.limit(limit)]

    def next_due_at(self, after: datetime | None = None) -> datetime | None:
        """Returns the earliest due time of all jobs, or the earliest later than `after`; None if there is none."""
        where = {"enabled": True, "next_run_at": ANY_DATE if after is None else {"$gt": after}, "schedule_error": None}
        row = self._jobs.find_one(where, {"next_run_at": 1}, sort=[("next_run_at", 1)])
        return row["next_run_at"] if row else None

    def seconds_late(self, now: datetime, tolerance: timedelta) -> float:
        """Returns by how many seconds the job that has waited longest is late beyond `tolerance`; 0 if none is."""
        row = self._jobs.find_one(
            {"enabled": True, "next_run_at": {**ANY_DATE, "$lte": now - tolerance}, "schedule_error": None},
            {"next_run_at": 1},
            sort=[("next_run_at", 1)],
        )
        return (now - row["next_run_at"]).total_seconds() if row else 0.0

    def mark_broken(self, job: Job, reason: str) -> None:
        """Notes that the schedule of a job cannot be computed any more: the dispatcher leaves the job alone, and pages show the reason."""
        where = {"_id": job.id} if job.damaged else {"_id": job.id, "version": job.version}
        self._jobs.update_one(where, {"$set": {"schedule_error": reason}})

    def templates_that_pause(self) -> list[str]:
        """Returns the types of switched-off templates that jobs are paused for."""
        return list(self._jobs.distinct("paused.reason", {"paused.cause": Cause.TEMPLATE.value}))

    def look_again(self, cause: Cause, reason: str | None, now: datetime) -> int:
        """Ends the pauses that have this cause and, if given, this reason: the dispatcher looks at these jobs at its next tick. Returns
        how many there are."""
        paused = {"paused.cause": cause.value, **({} if reason is None else {"paused.reason": reason})}
        return self._jobs.update_many(paused, {"$set": {"next_run_at": now, "paused.until": now}}).modified_count

    # -- outboxes -------------------------------------------------------------------------------------------------

    def advance(self, steps: Sequence[Advance], *, claim: str, at: datetime, settled: Sequence[tuple[str, str]]) -> set[str]:
        """Moves each job to its next due time and writes the entries into its outbox, in one compare-and-set a job.

        `settled` are (job id, claim) pairs whose entries are written: their outboxes are emptied in the same round trip. Returns the ids
        of the jobs that this claim moved; another scheduler moved the others.
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

    def settle(self, job_id: str, claim: str) -> None:
        """Empties one outbox if it still belongs to this claim."""
        self._jobs.update_one({"_id": job_id, "dispatch.claim": claim}, {"$unset": {"dispatch": ""}})

    def find_unsettled(self, before: datetime, limit: int) -> list[Outbox]:
        """Returns outboxes that were filled before `before` and not emptied: their scheduler died or is slow."""
        rows = self._jobs.find({"dispatch.at": {"$lt": before}}, {"dispatch": 1}).limit(limit)
        return [Outbox(row["_id"], row["dispatch"]["claim"], row["dispatch"]["executions"]) for row in rows]

    def with_full_outbox(self) -> list[str]:
        """Returns the ids of the jobs whose outbox holds entries that may still be written."""
        return [row["_id"] for row in self._jobs.find({"dispatch.at": {"$gte": NOBODY_AT_WORK}}, {"_id": 1})]

    # -- runs -----------------------------------------------------------------------------------------------------

    def note_runs(self, runs: Iterable[RunEnd]) -> None:
        """Notes the start and the status of the last run of each job. Neither ever goes back to an earlier run."""
        newest: dict[str, RunEnd] = {}
        for run in sorted(runs, key=lambda run: run.began_at):
            newest[run.job_id] = run if run.status or run.job_id not in newest else replace(run, status=newest[run.job_id].status)
        if newest:
            self._jobs.bulk_write([_note_run(run) for run in newest.values()], ordered=False)

    def followed(self, ids: Collection[str]) -> set[str]:
        """Returns those of these jobs that a job which is switched on runs after."""
        where = {"depends_on.job": {"$in": list(ids)}, "retired": False, "enabled": True}
        rows = self._jobs.find(where, {"_id": 0, "depends_on.job": 1})
        return {dependency["job"] for row in rows for dependency in row["depends_on"]} & set(ids)

    def retired(self, ids: Collection[str]) -> set[str]:
        """Returns those of these jobs that have been deleted."""
        return {row["_id"] for row in self._jobs.find({"_id": {"$in": list(ids)}, "retired": True}, {"_id": 1})}

    def templates_in_use(self) -> list[str]:
        """Returns the template types of the jobs that are switched on, sorted."""
        return sorted(self._jobs.distinct("template_type", {"retired": False, "enabled": True}))


def _note_run(run: RunEnd) -> UpdateOne:
    later = {"last_run_at": run.began_at, **({"last_status": run.status} if run.status else {})}
    is_older = {"_id": run.job_id, "$or": [{"last_run_at": None}, {"last_run_at": {"$lte": run.began_at}}]}
    return UpdateOne(is_older, {"$set": later})


def _size(step: Advance) -> int:
    return len(bson.encode({"executions": step.entries}))


def _advance(steps: Sequence[Advance], claim: str, at: datetime) -> UpdateMany:
    """Returns one update for many jobs, each by compare-and-set on its own version and due time. One update a job costs the server four
    times as much."""
    ids = [step.job_id for step in steps]
    changes = [
        {
            "next_run_at": step.next_run_at,
            "dispatch": {"claim": claim, "at": at, "executions": step.entries},
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

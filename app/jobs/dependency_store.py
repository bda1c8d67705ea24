"""The `dynamic_jobs` collection, as the graph of dependencies reads it and reserves changes in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo.database import Database

from app.jobs.job_store import open_jobs
from app.jobs.model import Job, job_from
from app.jobs.records import JobRef, Reservation
from app.mongo import QUERY_TIME_MS, Document
from app.validation.names import spellings


class DependencyStore:
    """Which jobs run after which, and the reservations of changes to that (app.jobs.graph)."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = open_jobs(database)

    def refs(self, words: Sequence[str]) -> list[JobRef]:
        """Returns the jobs of the registry whose id or name is one of `words`."""
        if not words:
            return []
        names = [name for word in words for name in spellings(word)]
        where = {"retired": False, "$or": [{"_id": {"$in": list(words)}}, {"name": {"$in": names}}]}
        rows = self._jobs.find(where, {"name": 1, "group": 1, "last_status": 1}, max_time_ms=QUERY_TIME_MS)
        return [JobRef(row["_id"], row["name"], row.get("group", ""), row.get("last_status")) for row in rows]

    def dependants(self, job_id: str, *, enabled: bool | None = None) -> list[Job]:
        """Returns the jobs that run after this one, by name: all, or only those that are switched on (or off)."""
        where = {"depends_on.job": job_id, "retired": False, **({} if enabled is None else {"enabled": enabled})}
        return [job_from(row) for row in self._jobs.find(where).sort("name", 1)]

    def upstream_of(self, ids: Collection[str]) -> dict[str, dict[str, str | None]]:
        """Returns, by job id, the ids of the jobs that it runs after, each with None; and the ids of those that a reservation announces,
        each with the reservation's token."""
        with_dependencies: Document = {"retired": False, "depends_on.job": {"$exists": True}}
        where = {"_id": {"$in": list(ids)}, "$or": [with_dependencies, {"reserved.depends_on": {"$exists": True}}]}
        upstream: dict[str, dict[str, str | None]] = {}
        for row in self._jobs.find(where, {"retired": 1, "depends_on.job": 1, "reserved": 1}):
            reserved = row.get("reserved", {})
            links: dict[str, str | None] = dict.fromkeys(reserved.get("depends_on", ()), reserved.get("token"))
            links |= {} if row["retired"] else dict.fromkeys(dependency["job"] for dependency in row.get("depends_on") or ())
            upstream[row["_id"]] = links
        return upstream

    def downstream_of(self, job_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Returns the ids of the jobs that run after this one, and (job id, token) of the reservations to run after it."""
        # Reservations are read first. One write removes a reservation and adds the dependency: a change that is written between the two
        # reads is seen by the first or by the second, while in the other order both would miss it.
        rows = self._jobs.find({"reserved.depends_on": job_id}, {"reserved.token": 1})
        reservations = [(row["_id"], row["reserved"]["token"]) for row in rows]
        dependants = [row["_id"] for row in self._jobs.find({"depends_on.job": job_id, "retired": False}, {"_id": 1})]
        return dependants, reservations

    def templates_downstream_of(self, ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """Returns the jobs that run after one of these, switched on or not: by id, the template and its version."""
        where = {"depends_on.job": {"$in": list(ids)}, "retired": False}
        rows = self._jobs.find(where, {"template_type": 1, "template_version": 1})
        return {row["_id"]: (str(row.get("template_type", "")), int(row.get("template_version") or 0)) for row in rows}

    def in_registry(self, ids: Collection[str]) -> dict[str, str | None]:
        """Returns those of these jobs that are in the registry, each with the token of a reservation to leave it, or None."""
        rows = self._jobs.find({"_id": {"$in": list(ids)}, "retired": False}, {"reserved": 1})
        reservations = {row["_id"]: row.get("reserved", {}) for row in rows}
        return {job_id: reserved["token"] if reserved.get("leaves") else None for job_id, reserved in reservations.items()}

    def reserve(self, wanted: Reservation, *, version: int, at: datetime) -> bool:
        """Announces a change of a job, which may be retired. It replaces another reservation of the job. Returns False if the job is not
        at `version`."""
        change: Document = {"leaves": True} if wanted.leaves else {"depends_on": list(wanted.depends_on)}
        row = {"token": wanted.token, "at": at, **change}
        where = {"_id": wanted.job_id, "version": version}
        return self._jobs.update_one(where, {"$set": {"reserved": row}}).matched_count == 1

    def release(self, job_id: str, token: str) -> None:
        """Removes a reservation: the change that it announces can no longer be written."""
        self._jobs.update_one({"_id": job_id, "reserved.token": token}, {"$unset": {"reserved": ""}})

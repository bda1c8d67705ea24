"""What the old scheduler and Jobwright agree on, in the database of the old one: who runs each job, and what the old one has run.

This file needs PyMongo and nothing of Jobwright, so that an old scheduler can take it over as it is. The old loop calls `claim` before each
run and `finish` after it, and `seen` about once a second. All times are those of the database server.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database

OLD, MOVING, JOBWRIGHT = "old", "moving", "jobwright"  # who runs a job; while it is `moving`, nobody begins a run
LAPSE_SECONDS = 30  # a hand-over that Jobwright does not finish within this time ends, and the old scheduler goes on
SILENT_SECONDS = 10  # after this time without a sign of life, the old scheduler is taken for dead
ALIVE = "alive"
NOW = "$$NOW"


class Ledger:
    """The collections `scheduler_jobs` (a document for each job), `scheduler_runs` (one for each run) and `scheduler_state`.

    Each change of an owner is one compare-and-set. `epoch` counts the decisions of Jobwright about a job; a step of an older decision
    changes nothing, so a process that was frozen cannot undo a newer one.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._jobs, self._runs, self._state = database["scheduler_jobs"], database["scheduler_runs"], database["scheduler_state"]

    # -- the old scheduler ----------------------------------------------------------------------------------------

    def register(self, name: str, interval_seconds: int) -> None:
        """Adds a job, due now. A job that is there keeps its owner and its due time."""
        new = {"owner": OLD, "epoch": 0, "last_due_at": None, "running": None, "lapses_at": None}
        change = {"interval_seconds": interval_seconds, "next_due_at": {"$ifNull": ["$next_due_at", NOW]}}
        kept = {field: {"$ifNull": [f"${field}", value]} for field, value in new.items()}
        self._jobs.update_one({"_id": name}, [{"$set": {**kept, **change}}], upsert=True)

    def begin(self) -> None:
        """Notes that the old scheduler has started. Runs that the process before has left are over."""
        for job in self._jobs.find({"running": {"$ne": None}}):  # one that was killed early has not written down its run
            self._runs.update_one({"job": job["_id"], "due_at": job["running"]["due_at"]}, {"$set": job["running"]}, upsert=True)
        open_runs = {"status": {"$in": ["running", None]}}
        self._runs.update_many(open_runs, [{"$set": {"status": "interrupted", "completed_at": NOW}}])
        self._jobs.update_many({"running": {"$ne": None}}, {"$set": {"running": None}})
        self.seen()

    def seen(self) -> None:
        """Notes that the old scheduler is alive."""
        self._state.update_one({"_id": ALIVE}, [{"$set": {"seen_at": NOW, "host": socket.gethostname(), "pid": os.getpid()}}], upsert=True)

    def claim(self, name: str) -> datetime | None:
        """Begins the run of a job that is due and that the old scheduler owns. Returns its due time; None if it must not run now.

        The next due time is one interval after now, as the old loop counts.
        """
        lapsed = {"_id": name, "owner": MOVING, "$expr": {"$lte": ["$lapses_at", NOW]}}
        self._jobs.update_one(lapsed, {"$set": {"owner": OLD, "lapses_at": None}})
        due = {"_id": name, "owner": OLD, "running": None, "$expr": {"$lte": ["$next_due_at", NOW]}}
        running = {"due_at": "$next_due_at", "started_at": NOW, "host": socket.gethostname(), "pid": os.getpid()}
        following = {"$add": [NOW, {"$multiply": ["$interval_seconds", 1000]}]}
        step = [{"$set": {"running": running, "last_due_at": "$next_due_at", "next_due_at": following}}]
        job = self._jobs.find_one_and_update(due, step, return_document=ReturnDocument.AFTER)
        if job is None:
            return None
        self._runs.insert_one({"job": name, "status": "running", "completed_at": None, **job["running"]})
        due_at: datetime = job["running"]["due_at"]
        return due_at

    def finish(self, name: str, due_at: datetime, status: str) -> None:
        """Ends the run of a due time."""
        self._runs.update_one({"job": name, "due_at": due_at, "status": "running"}, [{"$set": {"status": status, "completed_at": NOW}}])
        self._jobs.update_one({"_id": name, "running.due_at": due_at}, {"$set": {"running": None}})

    # -- Jobwright ------------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Returns the jobs by name."""
        return {row["_id"]: row for row in self._jobs.find().sort("_id", 1)}

    def get(self, name: str) -> dict[str, Any] | None:
        """Returns a job; None if the old scheduler has no such job."""
        return self._jobs.find_one({"_id": name})

    def runs(self, name: str, since: datetime, limit: int) -> list[dict[str, Any]]:
        """Returns the runs of a job that were due from `since` on, the first one first."""
        return list(self._runs.find({"job": name, "due_at": {"$gte": since}}).sort("due_at", 1).limit(limit))

    def is_alive(self) -> bool:
        """Returns whether the old scheduler has given a sign of life within SILENT_SECONDS."""
        latest = {"$expr": {"$gt": ["$seen_at", {"$subtract": [NOW, SILENT_SECONDS * 1000]}]}}
        return self._state.find_one({"_id": ALIVE, **latest}) is not None

    def propose(self, name: str, epoch: int) -> None:
        """Keeps the old scheduler from beginning runs of a job, for at most LAPSE_SECONDS."""
        until = {"$add": [NOW, LAPSE_SECONDS * 1000]}
        allowed = {"_id": name, "$or": [{"epoch": {"$lt": epoch}, "owner": OLD}, {"epoch": epoch, "owner": {"$in": [OLD, MOVING]}}]}
        self._jobs.update_one(allowed, [{"$set": {"owner": MOVING, "epoch": epoch, "lapses_at": until}}])

    def commit(self, seen: Mapping[str, Any], epoch: int) -> bool:
        """Hands a job to Jobwright. From then on the old scheduler never begins a run of it. Returns False if the proposal has lapsed, or
        if the old scheduler has begun or ended a run since the job was as in `seen`, a result of `get`."""
        same = {"_id": seen["_id"], "next_due_at": seen["next_due_at"], "running": seen.get("running")}
        proposed = {**same, "owner": MOVING, "epoch": epoch, "$expr": {"$gt": ["$lapses_at", NOW]}}
        return self._jobs.update_one(proposed, {"$set": {"owner": JOBWRIGHT, "lapses_at": None}}).matched_count == 1

    def give_back(self, name: str, epoch: int, next_due_at: datetime | None) -> None:
        """Hands a job to the old scheduler, which runs it next at `next_due_at`; None keeps the due time that it has. Done once only."""
        change: dict[str, Any] = {"owner": OLD, "epoch": epoch, "lapses_at": None}
        change |= {} if next_due_at is None else {"next_due_at": next_due_at}
        self._jobs.update_one({"_id": name, "epoch": {"$lt": epoch}}, {"$set": change})


def is_busy(job: Mapping[str, Any]) -> bool:
    """Returns whether a run of the job goes on."""
    return job.get("running") is not None

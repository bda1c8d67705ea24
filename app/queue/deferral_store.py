"""Deferred attempts, in the `job_executions` collection: another program goes on with them and reports.

Each write of a report names the attempt's fencing token and is refused without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database

from app.mongo import Document, Records
from app.queue import updates
from app.queue.execution import CancelRequest, cancel_from
from app.queue.model import Attempt, Status
from app.queue.shape import EXECUTION
from app.queue.store import COLLECTION
from app.shapes import DAMAGED

_DEFERRED = {"slots": {"$exists": True}, "status": Status.RUNNING.value, "lease.owner": updates.CALLBACK_OWNER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a report is about. `holds`: the attempt runs and has its claim. `status` is that of its execution, and `cancelling` says that
    someone asked to stop that. `report` is the digest of the report that ended the attempt. `attempt` is None where the record cannot be
    read or has no such attempt."""

    attempt: Attempt | None
    holds: bool
    status: str = ""
    cancelling: bool = False
    report: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """How many lines of its log an attempt has by reports, and how many bytes they have."""

    lines: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A deferred attempt that someone asked to stop. Its lease ends at `lease_until` if no report comes."""

    attempt: Attempt
    cancel: CancelRequest
    lease_until: datetime


class DeferralStore:
    """What the reports of other programs write, and what has become of attempts that no process runs."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = Records(database, COLLECTION, EXECUTION)

    # -- reports --------------------------------------------------------------------------------------------------

    def look_up(self, execution_id: str, number: int, token: int) -> Reported | None:
        """The attempt `number` of an execution, whose fencing token is `token`; None where there is no such execution."""
        row = self._executions.find_one({"_id": execution_id})
        if row is None:
            return None
        if DAMAGED in row or not 0 < number <= len(row["attempts"]):
            return Reported(attempt=None, holds=False)
        record = row["attempts"][number - 1]
        holds = row["status"] == Status.RUNNING and row.get("lease", {}).get("token") == token and number == len(row["attempts"])
        return Reported(
            attempt=_attempt(row, number=number, token=token),
            holds=holds,
            status=row["status"],
            cancelling="cancel" in row,
            report=record.get("report"),
        )

    def renew(self, attempt: Attempt, *, now: datetime, progress: Mapping[str, Any] | None = None) -> bool:
        """Renew the lease of a deferred attempt, with the progress that was reported; False where it has no claim any more. The lease of
        one that is not deferred yet is its worker's."""
        heartbeat_ms = {"$multiply": ["$callback.heartbeat_seconds", 1000]}
        is_deferred = {"$eq": ["$lease.owner", updates.CALLBACK_OWNER]}
        sets: Document = {"lease.expires_at": {"$cond": [is_deferred, {"$add": [now, heartbeat_ms]}, "$lease.expires_at"]}}
        if progress is not None:
            sets["progress"] = {"$literal": dict(progress)}
        return self._executions.update_one(updates.held(attempt), [{"$set": sets}]).matched_count == 1

    def logged(self, attempt: Attempt) -> Logged | None:
        """What was logged by reports of an attempt; None where the attempt has no claim any more."""
        row = self._executions.find_one(updates.held(attempt), {"attempts": 1})
        if row is None:
            return None
        logged = row["attempts"][attempt.number - 1].get("logged")
        return Logged(**logged) if logged else Logged()

    def note_logged(self, attempt: Attempt, before: Logged, after: Logged) -> bool:
        """Count reported lines; False where others were counted since `before` was read, or the attempt has no claim any more."""
        place = f"attempts.{attempt.number - 1}.logged"
        unchanged = {place: {"$exists": False}} if before == Logged() else {f"{place}.lines": before.lines}
        counted = {"$set": {place: {"lines": after.lines, "bytes": after.bytes}}}
        return self._executions.update_one({**updates.held(attempt), **unchanged}, counted).matched_count == 1

    def extend(self, attempt: Attempt, deadline: datetime) -> datetime | None:
        """Move the deadline of a deferred attempt, never to an earlier time; returns it, or None where the attempt is not deferred."""
        deferred = {**updates.held(attempt), "callback.token": attempt.token}
        after = ReturnDocument.AFTER
        row = self._executions.find_one_and_update(deferred, {"$max": {"callback.deadline": deadline}}, return_document=after)
        return row["callback"]["deadline"] if row else None

    # -- what nobody else ends ------------------------------------------------------------------------------------

    def find_overdue(self, now: datetime, limit: int) -> list[Attempt]:
        """The deferred attempts that have run longer than they may."""
        rows = self._executions.find({**_DEFERRED, "callback.deadline": {"$lt": now}}).limit(limit)
        return [attempt for row in rows if (attempt := _deferred(row)) is not None]

    def find_cancelled(self, limit: int) -> list[Asked]:
        """The deferred attempts whose execution someone asked to stop."""
        rows = self._executions.find({**_DEFERRED, "cancel": {"$exists": True}}).limit(limit)
        return [
            Asked(attempt, cancel_from(row["cancel"]), row["lease"]["expires_at"])
            for row in rows
            if (attempt := _deferred(row)) is not None
        ]


def _deferred(row: Document) -> Attempt | None:
    """The last attempt of a row; None where the record is damaged, which the sweep of lost workers ends."""
    return None if DAMAGED in row else _attempt(row, number=len(row["attempts"]), token=row["lease"]["token"])


def _attempt(row: Document, *, number: int, token: int) -> Attempt | None:
    """The attempt in a row; None where the record is no execution any more."""
    try:
        return updates.attempt_from(row, number=number, token=token, started_at=row["attempts"][number - 1]["started_at"])
    except (ValueError, TypeError, LookupError):
        return None

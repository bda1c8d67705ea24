"""Changes restored documents so that a restore causes no run, and takes nothing for running that ended long ago.

What has happened between the backup and the restore is unknown. So nothing of the backup runs by itself:

1. Executions that waited or ran end. Those that ran have failed, because their worker is lost; those that waited are cancelled. Nothing
   follows them, and no node of that time holds a claim on them any more.
2. What ends and events owed (the runs of jobs that depend on others) and notifications that were still to be sent are given up. People can
   ask for each item on the page System, and send each notification again.
3. Runs that a scheduler had planned and not yet stored are forgotten.
4. Scheduled times from the backup until the next start are skipped, with one record for each job, as after maintenance.
5. With `pause_all`, jobs wait until somebody resumes them.

This happens before the restore ends, so no process of Jobwright is at work meanwhile. Doing it twice is as good as once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from app.jobs.model import Cause
from app.mongo import ANY_DATE, Document
from app.notification.delivery import DeliveryStatus
from app.notification.quiet.batch_store import BatchState
from app.notification.quiet.entry import EntryStatus, Why
from app.queue.endings import LEAVES_QUEUE, ending
from app.queue.model import LIVE, Reason, Status

COLLECTIONS = "job_executions", "dynamic_jobs", "domain_events", "deliveries", "announcements", "announcement_batches"
BY = "command line"
_WAITS = sorted(status.value for status in LIVE - {Status.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How many executions ended as lost, how many were cancelled, how many records owe something that was given up, and how many jobs now
    wait for the next start or for a person."""

    lost: int = 0
    cancelled: int = 0
    given_up: int = 0
    jobs: int = 0


def settle(database: Database[Document], *, taken_at: datetime, now: datetime, pause_all: bool) -> Settled:
    """Changes the documents of a backup that was taken at `taken_at`."""
    executions, jobs, events, deliveries, announcements, batches = (database[name] for name in COLLECTIONS)
    why = f"Restored from the backup of {taken_at:%Y-%m-%d %H:%M} UTC"
    given_up = sum(_give_up(owing, why, now) for owing in (executions, events)) + _give_up_deliveries(deliveries, why, now)
    given_up += _give_up_announcements(announcements, batches, now)
    lost, cancelled = _end_running(executions, why, now), _end_waiting(executions, why, now)
    jobs.update_many({"dispatch": {"$exists": True}}, {"$unset": {"dispatch": ""}})
    waiting = _pause_all(jobs, why, now) if pause_all else _skip_until_start(jobs, why, now)
    return Settled(lost=lost, cancelled=cancelled, given_up=given_up, jobs=waiting)


def _give_up(owing: Collection[Document], why: str, now: datetime) -> int:
    """Gives up every item that was still to be carried out."""
    due = {"owed": {"$elemMatch": {"at": ANY_DATE}}}
    words = {"owed.$[item].at": None, "owed.$[item].given_up_at": now, "owed.$[item].error": why}
    change = {"$set": words, "$unset": {"owed.$[item].by": "", "owed.$[item].said": ""}}
    return owing.update_many(due, change, array_filters=[{"item.at": ANY_DATE}]).modified_count


def _give_up_deliveries(deliveries: Collection[Document], why: str, now: datetime) -> int:
    """Gives up every notification that was still to be sent."""
    attempt = {"at": now, "took_ms": 0, "result": "unreachable", "reason": why, "by": BY}
    change = {"$set": {"status": DeliveryStatus.GIVEN_UP.value, "settled_at": now, "claim": None}, "$push": {"attempts": attempt}}
    return deliveries.update_many({"status": DeliveryStatus.WAITING.value, "attempts": {"$type": "array"}}, change).modified_count


def _give_up_announcements(announcements: Collection[Document], batches: Collection[Document], now: datetime) -> int:
    """Holds back every announcement that was in no message yet."""
    hold = {"why": Why.RESTORED.value, "at": now, "by": "", "name": "", "until": None, "final": True}
    change = {"$set": {"status": EntryStatus.HELD.value, "hold": hold, "due_at": None, "settled_at": now}}
    batches.update_many({"open": True}, {"$set": {"state": BatchState.DONE.value}, "$unset": {"open": ""}})
    return announcements.update_many({"due_at": ANY_DATE}, change).modified_count


def _end_running(executions: Collection[Document], why: str, now: datetime) -> int:
    error = {
        "type": "LostWorker",
        "message": f"{why}: how this run ended is unknown",
        "kind": "lost_worker",
        "permanent": True,
        "traceback": "",
    }
    end = ending(Status.FAILED, now, reason=Reason.LOST_WORKER, fields={"error": error})
    attempt = {"attempts.$[open].status": Status.FAILED.value, "attempts.$[open].completed_at": now, "attempts.$[open].error": error}
    update = {"$set": {**end.sets, **attempt}, "$unset": dict.fromkeys(LEAVES_QUEUE, "")}
    found = {"status": Status.RUNNING.value, "attempts": {"$type": "array"}}
    return executions.update_many(found, update, array_filters=[{"open.completed_at": None}]).modified_count


def _end_waiting(executions: Collection[Document], why: str, now: datetime) -> int:
    cancel = {"by": BY, "at": now, "reason": f"{why}: whether this run took place is unknown"}
    end = ending(Status.CANCELLED, now, fields={"cancel": cancel})
    return executions.update_many({"status": {"$in": _WAITS}}, end.update()).modified_count


def _skip_until_start(jobs: Collection[Document], why: str, now: datetime) -> int:
    """Lets scheduled times pass until the next start: a node that finds a pause by maintenance while there is none ends it."""
    return jobs.update_many(
        {"enabled": True, "paused": None, "next_run_at": {"$lte": now, **ANY_DATE}}, _pause(Cause.MAINTENANCE, why, now)
    ).modified_count


def _pause_all(jobs: Collection[Document], why: str, now: datetime) -> int:
    """Pauses all jobs that start by themselves. A pause that has an end loses it."""
    starts = [{"next_run_at": ANY_DATE}, {"depends_on.0": {"$exists": True}}, {"paused": {"$ne": None}}]
    return jobs.update_many({"enabled": True, "retired": {"$ne": True}, "$or": starts}, _pause(Cause.PERSON, why, now)).modified_count


def _pause(cause: Cause, why: str, now: datetime) -> list[dict[str, Any]]:
    since = {"$ifNull": ["$paused.since_due", {"$ifNull": ["$next_run_at", now]}]}
    pause = {"cause": cause.value, "reason": why, "by": BY, "at": now, "since_due": since, "until": None}
    return [{"$set": {"paused": pause, "next_run_at": None}}]

"""An execution: one due time, or one manual run, of a job, from queued to its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.jobs.model import Job, Overlap, RetryOn, to_plain
from app.mongo import Document
from app.notification.base import recipients_of


class Status(StrEnum):
    """Where an execution is."""

    QUEUED = "queued"  # waits for a free place
    RUNNING = "running"  # an attempt runs
    RETRYING = "retrying"  # an attempt failed; the next one has its time
    SUCCESS = "success"  # the template returned a result
    FAILED = "failed"  # the last attempt failed, or trying again cannot help
    TIMEOUT = "timeout"  # the last attempt ran longer than it may
    CANCELLED = "cancelled"  # someone stopped it
    SKIPPED = "skipped"  # it was due and must not run, for the reason given
    MISSED = "missed"  # it was due and nobody was there to start it


# The queue is served by age, and a level of priority is worth so much of it: high ones go first, and low ones do not wait for ever.
PRIORITY_STEP = timedelta(minutes=1)
BEHIND_ALL = timedelta(days=365)  # a backfill is as young as nothing else in the queue
LIVE = (Status.QUEUED, Status.RUNNING, Status.RETRYING)


class Trigger(StrEnum):
    """What caused an execution."""

    SCHEDULE = "schedule"  # its due time
    MANUAL = "manual"  # someone in the browser
    API = "api"  # a program
    BACKFILL = "backfill"  # someone asked for the runs of a time that has passed
    PREVIEW = "preview"  # says what a run would do, for who is to approve it
    DEPENDENCY = "dependency"  # the end of a run of a job that it depends on
    RETRY = "retry"  # someone asked for another try of an ended execution


class Reason(StrEnum):
    """Why an execution did not run, or an attempt ended as it did."""

    OVERLAP = "overlap"  # the job still ran
    TEMPLATE_OFF = "template_off"  # its template was switched off
    REPLACED = "replaced"  # a newer due time took its place
    MISFIRE = "misfire"  # later than the grace allows
    PAUSED = "paused"  # the job was paused
    BLACKOUT = "blackout"  # a calendar of the job keeps the time free
    MAINTENANCE = "maintenance"  # nothing was started anywhere
    DISABLED = "disabled"  # the job was switched off before it ran
    RESCHEDULED = "rescheduled"  # the job was given another schedule before it ran
    JOB_GONE = "job_gone"  # the job was retired before it ran
    LOST_WORKER = "lost_worker"  # its worker fell silent past its lease
    CIRCLE = "circle"  # its own job had begun the runs that began it, or there were too many of them
    HANDED_BACK = "handed_back"  # its worker was draining


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """Why an attempt failed. `kind` is what the retry policy goes by; `permanent` says that trying again cannot help."""

    type: str
    message: str
    permanent: bool = False
    kind: RetryOn = RetryOn.ERROR
    traceback: str = ""

    def as_document(self) -> Document:
        return {
            "type": self.type,
            "message": self.message,
            "permanent": self.permanent,
            "kind": self.kind.value,
            "traceback": self.traceback,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at an execution, as claimed: all that a runner needs, and the token that proves the claim."""

    execution_id: str
    number: int
    token: int
    job_id: str
    job_name: str
    template_type: str
    template_version: int
    code_version: int
    parameters: Mapping[str, Any]
    timeout_seconds: float
    started_at: datetime
    began_at: datetime
    retry_policy: Mapping[str, Any]
    failed_attempts: int
    notifications: Mapping[str, Any] = field(default_factory=dict)
    pause_after_failures: int = 0
    rank: datetime | None = None
    places: tuple[str, ...] = ()
    stands_for: datetime | None = None  # of a backfill: the due time that it makes up for
    scheduled_for: datetime | None = None
    resolved: Mapping[str, Any] | None = None  # what dynamic values became in an earlier attempt, by JSON Pointer
    dry: bool = False  # the template's preview, which changes nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: `success`, `failed`, `timeout` or `cancelled`; `reason` where the runner ended it itself."""

    status: Status
    result: Mapping[str, Any] | None = None
    error: AttemptError | None = None
    reason: Reason | None = None
    seconds: float = 0.0
    began_at: datetime | None = None  # when its process began it, which may be a little after it was claimed
    usage: Mapping[str, float] = field(default_factory=dict)


def owed(now: datetime) -> Document:
    """The mark of an ended execution that people are still to be told of."""
    return {"state": "pending", "at": now, "tries": 0, "error": None}


def new_execution(
    job: Job,
    *,
    now: datetime,
    triggered_by: Trigger,
    scheduled_for: datetime | None = None,
    status: Status = Status.QUEUED,
    reason: Reason | None = None,
    parameters: Mapping[str, Any] | None = None,
    overlap: Overlap | None = None,
    by: str | None = None,
    retry_of: str | None = None,
    execution_id: str | None = None,
    due_times: Mapping[str, Any] | None = None,
    available_at: datetime | None = None,
    stands_for: datetime | None = None,
    dry: bool = False,
    caused_by: Sequence[str] = (),
    line: Sequence[str] = (),
) -> Document:
    """The document of a new execution; it carries what it needs of its job, so that a later edit does not change it.

    `due_times` {first, last, count} are those that a record stands for which is not of one run. It waits at least until `available_at`.
    `stands_for` is the due time that a backfill makes up for: it goes behind whatever else waits. A `dry` one runs the preview, once, and
    nobody is told. `caused_by` are the executions whose ends began it, and `line` the jobs whose runs began one another so up to it.
    """
    definition = job.definition
    ended = status not in LIVE
    document: Document = {
        "_id": execution_id or str(uuid.uuid4()),
        "job_id": job.id,
        "job_name": definition.name,
        "job_version": job.version,
        "template_type": definition.template_type,
        "template_version": job.template_version,
        "code_version": job.code_version,
        "parameters": dict(definition.parameters if parameters is None else parameters),
        "status": status.value,
        "reason": reason.value if reason else None,
        "available_at": max(now, available_at or now),
        "queued_at": now,
        "priority": definition.priority,
        "rank": now + BEHIND_ALL if stands_for else now - definition.priority * PRIORITY_STEP,
        "overlap": (overlap or definition.overlap).value,
        "max_instances": definition.concurrency.max_instances,
        "concurrency_group": definition.concurrency.group,
        "timeout_seconds": definition.timeout_seconds,
        "retry_policy": to_plain(definition.retry_policy),
        "started_at": None,
        "completed_at": now if ended else None,
        "duration_seconds": None,
        "attempts": [],
        "result": None,
        "error": None,
        "progress": None,
        "triggered_by": triggered_by.value,
        "triggered_by_user": by,
        "retry_of": retry_of,
        "execution_host": None,
        "notifications": to_plain(definition.notifications),
        "pause_after_failures": definition.pause_after_failures,
    }
    if scheduled_for is not None:
        document["scheduled_for"] = scheduled_for
    if not ended:
        document |= {"live": True, "queue_rank": document["rank"]}
    elif recipients_of(document["notifications"], status):
        document["notify"] = owed(now)
    if dry:
        document |= {"dry": True, "notifications": {}, "pause_after_failures": 0}
        document["retry_policy"] = {**document["retry_policy"], "max_retries": 0}
    if caused_by:
        document |= {"caused_by": list(caused_by), "depth": len(line), "line": list(line)}
    if stands_for is not None:
        document["stands_for"] = stands_for
    if due_times:
        document["due_times"] = dict(due_times)
    return document

"""An execution: one due time, or one manual run, of a job, from queued to its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from app.jobs.model import (
    Job,
    Notifications,
    Overlap,
    RetryPolicy,
    RunLimit,
    notifications_from,
    retry_policy_from,
    run_limit_from,
    to_plain,
)
from app.mongo import Document
from app.outbox.model import TOLD, Owed, owed_from
from app.queue.endings import ended_fields
from app.queue.items import ItemCounts
from app.queue.model import LIVE, AttemptError, Reason, Status, Trigger
from app.queue.needs import needs_fields
from app.shapes import DAMAGED
from templates_lib.messages import restored

# The queue is served by age, and each level of priority counts as this much age: high ones go first, and low ones do not wait for ever.
PRIORITY_STEP = timedelta(minutes=1)
BEHIND_ALL = timedelta(days=365)  # a run of a backfill ranks behind everything that came by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """What is kept of one attempt, from its claim on. `usage` are seconds of processor time and bytes of memory, by name."""

    number: int
    started_at: datetime
    status: str
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    reason: str | None = None
    error: AttemptError | None = None
    host: str | None = None
    worker: str | None = None
    usage: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], number: int) -> Self:
        return cls(
            number=row.get("number", number),
            started_at=row["started_at"],
            status=row["status"],
            completed_at=row.get("completed_at"),
            duration_seconds=row.get("duration_seconds"),
            reason=row.get("reason"),
            error=error_from(row.get("error")),
            host=row.get("host"),
            worker=row.get("worker"),
            usage=row.get("usage") or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Who asked a running execution to stop, and when; `reason` where it was the service itself."""

    by: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimes:
    """The due times that one record stands for, `first` and `last` included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a job. It carries what it needs of its job, so that a later edit of the job does not change it.

    `status` is a Status, or UNKNOWN of app.shapes where the record is damaged; `damaged` says then what is wrong. `scheduled_for` is the
    due time that it is the record of, `stands_for` the one that a backfill makes up for, and `due_times` are those that a `missed` or
    `skipped` record stands for together. `caused_by` are the executions whose ends began it, and `line` the jobs whose runs began one
    another up to it. `needs` are the labels that a node must have to run it. A `dry` one runs its template's preview once. `owed` is what
    its end has left to do, and `told` the events of it that the bus has. `correlation_id` is that of the request which asked for it, and
    `traceparent` the span that caused it; both are empty where a schedule did.
    """

    id: str
    job_id: str
    job_name: str
    job_version: int
    group: str
    template_type: str
    template_version: int | None
    code_version: int | None
    parameters: Mapping[str, Any]
    status: str
    queued_at: datetime
    available_at: datetime
    priority: int
    rank: datetime | None
    overlap: Overlap
    max_instances: int
    concurrency_group: str
    run_limit: RunLimit
    timeout_seconds: float
    retry_policy: RetryPolicy
    notifications: Notifications
    pause_after_failures: int
    triggered_by: str
    needs: tuple[str, ...] = ()
    triggered_by_user: str | None = None
    retry_of: str | None = None
    reason: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    result: Mapping[str, Any] | None = None
    error: AttemptError | None = None
    progress: Mapping[str, Any] | None = None
    execution_host: str | None = None
    scheduled_for: datetime | None = None
    stands_for: datetime | None = None
    due_times: DueTimes | None = None
    dry: bool = False
    caused_by: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    resolved: Mapping[str, Any] | None = None
    cancel: CancelRequest | None = None
    owed: tuple[Owed, ...] = ()
    told: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    correlation_id: str = ""
    traceparent: str = ""
    damaged: str = ""

    @property
    def correlation(self) -> str:
        """The id that ties it to a request, log lines, calls and events: that of the request, or its own."""
        return self.correlation_id or self.id

    @property
    def is_live(self) -> bool:
        """True until it has ended."""
        return self.status in LIVE

    @property
    def items(self) -> ItemCounts | None:
        """How many items it did; None for one that counts none."""
        return ItemCounts.of_result(self.result)

    # -- how an execution comes to be -----------------------------------------------------------------------------

    @classmethod
    def due(cls, job: Job, now: datetime, *, at: datetime, overlap: Overlap, available_at: datetime) -> Self:
        """The run of a job for its due time `at`; it waits at least until `available_at`."""
        planned = cls._of(job, now, Trigger.SCHEDULE)
        return replace(planned, scheduled_for=at, overlap=overlap, available_at=max(now, available_at))

    @classmethod
    def summary(cls, job: Job, now: datetime, due_times: DueTimes, *, status: Status, reason: Reason) -> Self:
        """One record for all of these due times, of which none became a run."""
        record = replace(cls._of(job, now, Trigger.SCHEDULE), scheduled_for=due_times.first, due_times=due_times)
        return record.ended(status, reason, now)

    @classmethod
    def manual(
        cls, job: Job, now: datetime, *, by: str, trigger: Trigger, parameters: Mapping[str, Any], execution_id: str | None = None
    ) -> Self:
        """A run that a person or a program asked for, with these parameters. `trigger` is MANUAL, API or RETRY."""
        asked = replace(cls._of(job, now, trigger), triggered_by_user=by, parameters=dict(parameters))
        return asked if execution_id is None else replace(asked, id=execution_id)

    @classmethod
    def again(cls, job: Job, now: datetime, of: str, *, by: str, parameters: Mapping[str, Any] | None, stands_for: datetime | None) -> Self:
        """Another try of the ended execution `of`, which made up for `stands_for` if that is set; with the job's own parameters where none
        are given."""
        chosen = job.definition.parameters if parameters is None else parameters
        fresh = cls.manual(job, now, by=by, trigger=Trigger.RETRY, parameters=chosen)
        return replace(fresh, retry_of=of)._made_up_for(stands_for)

    @classmethod
    def backfilled(cls, job: Job, now: datetime, *, by: str, stands_for: datetime, execution_id: str) -> Self:
        """A run that makes up for the due time `stands_for`, which has passed. It goes behind whatever else waits."""
        made = replace(cls._of(job, now, Trigger.BACKFILL), id=execution_id, triggered_by_user=by, overlap=Overlap.QUEUE)
        return made._made_up_for(stands_for)

    @classmethod
    def following(cls, job: Job, now: datetime, *, caused_by: Sequence[str], line: Sequence[str], execution_id: str) -> Self:
        """A run that the ends of the executions `caused_by` have begun; `line` are the jobs whose runs began one another up to it."""
        return replace(cls._of(job, now, Trigger.DEPENDENCY), id=execution_id, caused_by=tuple(caused_by), line=tuple(line))

    @classmethod
    def preview(cls, job: Job, now: datetime, *, of: str, execution_id: str, parameters: Mapping[str, Any] | None = None) -> Self:
        """A run that says what a run would do and changes nothing: tried once, beside whatever runs, and nobody is told. `of` stands for
        the job, whose history it is not."""
        plain = replace(cls._of(job, now, Trigger.PREVIEW), id=execution_id, job_id=of, overlap=Overlap.ALLOW, dry=True)
        return replace(
            plain,
            parameters=plain.parameters if parameters is None else dict(parameters),
            notifications=Notifications(),
            pause_after_failures=0,
            run_limit=RunLimit(),
            retry_policy=replace(plain.retry_policy, max_retries=0),
        )

    @classmethod
    def _of(cls, job: Job, now: datetime, trigger: Trigger) -> Self:
        """A run of the job as it stands, queued now."""
        definition = job.definition
        return cls(
            id=str(uuid.uuid4()),
            job_id=job.id,
            job_name=definition.name,
            job_version=job.version,
            group=definition.group,
            template_type=definition.template_type,
            template_version=job.template_version,
            code_version=job.code_version,
            parameters=dict(definition.parameters),
            status=Status.QUEUED,
            queued_at=now,
            available_at=now,
            priority=definition.priority,
            rank=now - definition.priority * PRIORITY_STEP,
            overlap=definition.overlap,
            max_instances=definition.concurrency.max_instances,
            concurrency_group=definition.concurrency.group,
            run_limit=definition.run_limit,
            timeout_seconds=definition.timeout_seconds,
            retry_policy=definition.retry_policy,
            notifications=definition.notifications,
            pause_after_failures=definition.pause_after_failures,
            triggered_by=trigger,
            needs=definition.needs,
        )

    def _made_up_for(self, due: datetime | None) -> Self:
        """The same, as what makes up for a due time; the same itself where there is none."""
        return self if due is None else replace(self, stands_for=due, rank=self.queued_at + BEHIND_ALL)

    def asked_by(self, *, correlation_id: str, traceparent: str = "") -> Self:
        """The same, as what a request with this correlation id has asked for, below the span `traceparent`."""
        return replace(self, correlation_id=correlation_id, traceparent=traceparent)

    def ended(self, status: Status, reason: Reason, now: datetime) -> Self:
        """The same, ended before it ran."""
        return replace(self, **ended_fields(status, now, reason))

    # -- to and from the database ---------------------------------------------------------------------------------

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The execution in a stored document, which has the shape EXECUTION."""
        error, due_times, cancel = row.get("error"), row.get("due_times"), row.get("cancel")
        return cls(
            id=row["_id"],
            job_id=row["job_id"],
            job_name=row["job_name"],
            job_version=row["job_version"],
            group=row.get("group") or "",
            template_type=row["template_type"],
            template_version=row["template_version"],
            code_version=row.get("code_version"),
            parameters=row["parameters"],
            status=row["status"],
            queued_at=row["queued_at"],
            available_at=row["available_at"],
            priority=row["priority"],
            rank=row["rank"],
            overlap=Overlap(row["overlap"]),
            max_instances=row["max_instances"],
            concurrency_group=row.get("concurrency_group") or "",
            run_limit=run_limit_from(row.get("run_limit") or {}),
            timeout_seconds=row["timeout_seconds"],
            retry_policy=retry_policy_from(row["retry_policy"]),
            notifications=notifications_from(row.get("notifications") or {}),
            pause_after_failures=row.get("pause_after_failures") or 0,
            triggered_by=row["triggered_by"],
            needs=tuple(row.get("needs") or ()),
            triggered_by_user=row["triggered_by_user"],
            retry_of=row["retry_of"],
            reason=row["reason"],
            started_at=row["started_at"],
            completed_at=row["completed_at"],
            duration_seconds=row["duration_seconds"],
            attempts=tuple(AttemptRecord.from_row(attempt, number) for number, attempt in enumerate(row["attempts"], 1)),
            result=row["result"],
            error=error_from(error),
            progress=row["progress"],
            execution_host=row["execution_host"],
            scheduled_for=row.get("scheduled_for"),
            stands_for=row.get("stands_for"),
            due_times=DueTimes(**{name: due_times[name] for name in ("first", "last", "count")}) if due_times else None,
            dry=row.get("dry", False),
            caused_by=tuple(row.get("caused_by") or ()),
            line=tuple(row.get("line") or ()),
            resolved=resolved_from(row),
            cancel=cancel_from(cancel) if cancel else None,
            owed=owed_from(row),
            told=tuple(row.get(TOLD) or ()),
            slots=tuple(row.get("slots") or ()),
            correlation_id=row.get("correlation_id") or "",
            traceparent=row.get("traceparent") or "",
            damaged=row.get(DAMAGED, ""),
        )

    def as_document(self) -> Document:
        """The stored form of an execution that no attempt has been made of yet."""
        document: Document = {
            "_id": self.id,
            "job_id": self.job_id,
            "job_name": self.job_name,
            "job_version": self.job_version,
            "group": self.group,
            "template_type": self.template_type,
            "template_version": self.template_version,
            "code_version": self.code_version,
            "parameters": dict(self.parameters),
            "status": str(self.status),
            "reason": self.reason,
            "available_at": self.available_at,
            "queued_at": self.queued_at,
            "priority": self.priority,
            "rank": self.rank,
            "overlap": self.overlap.value,
            "max_instances": self.max_instances,
            "concurrency_group": self.concurrency_group,
            "timeout_seconds": self.timeout_seconds,
            "retry_policy": to_plain(self.retry_policy),
            "notifications": to_plain(self.notifications),
            "pause_after_failures": self.pause_after_failures,
            "started_at": None,
            "completed_at": self.completed_at,
            "duration_seconds": None,
            "attempts": [],
            "result": None,
            "error": None,
            "progress": None,
            "triggered_by": str(self.triggered_by),
            "triggered_by_user": self.triggered_by_user,
            "retry_of": self.retry_of,
            "execution_host": None,
        }
        return document | self._optional()

    def _optional(self) -> Document:
        """The fields that only some documents have: indexes and queries go by whether they are there."""
        document: Document = {"live": True, "queue_rank": self.rank} if self.is_live else {}
        document |= needs_fields(self.needs)
        if self.scheduled_for is not None:
            document["scheduled_for"] = self.scheduled_for
        if self.stands_for is not None:
            document["stands_for"] = self.stands_for
        if self.due_times is not None:
            document["due_times"] = {"first": self.due_times.first, "last": self.due_times.last, "count": self.due_times.count}
        if self.dry:
            document["dry"] = True
        if self.run_limit.is_set:
            document["run_limit"] = to_plain(self.run_limit)
        if self.caused_by:
            document |= {"caused_by": list(self.caused_by), "depth": len(self.line), "line": list(self.line)}
        if self.correlation_id:
            document["correlation_id"] = self.correlation_id
        if self.traceparent:
            document["traceparent"] = self.traceparent
        if self.owed:
            document["owed"] = [item.as_document() for item in self.owed]
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What lists and pictures show of an execution; a field that the query did not ask for has its default. `error` is the message."""

    id: str
    status: str
    reason: str | None = None
    job_id: str = ""
    job_name: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    error: str | None = None
    items: ItemCounts | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        return cls(
            id=row["_id"],
            status=row["status"],
            reason=row.get("reason"),
            job_id=row.get("job_id", ""),
            job_name=row.get("job_name", ""),
            queued_at=row.get("queued_at"),
            started_at=row.get("started_at"),
            completed_at=row.get("completed_at"),
            duration_seconds=row.get("duration_seconds"),
            error=restored(error["message"], error.get("said")) if (error := row.get("error")) else None,
            items=ItemCounts.of_result(row.get("result")),
        )


def cancel_from(row: Mapping[str, Any]) -> CancelRequest:
    """Who asked an execution to stop, in a stored document."""
    return CancelRequest(by=row["by"], at=row["at"], reason=row.get("reason"))


def error_from(row: Mapping[str, Any] | None) -> AttemptError | None:
    """The error in a stored document, if there is one."""
    return AttemptError.from_row(row) if row else None


def resolved_from(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What dynamic values became in the first attempt, by JSON Pointer; None where there were none."""
    pairs = row.get("resolved")
    return {pair["pointer"]: pair["value"] for pair in pairs} if pairs else None

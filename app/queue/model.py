"""The words of the queue: statuses, what caused an execution, why it ended; and an attempt, from its claim to its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from app.jobs.model import Notifications, RetryOn, RetryPolicy
from app.mongo import Document
from templates_lib.messages import parts_of, restored


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


LIVE = frozenset({Status.QUEUED, Status.RUNNING, Status.RETRYING})
FAILURES = frozenset({Status.FAILED, Status.TIMEOUT})
RAN = FAILURES | {Status.SUCCESS}  # ran to an end of its own, so that other jobs may run after it
ENDED = frozenset(Status) - LIVE


# How often the program that goes on with a deferred attempt must be heard of.
LEAST_HEARTBEAT_SECONDS, USUAL_HEARTBEAT_SECONDS, MOST_HEARTBEAT_SECONDS = 1.0, 300.0, 86_400.0


class Trigger(StrEnum):
    """What caused an execution."""

    SCHEDULE = "schedule"  # its due time
    MANUAL = "manual"  # a person, on a page or on the command line of the machine
    API = "api"  # a program, by REST
    WEBHOOK = "webhook"  # a request to an inbound address of the job
    COMMAND = "command"  # a program, by a command on the bus
    BACKFILL = "backfill"  # someone asked for the runs of a time that has passed
    PREVIEW = "preview"  # says what a run would do, for who is to approve it
    DEPENDENCY = "dependency"  # the end of a run of a job that it depends on
    RETRY = "retry"  # someone asked for another try of an ended execution


class Reason(StrEnum):
    """Why an execution did not run, or an attempt ended as it did."""

    OVERLAP = "overlap"  # the job still ran
    RUN_LIMIT = "run_limit"  # as many runs of the job as its own limit allows had started
    TEMPLATE_OFF = "template_off"  # its template was disabled
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
    NO_INSTANCE = "no_instance"  # it waits: no instance of its service declares its job
    CIRCUIT_OPEN = "circuit_open"  # it waits: calls to its service failed, and none is made for a while
    SERVICE_BUSY = "service_busy"  # it waits: slow calls to its service take their share of this node


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """Why an attempt failed. `kind` is what the retry policy goes by; `permanent` says that trying again cannot help;
    `retry_after_seconds` is how long the next attempt waits at least, where a server asked for that."""

    type: str
    message: str
    permanent: bool = False
    kind: RetryOn = RetryOn.ERROR
    traceback: str = ""
    retry_after_seconds: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The error in a stored document; what is missing or unknown has its default."""
        kind = row.get("kind")
        return cls(
            type=row["type"],
            message=restored(row["message"], row.get("said")),
            permanent=row.get("permanent", False),
            kind=RetryOn(kind) if kind in set(RetryOn) else RetryOn.ERROR,
            traceback=row["traceback"],
            retry_after_seconds=row.get("retry_after_seconds"),
        )

    def as_document(self) -> Document:
        document = {
            "type": self.type,
            "message": self.message,
            "permanent": self.permanent,
            "kind": self.kind.value,
            "traceback": self.traceback,
        }
        return document if self.retry_after_seconds is None else {**document, "retry_after_seconds": self.retry_after_seconds}

    def as_stored(self) -> Document:
        """The document with the parts of the message, so that a page can show it in any language."""
        return {**self.as_document(), "said": parts_of(self.message)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """Another program goes on with an attempt and reports how it ends. It must be heard of at least every `heartbeat_seconds`; `deadline`
    is when the attempt has run longer than it may."""

    heartbeat_seconds: float
    deadline: datetime | None = None


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
    retry_policy: RetryPolicy
    failed_attempts: int  # counts this one, should it fail
    notifications: Notifications = field(default_factory=Notifications)
    pause_after_failures: int = 0
    rank: datetime | None = None
    slots: tuple[str, ...] = ()  # what it holds of the bounds on runs at once; its job's slot comes first
    stands_for: datetime | None = None  # of a backfill: the due time that it makes up for
    scheduled_for: datetime | None = None
    resolved: Mapping[str, Any] | None = None  # what dynamic values became in an earlier attempt, by JSON Pointer
    dry: bool = False  # the template's preview, which changes nothing
    triggered_by: str = ""
    triggered_by_user: str | None = None
    queued_at: datetime | None = None
    postponed_since: datetime | None = None  # when this attempt was put off for the first time; its service could not take it
    deferral: Deferral | None = None  # another program goes on with it
    correlation_id: str = ""  # of the request that asked for the execution, or its own id
    traceparent: str = ""  # the span that caused the execution

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of every log line about it."""
        return {"execution": self.execution_id, "attempt": self.number, "correlation_id": self.correlation_id or self.execution_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """A call over HTTP that an attempt made: its span, or an empty text if that follows from the attempt; when it began, and how long it
    took until its answer; its status, or None and the type of its error."""

    span: str
    method: str
    scheme: str
    host: str
    port: int
    began_at: datetime
    seconds: float
    status: int | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: `success`, `failed`, `timeout` or `cancelled`; `reason` where the runner ended it itself.

    With `deferral` it is `running`: its process has ended, and another program goes on with it. `calls` are those over HTTP that it made,
    if they are traced. `report` is the digest of the report by which such a program ended it.
    """

    status: Status
    result: Mapping[str, Any] | None = None
    error: AttemptError | None = None
    reason: Reason | None = None
    seconds: float = 0.0
    began_at: datetime | None = None  # when its process began it, which may be a little after it was claimed
    usage: Mapping[str, float] = field(default_factory=dict)
    deferral: Deferral | None = None
    calls: tuple[CallMade, ...] = ()
    report: str | None = None

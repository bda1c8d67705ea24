"""Small records that the stores of jobs take and return, besides the jobs themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.jobs.model import Pause
from app.jobs.rules import OutboxEntry
from app.triggers import Trigger

WOULD_RUN = "run"  # the outcome of a shadow run at whose due time the job would have run


@dataclass(frozen=True, slots=True)
class JobRef:
    """What other jobs and pages show of a job."""

    id: str
    name: str
    group: str
    last_status: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The announcement of a change that is about to be written (app.jobs.graph): the job will run after the jobs `depends_on`, or it
    `leaves` the registry."""

    token: str
    job_id: str
    depends_on: tuple[str, ...] = ()
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class SharedSchedule:
    """The trigger of a schedule, the number of jobs that have it, and (id, name) of the first MOST_NAMED of them (app.jobs.list_store).
    `phase` is the next due time of these jobs if the trigger counts from its first due time, else None."""

    trigger: Trigger
    phase: datetime | None
    jobs: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of a job: when it began and how it ended, each None if there was none."""

    job_name: str
    status: str | None
    began_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run of a job that has begun, and the status with which it ended; None while it will be retried."""

    job_id: str
    began_at: datetime
    status: str | None


@dataclass(frozen=True, slots=True)
class Advance:
    """One step of the dispatcher for one job: the version and due time that it read, the next due time, and the entries for the job's
    outbox. `pause` is the pause that begins with this step; `ends_pause` removes the present one."""

    job_id: str
    version: int
    due: datetime
    next_run_at: datetime | None
    entries: list[OutboxEntry]
    ends_pause: bool = False
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one job: the entries that the claim `claim` put into it and that may not be written yet."""

    job_id: str
    claim: str
    entries: list[OutboxEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRun:
    """A due time of a job in shadow mode, or `count` of them from `due_at` to `last_due_at` that share a record.

    `outcome` is `run` where the job would have run, else the status that the record of a real run would have (`missed`, `skipped`), with
    its `reason`. `at` is when it was planned.
    """

    id: str
    job_id: str
    outcome: str
    reason: str | None
    due_at: datetime
    last_due_at: datetime
    count: int
    triggered_by: str
    at: datetime

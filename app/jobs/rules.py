"""What the registry asks of app.scheduling, which lies above it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, Protocol

from app.errors import FieldError
from app.jobs.model import Job, Schedule
from app.mongo import Document

# A document that a change of a job owes to a stage above (an execution). The registry keeps it in the job's outbox, in the same write as
# the change, and hands it back as it is; it does not look into it.
OutboxEntry = NewType("OutboxEntry", Document)


class ScheduleStop(StrEnum):
    """Why a schedule stops before its due times have all become executions."""

    DELETED = "deleted"  # the job leaves the registry
    SWITCHED_OFF = "switched_off"  # the job is switched off
    RESCHEDULED = "rescheduled"  # the job gets another schedule


class ScheduleRules(Protocol):
    """What schedules mean."""

    def check(self, schedule: Schedule, now: datetime) -> list[FieldError]:
        """Returns the errors of a schedule, at pointers from the job's root; an empty list if the schedule can be used."""
        ...

    def never_due(self, schedule: Schedule, now: datetime) -> FieldError | None:
        """Returns where and why a valid schedule has no due time after `now`; None if it has one, or if it is `manual`."""
        ...

    def not_computable(self, schedule: Schedule) -> FieldError | None:
        """Returns where and why the due times of a stored schedule cannot be computed; None if they can."""
        ...

    def next_after(self, schedule: Schedule, after: datetime) -> datetime | None:
        """Returns the first due time later than `after`; None if there is none."""
        ...


class PassedDueTimes(Protocol):
    """What becomes of due times that have passed and that no dispatcher has planned."""

    def on_stop(self, job: Job, stop: ScheduleStop, *, now: datetime) -> list[OutboxEntry]:
        """Returns the records of the due times of `job` that passed before its schedule stopped: at most one of those that were in time
        and one of those that were too late."""
        ...

    def on_resume(self, job: Job, *, now: datetime) -> tuple[list[OutboxEntry], datetime | None]:
        """Returns the records of the due times that a pause let pass, and the first due time after `now`."""
        ...

    def on_shadow_end(self, job: Job, *, now: datetime) -> tuple[list[OutboxEntry], datetime | None]:
        """Returns the records of the due times that passed in shadow mode unplanned, and the first due time after `now`."""
        ...


@dataclass(frozen=True, slots=True)
class Schedules:
    """What the registry needs of the stage above it."""

    rules: ScheduleRules
    passed: PassedDueTimes

"""What the registry asks of app.scheduling, which lies above it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from app.errors import FieldError
from app.jobs.model import Job, Schedule
from app.mongo import Document


class ScheduleRules(Protocol):
    """What schedules mean."""

    def check(self, schedule: Schedule, now: datetime) -> list[FieldError]:
        """What is wrong, at pointers from the job's root; empty where the schedule can be used."""
        ...

    def never_due(self, schedule: Schedule, now: datetime) -> FieldError | None:
        """Where and why a schedule that can be used has no due time after `now`; None where it has, or is by hand."""
        ...

    def not_computable(self, schedule: Schedule) -> FieldError | None:
        """Where and why the due times of a stored schedule cannot be computed; None where they can."""
        ...

    def next_after(self, schedule: Schedule, after: datetime) -> datetime | None:
        """The first due time later than `after`; None where none comes any more."""
        ...


class Endings(Protocol):
    """What is left when a schedule holds no more."""

    def records(self, job: Job, *, now: datetime, reason: str) -> list[Document]:
        """Executions for the due times that have passed and were not planned: `skipped` for `reason`, or `missed`."""
        ...

    def resume(self, job: Job, *, now: datetime) -> tuple[list[Document], datetime | None]:
        """Executions for the due times that a pause let go by, and the first due time after now."""
        ...

"""Jobs as the registry holds them, without a service that makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.jobs.model import Dependency, Job, JobDefinition, Schedule
from app.triggers import IntervalTrigger

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def stored_job(
    name: str, *, after: tuple[str, ...] = (), due_in: float | None = None, calendars: tuple[str, ...] = (), **fields: Any
) -> Job:
    """A job with the id `id-NAME`, created at NOW by ada@example.com. It runs after the jobs with the ids `after`; `due_in` seconds after
    NOW it is due, every minute. `fields` are those of its definition and of its record."""
    of_job = {key: fields.pop(key) for key in ("version", "template_version", "created_by", "last_status") if key in fields}
    interval = Schedule(trigger=IntervalTrigger(interval_seconds=60), calendars=calendars)
    definition = JobDefinition(
        name=name,
        template_type=fields.pop("template_type", "noop"),
        depends_on=tuple(Dependency(job=job) for job in after),
        schedule=Schedule() if due_in is None else interval,
        **fields,
    )
    record = {"template_version": 1, "version": 1, "created_by": "ada@example.com", "origin": "api", **of_job}
    next_run_at = None if due_in is None else NOW + timedelta(seconds=due_in)
    return Job(
        id=f"id-{name}",
        definition=definition,
        created_at=NOW,
        updated_by="ada@example.com",
        updated_at=NOW,
        next_run_at=next_run_at,
        **record,
    )

"""Recorded events of jobs as events of the bus. Pure."""

from __future__ import annotations

from typing import Any

from app.integrations.nats.cloud_events import CloudEvent, plain
from app.jobs.model import Job
from app.outbox.events import JobBroken, JobChanged, StoredEvent


def job_event(stored: StoredEvent, job: Job | None) -> CloudEvent | None:
    """Returns the event for the bus; None if there is nothing to tell: the change was refused. `job` is the job as it is now, or as it was
    when it was deleted; None if there is none."""
    event = stored.event
    if isinstance(event, JobBroken):
        data = _of_job(job) if job is not None else {"job_id": event.job_id, "job_name": event.job_name, "version": 0}
        return _event(stored, event, "broken", {**data, "reason": event.reason})
    if isinstance(event, JobChanged) and job is not None and job.version > event.version:
        return _event(stored, event, event.change, {**_of_job(job), "changed": list(event.changed)})
    return None


def _event(stored: StoredEvent, event: JobBroken | JobChanged, change: str, data: dict[str, Any]) -> CloudEvent:
    caused = {"correlation_id": stored.correlation_id} if stored.correlation_id else {}
    return CloudEvent(
        id=stored.id,
        kind=f"job.{change}",
        about=event.job_id,
        at=event.at,
        data=plain({**data, **caused}),
        traceparent=stored.traceparent,
    )


def _of_job(job: Job) -> dict[str, Any]:
    """What is told of a job. Its parameters are not: they may hold what only some people may see."""
    definition = job.definition
    return {
        "job_id": job.id,
        "job_name": definition.name,
        "version": job.version,
        "template_type": definition.template_type,
        "group": definition.group,
        "tags": list(definition.tags),
        "enabled": definition.enabled,
        "paused": job.paused is not None,
        "next_run_at": job.next_run_at,
        "updated_by": job.updated_by,
        "updated_at": job.updated_at,
    }

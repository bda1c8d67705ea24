"""What rules know of a job, read from its definition."""

from __future__ import annotations

from app.jobs.model import Job
from app.notification.rules.rule import JobFacts
from app.queue.execution import Execution


def facts_of(job: Job) -> JobFacts:
    """Returns what rules know of a job."""
    definition = job.definition
    return JobFacts(
        id=job.id, name=definition.name, group=definition.group, template=definition.template_type, tags=frozenset(definition.tags)
    )


def facts_of_run(execution: Execution, job: Job | None) -> JobFacts:
    """Returns what rules know of the job of an execution, as it is now; what the execution itself has, if the job is deleted."""
    if job is not None:
        return facts_of(job)
    return JobFacts(id=execution.job_id, name=execution.job_name, group=execution.group, template=execution.template_type)

"""What a list of jobs shows of each job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.audit.model import Actor
from app.execution.figures import Figures
from app.jobs.model import Job
from app.jobtemplates.entry import TemplateVersion
from app.queue.execution import Outline
from app.queue.model import FAILURES, RAN
from app.services import Services

STRIP = 20  # executions in the strip of a row


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job of a list.

    latest: its last executions, newest first. template: its version of the template, or None if that is gone; `broken` then says why.
    figures: the share of successes and the durations of `latest`. ran: how many of `latest` really ran. after: the names of the jobs that
    it runs after. why: the error of its last run, if that failed.
    """

    job: Job
    latest: Sequence[Outline]
    template: TemplateVersion | None
    broken: str | None
    figures: Figures
    ran: int
    after: Sequence[str]
    why: str


def job_rows(services: Services, actor: Actor, jobs: Sequence[Job]) -> list[JobRow]:
    """Returns a row for each job, in the same order. Reads the executions and the names of all jobs together."""
    latest = services.history.latest_of(actor, [job.id for job in jobs], STRIP)
    names = services.dependencies.names(actor, {dependency.job for job in jobs for dependency in job.definition.depends_on})
    failing = [job.id for job in jobs if (runs := latest.get(job.id)) and runs[0].status in FAILURES]
    errors = services.history.last_errors(actor, failing)
    return [_row(services, job, latest.get(job.id, []), names, errors.get(job.id, "")) for job in jobs]


def job_row(services: Services, actor: Actor, job: Job) -> JobRow:
    """Returns the row of one job."""
    return job_rows(services, actor, [job])[0]


def _row(services: Services, job: Job, latest: Sequence[Outline], names: Mapping[str, str], why: str) -> JobRow:
    template_type, version, catalogue = job.definition.template_type, job.template_version, services.catalogue
    template = catalogue.find(template_type, version)
    return JobRow(
        job=job,
        latest=latest,
        template=template,
        broken=None if template else catalogue.why_not(template_type, version),
        figures=Figures.of(latest),
        ran=sum(outline.status in RAN for outline in latest),
        after=[names.get(dependency.job, "…") for dependency in job.definition.depends_on],
        why=why,
    )

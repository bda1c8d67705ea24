"""What the page of a job shows, loaded without Flask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.connections.service import Need
from app.execution.filters import ExecutionFilter
from app.jobs.dependencies import Link
from app.jobs.model import Job
from app.jobs.notes import Note
from app.jobs.registered import drift, value_at
from app.jobs.revisions import Revision
from app.jobs.shadowing import ShadowPage
from app.labels import union
from app.mongo import Document
from app.notification.announcing import SubjectKind
from app.notification.incidents.incident import Incident, IncidentFilter
from app.notification.rules.facts import facts_of
from app.notification.rules.rule import AlertRule
from app.paging import Page
from app.queue.execution import Execution
from app.scheduling.plan import spread
from app.services import Services
from web.charts import Durations, durations
from web.filters.job_words import titles_on_the_way
from web.filters.parameters import definition_text
from web.views.common import MOST_COUNTED
from web.views.job_rows import JobRow, job_row
from web.views.upcoming import upcoming

HISTORY = 15  # executions, and versions, on one page
CHARTED = 60  # executions in the chart of durations
SHOWN_REVISIONS = 3
SHOWN_SHADOWS = 10  # shadow runs
SHOWN_INCIDENTS = 3
SHOWN_EVENTS = 10  # audit events


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPageModel:
    """The values of the page of one job; its template reads each by its name.

    job: the job itself. row: what the list of jobs shows of it. newer: the current version of its template if the job has an older one.
    page: its latest executions. past: the chart of their durations. due: its next runs {utc, local, note}; empty if nothing starts it.
    spread: the seconds after each due time at which it starts. needs: the connections that its parameters name. notes: what people wrote
    about it. parameters: their values without secrets. shadow: its last shadow runs.
    upstream and dependants: the jobs that it runs after, and those that run after it.
    gathered: the ids of the executions that a run of it waits with, by the id of their job. backfill: how many runs of a backfill wait.
    limit_free_at: when its own limit of runs allows the next one; None if it allows one now.
    labels: those that a node must have to run it; placed: whether some node has them.
    drifts and settled: the values {field, title, value, before, declared, by, held, at} that stand in place of declared ones, those that
    the code has changed since and the others; Jobwright itself has put those that are `held` back.
    rules: the enabled alert rules that apply to it. incidents: its open incidents.
    asked: the requests that wait for approval. revisions and audit: its last versions and audit events, newest first.
    """

    job: Job
    row: JobRow
    newer: int | None
    page: Page[Execution]
    past: Durations
    due: Sequence[Mapping[str, Any]]
    spread: float
    needs: Sequence[Need]
    notes: Sequence[Note]
    parameters: Mapping[str, Any]
    shadow: ShadowPage
    upstream: Sequence[Link]
    dependants: Sequence[Link]
    gathered: Mapping[str, str]
    backfill: int
    limit_free_at: datetime | None
    labels: Sequence[str]
    placed: bool
    drifts: Sequence[Mapping[str, Any]]
    settled: Sequence[Mapping[str, Any]]
    asked: Sequence[Document]
    revisions: Sequence[Revision]
    audit: Sequence[Document]
    rules: Sequence[AlertRule]
    incidents: Sequence[Incident]

    def values(self) -> dict[str, Any]:
        """Returns the values by name, as `render_template` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def load_job_page(services: Services, actor: Actor, job_id: str, *, page: int = 1) -> JobPageModel:
    """Loads what the page of a job shows to `actor`; `page` counts the pages of executions from 1.

    Raises NotFound if there is no such job, or if the actor may not see it.
    """
    job = services.jobs.get(actor, job_id)
    history, schedule = services.history, job.definition.schedule
    past = durations(history.latest(actor, job_id, CHARTED))
    labels = union(job.definition.needs, services.catalogue.needs(job.definition.template_type))
    starts = job.definition.enabled and not job.schedule_error and job.shadow is None
    return JobPageModel(
        job=job,
        row=job_row(services, actor, job),
        newer=newer_version(services, job),
        page=history.page(actor, ExecutionFilter(job_id=job_id), page=page, limit=HISTORY, most=MOST_COUNTED),
        past=past,
        due=upcoming(services, schedule, round(past.figures.median_seconds or 0)) if starts else [],
        spread=spread(job.id, schedule.jitter_seconds).total_seconds(),
        needs=services.parameters.needs(job),
        notes=services.notes.of(actor, job_id),
        parameters=services.parameters.shown(job),
        shadow=services.shadowing.runs(actor, job_id, limit=SHOWN_SHADOWS),
        upstream=services.dependencies.upstream(actor, job),
        dependants=services.dependencies.dependants(actor, job_id),
        gathered=services.gathered(job_id),
        backfill=services.backfill_runs.waiting(actor, job_id),
        limit_free_at=services.runs.limit_free_at(actor, job_id),
        labels=labels,
        placed=services.node_control.takes(labels),
        drifts=_drifts(job),
        settled=_settled(job),
        asked=services.approvals.waiting_for(actor, job_id),
        revisions=services.jobs.revisions(actor, job_id, limit=SHOWN_REVISIONS),
        audit=services.audit.history(AuditFilter(kind="job", target_id=job_id), limit=SHOWN_EVENTS),
        rules=services.alert_rules.of_job(actor, facts_of(job)),
        incidents=services.incidents.page(
            actor, IncidentFilter(open=True, subject_kind=SubjectKind.JOB.value, subject_id=job_id), limit=SHOWN_INCIDENTS
        )[0],
    )


def _drifts(job: Job) -> list[dict[str, Any]]:
    """Returns the fields of which an admin and the code want different values by now, in words."""
    registered = job.registered
    drifted = drift(registered.declared, registered.overrides) if registered else []
    return [
        {
            "field": item.field,
            "title": titles_on_the_way(item.field),
            **{name: definition_text(item.field, getattr(item, name)) for name in ("value", "before", "declared")},
            "by": item.by,
            "held": item.by == SYSTEM.email,
            "at": item.at,
        }
        for item in drifted
    ]


def _settled(job: Job) -> list[dict[str, Any]]:
    """Returns the other values that admins put in place of declared ones, in words."""
    registered = job.registered
    if registered is None:
        return []
    drifted = {item.field for item in drift(registered.declared, registered.overrides)}
    return [
        {
            "field": item.field,
            "title": titles_on_the_way(item.field),
            "value": definition_text(item.field, item.value),
            "declared": definition_text(item.field, value_at(registered.declared, item.field)),
            "by": item.by,
            "held": item.by == SYSTEM.email,
            "at": item.at,
        }
        for item in registered.overrides
        if item.field not in drifted
    ]


def newer_version(services: Services, job: Job) -> int | None:
    """Returns the current version of the job's template, or None if the job has it, or if the template is gone."""
    current = services.catalogue.find(job.definition.template_type)
    return current.version if current is not None and current.version > job.template_version else None

"""Jobs and executions as the tables `job_schedules` and `scheduled_jobs` have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.accounts.permissions import May, lacks
from app.api.compat.words import cause_word, error_words, in_both_spellings, metadata, milliseconds, status_word
from app.api.current import actor, services
from app.api.jobs.answers import client_locale
from app.connections.vault import mask
from app.execution.sums import Sums
from app.jobs.model import Job
from app.queue.execution import Execution
from app.queue.items import MEMBERS, ItemCounts


def show_named_jobs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Returns jobs as members of an answer, with the figures of all their executions that are kept, if the sender may see those."""
    ids = [job.id for job in jobs]
    sums = services().history.sums(actor(), ids) if lacks(actor(), May.SEE_EXECUTIONS) is None else None
    busy = services().history.busy(ids)
    return [_named_job(job, is_running=job.id in busy, sums=None if sums is None else sums.get(job.id, Sums())) for job in jobs]


def cron_expression(job: Job) -> str | None:
    """Returns the cron expression of a job; None if its schedule is of another type."""
    trigger = job.definition.schedule.trigger
    return str(trigger.own_values()["expression"]) if trigger.type == "cron" else None


def _named_job(job: Job, *, is_running: bool, sums: Sums | None) -> dict[str, Any]:
    definition, registered = job.definition, job.registered
    parameters: Mapping[str, Any] = mask(definition.parameters)
    service = registered.service if registered else parameters.get("service") or parameters.get("connection")
    config = parameters.get("config")
    return in_both_spellings(
        {
            "name": definition.name,
            "job_name": definition.name,
            "display_name": (registered.display_name if registered else "") or definition.name,
            "description": definition.description,
            "cron_expression": cron_expression(job),
            "schedule": definition.schedule.trigger.words(client_locale()),
            "timezone": definition.schedule.trigger.timezone,
            "enabled": definition.enabled,
            "is_running": is_running,
            "job_type": (registered.job_type if registered else "") or definition.template_type,
            "service": service if isinstance(service, str) else None,
            "endpoint": parameters.get("path") or parameters.get("url"),
            "config": config if isinstance(config, Mapping) else {},
            "last_run_at": job.last_run_at,
            "last_run_status": status_word(job.last_status) if job.last_status else None,
            "next_run_at": job.next_run_at,
            **figures(sums),
            "created_at": job.created_at,
            "updated_at": job.updated_at,
        }
    )


def figures(sums: Sums | None) -> dict[str, Any]:
    """Returns the figures of executions; None for each if there are too many to count them."""
    if sums is None:
        names = ("total_runs", "successful_runs", "failed_runs", "success_rate", "average_duration_ms")
        return dict.fromkeys(names)
    return {
        "total_runs": sums.total,
        "successful_runs": sums.successful,
        "failed_runs": sums.failed,
        "success_rate": sums.success_rate,
        "average_duration_ms": None if sums.average_seconds is None else round(sums.average_seconds * 1000, 3),
    }


def show_stats(sums: Sums | None) -> dict[str, Any]:
    """Returns the figures of the executions of a period, with the items that they worked on."""
    items = None if sums is None else sums.items or ItemCounts()
    counts = {f"items_{what}": None if items is None else getattr(items, what) for what in MEMBERS}
    return in_both_spellings({**figures(sums), **counts})


def show_named_execution(execution: Execution) -> dict[str, Any]:
    """Returns an execution as a row of `scheduled_jobs`."""
    items = execution.items or ItemCounts()
    return in_both_spellings(
        {
            "id": execution.id,
            "job_name": execution.job_name,
            "job_type": execution.template_type,
            "status": status_word(execution.status),
            "created_at": execution.queued_at,
            "started_at": execution.started_at,
            "completed_at": execution.completed_at,
            "duration_ms": milliseconds(execution),
            "items_processed": items.processed,
            "items_succeeded": items.succeeded,
            "items_failed": items.failed,
            "error_message": error_words(execution),
            "metadata": metadata(execution),
            "triggered_by": cause_word(execution.triggered_by),
            "triggered_by_user": execution.triggered_by_user,
        }
    )

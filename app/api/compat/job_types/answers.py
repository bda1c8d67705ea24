"""Executions of job types as answers."""

from __future__ import annotations

from typing import Any

from app.api.compat.words import error_words, in_both_spellings, job_result, status_word, statuses_of
from app.api.current import actor, services
from app.errors import NotFound
from app.execution.filters import ExecutionFilter
from app.queue.execution import Execution


def show_typed_execution(execution: Execution) -> dict[str, Any]:
    """Returns an execution as a row of `scheduled_jobs`."""
    members = {
        "id": execution.id,
        "job_type": execution.job_name,
        "status": status_word(execution.status),
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "started_by": execution.triggered_by_user,
        "error": error_words(execution),
        "created_at": execution.queued_at,
        "updated_at": execution.completed_at or execution.started_at or execution.queued_at,
    }
    return {**in_both_spellings(members), "result": job_result(execution)}


def list_of_executions(job_type: str | None, status: str | None, *, page: int, limit: int) -> dict[str, Any]:
    """Returns one page of the executions of a job type, or of all; newest first. A type that no job has has none."""
    job_id = None
    if job_type is not None:
        try:
            job_id = services().directory.named(actor(), job_type).id
        except NotFound:
            return {"jobs": [], "total": 0, "page": page, "limit": limit}
    wanted = ExecutionFilter(job_id=job_id, statuses=statuses_of(status), real=True)
    rows, total = services().history.part(actor(), wanted, skip=(page - 1) * limit, limit=limit)
    return {"jobs": [show_typed_execution(row) for row in rows], "total": total, "page": page, "limit": limit}

"""Executions of schedules as answers."""

from __future__ import annotations

from typing import Any

from app.api.compat.schedules.states import EXECUTION_WORDS, execution_word
from app.api.compat.words import error_words
from app.api.present import jsonable
from app.execution.sums import Sums
from app.queue.execution import Execution


def show_schedule_execution(execution: Execution) -> dict[str, Any]:
    """Returns an execution of a schedule."""
    shown: dict[str, Any] = jsonable(
        {
            "id": execution.id,
            "execution_id": execution.id,
            "schedule_id": execution.job_id,
            "schedule_name": execution.job_name,
            "status": execution_word(execution.status),
            "reason": execution.reason,
            "scheduled_for": execution.scheduled_for,
            "created_at": execution.queued_at,
            "started_at": execution.started_at,
            "completed_at": execution.completed_at,
            "duration_seconds": execution.duration_seconds,
            "attempts": len(execution.attempts),
            "retry_count": max(0, len(execution.attempts) - 1),
            "result": execution.result,
            "error": error_words(execution),
            "triggered_by": execution.triggered_by,
            "triggered_by_user": execution.triggered_by_user,
        }
    )
    return shown


def show_schedule_stats(sums: Sums | None) -> dict[str, Any]:
    """Returns the figures of the executions of a period; None for each if there are too many to count them."""
    if sums is None:
        names = ("total_executions", "successful_executions", "failed_executions", "misfires", "success_rate")
        return dict.fromkeys((*names, "average_duration_seconds", "by_status"))
    by_word = {word: sum(sums.counts.get(status.value, 0) for status in statuses) for word, statuses in EXECUTION_WORDS.items()}
    return {
        "total_executions": sums.total,
        "successful_executions": sums.successful,
        "failed_executions": sums.failed,
        "misfires": by_word["skipped"] + by_word["missed"],
        "success_rate": sums.success_rate,
        "average_duration_seconds": sums.average_seconds,
        "by_status": by_word,
    }

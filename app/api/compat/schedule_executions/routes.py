"""/api/v1/executions: executions of schedules, and their figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.accounts.permissions import May
from app.api.compat.blueprint import CompatBlueprint
from app.api.compat.schedule_executions.answers import show_schedule_execution, show_schedule_stats
from app.api.compat.schedule_executions.schemas import (
    AllExecutionsQuery,
    ExecutionQuery,
    ScheduleExecutionList,
    ScheduleExecutionOut,
    ScheduleStatsOut,
    ScheduleStatsQuery,
)
from app.api.compat.schedules.schemas import PartQuery
from app.api.compat.schedules.states import EXECUTION_WORDS
from app.api.current import actor, services
from app.execution.filters import ExecutionFilter
from app.execution.sums import Sums

blueprint = CompatBlueprint(
    "Executions of schedules",
    __name__,
    url_prefix="/api/v1",
    description="Routes of another scheduler service, for its clients: executions of schedules (docs/reference/compatibility.md)",
)


@blueprint.get("/executions")
@blueprint.arguments(AllExecutionsQuery, location="query")
@blueprint.response(200, ScheduleExecutionList)
def list_schedule_executions(query: dict[str, Any]) -> dict[str, Any]:
    """List the executions of all schedules, newest first"""
    return _list(query, query.get("status"), schedule_id=query.get("schedule_id"))


@blueprint.get("/executions/running")
@blueprint.arguments(PartQuery, location="query")
@blueprint.response(200, ScheduleExecutionList)
def list_running_schedule_executions(query: dict[str, Any]) -> dict[str, Any]:
    """List the executions that run"""
    return _list(query, "running")


@blueprint.get("/executions/<execution_id>")
@blueprint.response(200, ScheduleExecutionOut)
def get_schedule_execution(execution_id: str) -> dict[str, Any]:
    """Read one execution"""
    return show_schedule_execution(services().history.get(actor(), execution_id))


@blueprint.get("/executions/stats/<schedule_id>")
@blueprint.arguments(ScheduleStatsQuery, location="query")
@blueprint.response(200, ScheduleStatsOut)
def get_schedule_stats(query: dict[str, Any], schedule_id: str) -> dict[str, Any]:
    """Read figures of the executions of a schedule in the last days"""
    job = services().jobs.visible_for(actor(), schedule_id, May.SEE_EXECUTIONS)
    sums = services().history.sums(actor(), [job.id], since=services().clock.now() - timedelta(days=query["days"]))
    figures = show_schedule_stats(None if sums is None else sums.get(job.id, Sums()))
    return {"schedule_id": job.id, "days": query["days"], **figures}


@blueprint.get("/schedules/<schedule_id>/executions")
@blueprint.arguments(ExecutionQuery, location="query")
@blueprint.response(200, ScheduleExecutionList)
def list_executions_of_schedule(query: dict[str, Any], schedule_id: str) -> dict[str, Any]:
    """List the executions of a schedule, newest first"""
    services().jobs.visible_for(actor(), schedule_id, May.SEE_EXECUTIONS)
    return _list(query, query.get("status"), schedule_id=schedule_id)


def _list(query: dict[str, Any], word: str | None, *, schedule_id: str | None = None) -> dict[str, Any]:
    limit, skip = query["limit"], query.get("offset", (query["page"] - 1) * query["limit"])
    statuses = tuple(status.value for status in EXECUTION_WORDS[word]) if word else ()
    wanted = ExecutionFilter(job_id=schedule_id, statuses=statuses, real=True)
    rows, total = services().history.part(actor(), wanted, skip=skip, limit=limit)
    shown = [show_schedule_execution(row) for row in rows]
    return {"executions": shown, "total": total, "page": skip // limit + 1, "limit": limit}

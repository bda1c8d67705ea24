"""Jobs as schedules of commands, and their executions."""

from __future__ import annotations

from typing import Any

from app.api.compat.schedules.states import state_of
from app.api.compat.schedules.translation import COMMAND, IMMEDIATE, TYPE_NAMES
from app.api.current import services
from app.api.present import jsonable
from app.connections.vault import mask
from app.jobs.model import Job


def show_schedule(job: Job) -> dict[str, Any]:
    """Returns a job as a schedule at this moment; secrets are masked."""
    definition = job.definition
    values = definition.schedule.trigger.own_values()
    common = {name: getattr(definition.schedule.trigger, name) for name in ("timezone", "start_at", "end_at")}
    parameters = mask(definition.parameters) if definition.template_type == COMMAND else {}
    shown: dict[str, Any] = jsonable(
        {
            "id": job.id,
            "name": definition.name,
            "description": definition.description,
            "schedule_type": TYPE_NAMES.get(definition.schedule.trigger.type, IMMEDIATE),
            "cron_expression": values.get("expression"),
            "recurrence_rule": values.get("rule"),
            "counted_from": values.get("counted_from"),
            "interval_seconds": values.get("interval_seconds"),
            "run_at": values.get("run_at"),
            **common,
            "target_command": parameters.get("subject"),
            "command_payload": parameters.get("payload"),
            "connection": parameters.get("connection"),
            "template_type": definition.template_type,
            "tags": list(definition.tags),
            "priority": definition.priority,
            "max_retries": definition.retry_policy.max_retries,
            "retry_delay_seconds": definition.retry_policy.retry_delay_seconds,
            "enabled": definition.enabled,
            "status": state_of(job, services().clock.now()),
            "status_reason": job.schedule_error or (job.paused.reason if job.paused else None),
            "created_by": job.created_by,
            "created_at": job.created_at,
            "updated_by": job.updated_by,
            "updated_at": job.updated_at,
            "last_run_at": job.last_run_at,
            "next_run_at": job.next_run_at,
            "version": job.version,
        }
    )
    return shown

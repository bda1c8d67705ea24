"""Why a job does not run now, where neither its schedule nor a person starts it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.jobs.model import Cause, Job
from app.queue.model import Reason
from app.scheduling.triggers import Triggers


def hindrance(job: Job, now: datetime, *, triggers: Triggers, rests: Callable[[str], bool]) -> Reason | None:
    """Returns why the job does not run now; None if it may. `rests` says whether a template rests. Maintenance does not hinder: it lets
    what is queued wait."""
    pause = job.paused
    if pause is not None and pause.cause is Cause.PERSON and (pause.until is None or pause.until > now):
        return Reason.PAUSED
    if triggers.blackouts(job.definition.schedule).at(now) is not None:
        return Reason.BLACKOUT
    return Reason.TEMPLATE_OFF if rests(job.definition.template_type) else None

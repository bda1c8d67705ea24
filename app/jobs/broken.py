"""Disables a job whose schedule cannot be computed any more."""

from __future__ import annotations

from datetime import timedelta

from app.audit.model import SYSTEM
from app.errors import Conflict, NotFound, StaleVersion
from app.events import get_logger
from app.jobs.service import JobRegistry
from app.outbox.events import DomainEvent, EventHandler, JobBroken
from app.outbox.handler import Later

log = get_logger(__name__)

AGAIN_AFTER = timedelta(seconds=1)


class DisableBroken(EventHandler):
    """Disables a job that the dispatcher could not plan, so that every list shows that it does not run. It keeps the reason.

    A job whose record is damaged stays as it is: no change may write over what cannot be read.
    """

    name = "disable_broken"
    kinds = (JobBroken,)
    claim_for = timedelta(seconds=10)

    def __init__(self, registry: JobRegistry) -> None:
        self._registry = registry

    def hear(self, event: DomainEvent) -> None:
        if not isinstance(event, JobBroken):
            return
        try:
            job = self._registry.get(SYSTEM, event.job_id)
            if job.schedule_error and job.definition.enabled:  # nobody has mended it meanwhile
                self._registry.set_enabled(SYSTEM, job.id, enabled=False, version=job.version)
                log.warning("job.disabled_as_broken", job=job.id, reason=event.reason)
        except StaleVersion:  # somebody changed the job meanwhile: look again at what they made of it
            raise Later(AGAIN_AFTER) from None
        except (NotFound, Conflict) as error:
            log.debug("job.not_disabled", job=event.job_id, reason=str(error))

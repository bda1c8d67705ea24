"""Pausing a job and resuming it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, ValidationFailed
from app.instants import INSTANT, shifted
from app.jobs.access import JobAccess
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.model import Cause, Job, Pause
from app.jobs.reading import load_pause
from app.jobs.registry_store import RegistryStore
from app.jobs.rules import Schedules
from app.outbox.event_store import Events
from app.outbox.events import JobChanged
from templates_lib.messages import say

_CAUSES = {
    Cause.CALENDAR: say("a blackout calendar. To let it run, change the calendar or the schedule of the job"),
    Cause.TEMPLATE: say("its template, which is disabled. To let it run, enable the template"),
    Cause.MAINTENANCE: say("maintenance. To let it run, end maintenance"),
}


class Pausing:
    """Pauses that people set, or that a job sets itself after too many failures."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        gate: ApprovalGate,
        schedules: Schedules,
        audit: AuditTrail,
        events: Events,
        clock: Clock,
    ) -> None:
        self._store, self._access, self._gate = store, JobAccess(store), gate
        self._rules, self._passed, self._audit, self._clock = schedules.rules, schedules.passed, audit, clock
        self._events = events

    def pause(self, actor: Actor, job_id: str, body: Any, *, version: int | None = None) -> Job:
        """Lets the job's due times and the ends of jobs that it depends on pass, until an instant or until someone resumes it; `body` is
        {reason, until?}. Returns the paused job.

        When the pause ends, one `skipped` record sums them up. Runs that were queued before go on, and so do manual ones.
        Raises ValidationFailed; Conflict for a job that is never due; NotFound, StaleVersion.
        """
        require(actor, May.CHANGE_JOBS)
        before, now = self._access.at_version(actor, job_id, version), self._clock.now()
        reason, until = load_pause(body, now)
        _refuse_idle(before)

        def pause(job: Job) -> Job | None:
            _refuse_idle(job)
            since_due = job.paused.since_due if job.paused else job.next_run_at or now
            paused = Pause(reason=reason, until=until, by=actor.name, at=now, since_due=since_due)
            after = replace(job, paused=paused, next_run_at=until, version=job.version + 1, updated_by=actor.name, updated_at=now)
            return after if self._store.update(job, after, reschedule=True) else None

        diff = [{"field": "/paused", "before": _pause_words(before), "after": {"reason": reason, "until": until}}]
        action = self._audit.action(actor, "job.pause", kind="job", target_id=job_id, name=before.definition.name, diff=diff)
        with self._events.around(self._event(before, "paused"), actor), action:
            return self._access.write(before, pause)

    def skipped(self, job: Job, until: datetime | None) -> int | None:
        """Returns how many scheduled runs of a job a pause from now until then skips; None if that cannot be counted: the pause has no end,
        or no due time starts the job."""
        trigger = job.definition.schedule.trigger
        if until is None or not trigger.is_timed or trigger.not_computable() is not None:
            return None
        return trigger.count(self._clock.now(), shifted(until, -INSTANT))

    def resume(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """Ends a pause now; a job that is not paused stays as it is. Due times that passed meanwhile are not made up for.

        Raises ValidationFailed if its schedule cannot be computed; Conflict if something other than a person paused it; ApprovalNeeded;
        NotFound, StaleVersion.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._access.at_version(actor, job_id, version)
        if before.paused is None:
            return before
        error = self._rules.not_computable(before.definition.schedule)
        if error is not None:
            raise ValidationFailed([error])
        if before.paused.cause is not Cause.PERSON:
            raise Conflict(say("This job waits because of {cause}.", cause=_CAUSES[before.paused.cause]))
        diff = [{"field": "/paused", "before": _pause_words(before), "after": None}]
        self._gate.check(actor, before, Operation.RESUME, diff=diff)

        def resume(job: Job) -> Job | None:
            now = self._clock.now()
            owed, due = self._passed.on_resume(job, now=now)
            after = replace(job, paused=None, next_run_at=due, version=job.version + 1, updated_by=actor.name, updated_at=now)
            return after if self._store.update(job, after, reschedule=True, owed=owed) else None

        action = self._audit.action(actor, "job.resume", kind="job", target_id=job_id, name=before.definition.name, diff=diff)
        with self._events.around(self._event(before, "resumed"), actor), action:
            return self._access.write(before, resume)

    def _event(self, job: Job, change: str) -> JobChanged:
        return JobChanged(at=self._clock.now(), job_id=job.id, changed=("paused",), change=change, version=job.version)


def _refuse_idle(job: Job) -> None:
    """Raises Conflict for a job that a pause would not change."""
    if job.paused is None and not job.starts_by_itself:
        raise Conflict("This job has no scheduled runs and no dependencies, so there is nothing to pause")


def _pause_words(job: Job) -> dict[str, Any] | None:
    return {"reason": job.paused.reason, "until": job.paused.until} if job.paused and job.paused.cause is Cause.PERSON else None

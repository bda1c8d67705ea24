"""Shadow mode: the due times of a job are planned and recorded as shadow runs, and nothing runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, ValidationFailed
from app.jobs.access import JobAccess
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.model import Job, Shadow
from app.jobs.reading import load_shadow
from app.jobs.records import ShadowRun
from app.jobs.registry_store import RegistryStore
from app.jobs.rules import OutboxEntry, Schedules
from app.jobs.shadow_store import ShadowStore
from app.outbox.event_store import Events
from app.outbox.events import JobChanged
from templates_lib.messages import say

MOST_LISTED = 1000
HELD = say("The shadow mode of this job belongs to a migration. End it with jobwright migrate-jobs cut-over.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPage:
    """The shadow runs of a job, newest first, and how often the job would have run since its shadow mode began (0 when it is off)."""

    runs: list[ShadowRun]
    would_have_run: int


class Shadowing:
    """Begins and ends the shadow mode of jobs, and lists what they would have run."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        shadows: ShadowStore,
        gate: ApprovalGate,
        schedules: Schedules,
        audit: AuditTrail,
        events: Events,
        clock: Clock,
    ) -> None:
        self._store, self._access, self._shadows, self._gate = store, JobAccess(store), shadows, gate
        self._rules, self._passed, self._audit, self._events, self._clock = schedules.rules, schedules.passed, audit, events, clock

    def runs(self, actor: Actor, job_id: str, *, limit: int) -> ShadowPage:
        """Returns the last shadow runs of a job. Raises NotFound, Forbidden."""
        require(actor, May.SEE_JOBS)
        job = self._access.visible(actor, job_id)
        count = self._shadows.count(job_id, job.shadow.at) if job.shadow else 0
        return ShadowPage(runs=self._shadows.of_job(job_id, limit), would_have_run=count)

    def begin(self, actor: Actor, job_id: str, body: Any, *, version: int | None = None, held_by: str = "") -> Job:
        """Puts a job in shadow mode; one that is in shadow mode stays as it is. `body` is {reason}. Returns the job.

        From this write on, no due time and no end of another job starts it. Runs that were queued before go on, and people and programs
        can still run it. The `since_due` of the shadow mode is the first due time that has not become a run.

        With `held_by`, `KIND:NUMBER`, only a caller that gives the same value can end the shadow mode. A caller with a higher number of the
        same kind takes it over. Such a caller may also hold a job that never starts by itself.
        Raises ValidationFailed; Conflict for a job that never starts by itself; NotFound, StaleVersion.
        """
        require(actor, May.CHANGE_JOBS)
        before, reason = self._access.at_version(actor, job_id, version), load_shadow(body)
        if before.shadow is not None and before.shadow.held_by == held_by:
            return before
        if before.shadow is None and not held_by:
            _refuse_idle(before)

        def begin(job: Job) -> Job | None:
            now = self._clock.now()
            if job.shadow is not None:
                _refuse_newer(job, held_by)
                shadow = replace(job.shadow, held_by=held_by, since_due=None)
            else:
                shadow = Shadow(reason=reason, by=actor.name, at=now, held_by=held_by, since_due=self._first_not_run(job, now))
            after = replace(job, shadow=shadow, version=job.version + 1, updated_by=actor.name, updated_at=now)
            return after if self._store.update(job, after, reschedule=True) else None

        diff = [{"field": "/shadow", "before": None, "after": {"reason": reason}}]
        action = self._audit.action(actor, "job.begin_shadow", kind="job", target_id=job_id, name=before.definition.name, diff=diff)
        with self._events.around(self._event(before), actor), action:
            return self._access.write(before, begin)

    def end(self, actor: Actor, job_id: str, *, version: int | None = None, held_by: str = "", next_run_at: datetime | None = None) -> Job:
        """Ends the shadow mode; a job that is not in shadow mode stays as it is. Returns the job.

        The first real run is the first due time after now: what was recorded as a shadow run does not run later. With `next_run_at` it is
        that time, also if it has passed. A job that is paused or switched off stays so.
        Raises ValidationFailed if the schedule cannot be computed; Conflict if somebody else holds the shadow mode; ApprovalNeeded;
        NotFound, StaleVersion.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._access.at_version(actor, job_id, version)
        if before.shadow is None:
            return before
        _refuse_held(before, held_by)
        if (error := self._rules.not_computable(before.definition.schedule)) is not None:
            raise ValidationFailed([error])
        diff = [{"field": "/shadow", "before": {"reason": before.shadow.reason}, "after": None}]
        self._gate.check(actor, before, Operation.END_SHADOW, diff=diff)

        def end(job: Job) -> Job | None:
            now = self._clock.now()
            owed, changes = list[OutboxEntry](), dict[str, Any]()
            if next_run_at is None:
                owed, changes["next_run_at"] = self._passed.on_shadow_end(job, now=now)
            elif job.paused is not None:  # the first due time that the pause lets go by
                changes["paused"] = replace(job.paused, since_due=next_run_at)
            elif job.definition.enabled:
                changes["next_run_at"] = next_run_at
            after = replace(job, shadow=None, version=job.version + 1, updated_by=actor.name, updated_at=now, **changes)
            return after if self._store.update(job, after, reschedule=True, owed=owed) else None

        action = self._audit.action(actor, "job.end_shadow", kind="job", target_id=job_id, name=before.definition.name, diff=diff)
        with self._events.around(self._event(before), actor), action:
            after = self._access.write(before, end)
        if next_run_at is not None:
            self._shadows.forget_from(job_id, next_run_at)
        return after

    def _first_not_run(self, job: Job, now: datetime) -> datetime:
        """The first due time that has not become a run; now if the job has none."""
        due, schedule = job.paused.since_due if job.paused else job.next_run_at, job.definition.schedule
        if due is None and schedule.trigger.is_timed and self._rules.not_computable(schedule) is None:
            due = self._rules.next_after(schedule, now)
        return due or now

    def _event(self, job: Job) -> JobChanged:
        return JobChanged(at=self._clock.now(), job_id=job.id, changed=("shadow",), version=job.version)


def _refuse_idle(job: Job) -> None:
    """Raises Conflict for a job that shadow mode would not change."""
    if job.paused is None and not job.starts_by_itself:
        raise Conflict("This job has no scheduled runs and no dependencies, so there is nothing that shadow mode could record")


def _refuse_newer(job: Job, held_by: str) -> None:
    """Raises Conflict if the shadow mode belongs to another kind of holder, or to a newer one of this kind."""
    kind, _, number = held_by.partition(":")
    present, _, newest = job.shadow.held_by.partition(":") if job.shadow else ("", "", "")
    if present and (present != kind or int(number) < int(newest)):
        raise Conflict(HELD)


def _refuse_held(job: Job, held_by: str) -> None:
    """Raises Conflict if something else holds the shadow mode."""
    if job.shadow is not None and job.shadow.held_by not in {"", held_by}:
        raise Conflict(HELD)

"""How a change of a job is written: with its event, its entry in the audit trail, and the due times that follow from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.connections.vault import mask
from app.errors import Conflict, ValidationFailed
from app.jobs.access import WRITE_TRIES, JobAccess
from app.jobs.dependencies import Dependencies
from app.jobs.layers import definition_of, relayered
from app.jobs.model import Cause, Job, JobDefinition, to_plain
from app.jobs.registry_store import RegistryStore
from app.jobs.revisions import difference
from app.jobs.rules import OutboxEntry, Schedules, ScheduleStop
from app.outbox.event_store import Events
from app.outbox.events import JobChanged


class JobChanges:
    """Writes what JobRegistry has checked."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        dependencies: Dependencies,
        schedules: Schedules,
        audit: AuditTrail,
        events: Events,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._access, self._dependencies = store, JobAccess(store), dependencies
        self._rules, self._passed, self._audit, self._events, self._clock = schedules.rules, schedules.passed, audit, events, clock
        self._max_jobs, self._max_per_creator = settings.max_jobs, settings.max_jobs_per_creator

    def add(self, actor: Actor, job: Job) -> Job:
        """Writes a new job, and returns it. Raises SameRequest, DuplicateName, LimitReached, ValidationFailed."""
        diff = field_diff({}, mask(to_plain(job.definition)))
        self._store.refuse_full(job, max_jobs=self._max_jobs, max_per_creator=self._max_per_creator)
        event = JobChanged(at=self._clock.now(), job_id=job.id, change="created")
        action = self._audit.action(actor, "job.create", kind="job", target_id=job.id, name=job.definition.name, diff=diff)
        with self._events.around(event, actor), action:
            self._store.add(job, max_jobs=self._max_jobs, max_per_creator=self._max_per_creator)
            self._check_dependencies_of_new(job)
        return job

    def put(self, actor: Actor, before: Job, wanted: Job, *, action: str) -> Job:
        """Puts the definition of `wanted`, its registration and its template version, in place of those of `before`. Returns the changed
        job. `action` is the name of the audit event. Raises StaleVersion, ValidationFailed."""
        diff = difference(before, wanted)
        changed = tuple(row["field"].split("/")[1] for row in diff)
        change = {"job.enable": "enabled", "job.disable": "disabled"}.get(action, "updated")
        event = replace(self._event(before, change), changed=changed)
        action_of = self._audit.action(actor, action, kind="job", target_id=before.id, name=wanted.definition.name, diff=diff)
        with self._events.around(event, actor), action_of:
            return self._access.write(before, lambda current: self._change(actor, current, wanted))

    def retire(self, actor: Actor, job: Job, *, action: str) -> None:
        """Deletes a job. `action` is the name of the audit event. Raises StaleVersion if a person was quicker."""
        action_of = self._audit.action(actor, action, kind="job", target_id=job.id, name=job.definition.name)
        with self._events.around(self._event(job, "deleted"), actor), action_of:
            self._access.write(job, lambda current: self._retire(actor, current))

    def bring_back(self, actor: Actor, job: Job, definition: JobDefinition) -> Job:
        """Takes a deleted job back into the registry with a definition, and returns it as it is then.

        Raises DuplicateName; LimitReached; Conflict while the jobs that it runs after keep changing.
        """
        now = self._clock.now()
        after = replace(
            job,
            definition=definition,
            version=job.version + 1,
            updated_by=actor.name,
            updated_at=now,
            paused=None,
            next_run_at=self.first_due(definition, now),
        )
        self._store.refuse_full(job, max_jobs=self._max_jobs, max_per_creator=self._max_per_creator)
        action = self._audit.action(actor, "job.undelete", kind="job", target_id=job.id, name=definition.name)
        with self._events.around(self._event(job, "restored"), actor), action:
            self._bring_back(job, after)
        return after

    def first_due(self, definition: JobDefinition, now: datetime) -> datetime | None:
        """Returns the next due time from now on: a change of the schedule never makes a job due at once."""
        return self._rules.next_after(definition.schedule, now) if definition.enabled else None

    # -- steps ----------------------------------------------------------------------------------------------------

    def _check_dependencies_of_new(self, job: Job) -> None:
        """Removes a new job again, and raises ValidationFailed, if a job that it runs after was deleted before the new one was written.
        From now on, a deletion of such a job sees the new job and is refused."""
        upstream = [dependency.job for dependency in job.definition.depends_on]
        if not upstream:
            return
        try:
            with self._dependencies.graph.reserved(job.id, job.version, upstream, at=self._clock.now()):
                pass
        except ValidationFailed:
            self._store.discard(job)
            raise

    def _event(self, job: Job, change: str) -> JobChanged:
        return JobChanged(at=self._clock.now(), job_id=job.id, change=change, version=job.version)

    def _change(self, actor: Actor, before: Job, wanted: Job) -> Job | None:
        now, definition = self._clock.now(), wanted.definition
        registered = relayered(wanted.registered, definition, by=actor.email, at=now)
        definition = definition_of(registered) if registered is not None else definition
        moved = (before.definition.schedule, before.definition.enabled) != (definition.schedule, definition.enabled)
        mended = moved and (definition.enabled or before.definition.schedule != definition.schedule)
        after = replace(
            before,
            definition=definition,
            registered=registered,
            version=before.version + 1,
            updated_by=actor.name,
            updated_at=now,
            template_version=wanted.template_version,
            code_version=wanted.code_version,
            **(self._due_again(before, definition, now) if moved else {}),
            schedule_error=None if mended else before.schedule_error,
        )
        stop = ScheduleStop.RESCHEDULED if definition.enabled else ScheduleStop.SWITCHED_OFF
        owed: list[OutboxEntry] = self._passed.on_stop(before, stop, now=now) if moved else []
        upstream = [dependency.job for dependency in definition.depends_on]
        if {*upstream} <= {dependency.job for dependency in before.definition.depends_on}:
            return after if self._store.update(before, after, reschedule=moved, owed=owed) else None
        with self._dependencies.graph.reserved(before.id, before.version, upstream, at=now) as token:
            written = token and self._store.update(before, after, reschedule=moved, owed=owed, reserved=token)
            return after if written else None

    def _retire(self, actor: Actor, job: Job) -> Job | None:
        now = self._clock.now()
        owed = self._passed.on_stop(job, ScheduleStop.DELETED, now=now)
        with self._dependencies.graph.leaving(job.id, job.version, at=now) as token:
            return job if token and self._store.retire(job, by=actor.name, at=now, owed=owed, reserved=token) else None

    def _bring_back(self, job: Job, after: Job) -> None:
        """Raises DuplicateName; LimitReached; Conflict while the jobs that it runs after keep changing."""
        bring_back = partial(
            self._store.bring_back,
            job,
            after,
            max_jobs=self._max_jobs,
            max_per_creator=self._max_per_creator,
        )
        present = self._dependencies.in_registry([dependency.job for dependency in after.definition.depends_on])
        if not present:
            bring_back()
            return
        for _ in range(WRITE_TRIES):
            with self._dependencies.graph.reserved(job.id, job.version, present, at=self._clock.now()) as token:
                if token is None or bring_back(reserved=token):
                    return
        raise Conflict("Other people are changing these dependencies at the moment. Try again.")

    def _due_again(self, before: Job, definition: JobDefinition, now: datetime) -> dict[str, Any]:
        """Returns the new `next_run_at` and `paused` of a job that gets another schedule. A pause goes on; switching
        the job off ends it."""
        first = self.first_due(definition, now)
        pause, since = before.paused, first or (now if definition.enabled and definition.depends_on else None)
        if since is None or pause is None or pause.cause is not Cause.PERSON or (pause.until is not None and pause.until <= now):
            return {"next_run_at": first, "paused": None}
        return {"next_run_at": pause.until, "paused": replace(pause, since_due=since)}

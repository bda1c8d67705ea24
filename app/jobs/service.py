"""The registry: making, changing and deleting jobs."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.accounts.model import Role
from app.accounts.permissions import May, require, sees_group
from app.audit.model import Actor, field_diff
from app.clock import Clock
from app.config import Settings
from app.connections.vault import mask
from app.errors import ApprovalNeeded, Conflict, DuplicateName, FieldError, Forbidden, NotFound, StaleVersion, ValidationFailed
from app.jobs.access import JobAccess
from app.jobs.body import merged, non_defaults
from app.jobs.changes import JobChanges
from app.jobs.definitions import Definitions
from app.jobs.dependencies import Dependencies
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.layers import refuse_locked, with_locked_of
from app.jobs.model import DEFINITION_FIELDS, Job, JobDefinition, Pause, Shadow, job_document, job_from, to_plain
from app.jobs.parameters import JobParameters
from app.jobs.registry_store import RegistryStore, SameRequest
from app.jobs.revisions import Revision, change, difference
from app.jobs.rules import ScheduleRules
from templates_lib.messages import say

_REQUEST_SPACE = uuid.UUID("8a7f2f6e-6f6a-4e2b-9f43-0c8b0f3f7a10")  # of the job ids that are made from idempotency keys


class JobRegistry:
    """Jobs, for people and programs alike; every face calls these methods and no other to change a job."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        definitions: Definitions,
        parameters: JobParameters,
        dependencies: Dependencies,
        gate: ApprovalGate,
        rules: ScheduleRules,
        changes: JobChanges,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._access, self._definitions, self._parameters = store, JobAccess(store), definitions, parameters
        self._dependencies, self._gate, self._rules, self._changes = dependencies, gate, rules, changes
        self._clock, self._settings = clock, settings

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, job_id: str) -> Job:
        """Returns a job that `actor` may see. Raises NotFound, Forbidden."""
        require(actor, May.SEE_JOBS)
        return self._access.visible(actor, job_id)

    def visible(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """Returns a job of the actor's groups, for a caller that has checked their rights itself.

        Raises NotFound; StaleVersion if it is not at `version`; Conflict if it is damaged.
        """
        return self._access.at_version(actor, job_id, version)

    def visible_for(self, actor: Actor, job_id: str, may: May) -> Job:
        """Returns a job that `actor` may see. `may` is the permission that the caller needs. Raises Forbidden, NotFound."""
        require(actor, may)
        return self._access.visible(actor, job_id)

    def revisions(self, actor: Actor, job_id: str, *, before: int | None = None, limit: int = 20) -> list[Revision]:
        """Returns what each change made of the job, newest first, from the present version or from below version `before` on.

        Raises NotFound.
        """
        require(actor, May.SEE_JOBS)
        job = self._access.visible(actor, job_id)
        older = self._store.revisions(job_id, before=job.version if before is None else before, limit=limit + 1)
        states = [job, *older] if before is None else older
        return [change(state, previous) for state, previous in zip(states, [*states[1:], None], strict=True)][:limit]

    def revision(self, actor: Actor, job_id: str, version: int) -> Job:
        """Returns the job as it was at a version, or as it is. Raises NotFound."""
        require(actor, May.SEE_JOBS)
        job = self._access.visible(actor, job_id)
        revision = job if version == job.version else self._store.revision(job_id, version)
        if revision is None:
            raise NotFound("version of the job", str(version))
        return revision

    def never_due(self, job: Job) -> FieldError | None:
        """Returns why the schedule of a job would never be due if the job were switched on now; None if it would be, or is `manual`."""
        return self._rules.never_due(job.definition.schedule, self._clock.now())

    # -- trying out -----------------------------------------------------------------------------------------------

    def validate(
        self, actor: Actor, body: Any, *, job_id: str | None = None, planned_names: Collection[str] | None = None
    ) -> JobDefinition:
        """A dry `create`, or a dry `update` of `job_id`: returns the definition that would be stored, secrets masked. Raises as they do.
        `planned_names` as in Dependencies.resolve."""
        require(actor, May.CHANGE_JOBS)
        before = self._access.visible(actor, job_id) if job_id else None
        whole = merged(self._parameters.upgrade(before).definition, body) if before else body
        definition = self._definitions.read(actor, whole, before, planned_names=planned_names)
        sealed = self._definitions.seal(self._definitions.template_for(definition, before), definition, before)
        if before is not None:
            refuse_locked(self._parameters.upgrade(before), sealed)
        return replace(definition, parameters=mask(sealed.parameters))

    def problems(self, actor: Actor, body: Any, *, job_id: str | None = None) -> tuple[FieldError, ...]:
        """Returns everything that keeps `body` from being created, or `job_id` from being changed so. Raises Forbidden."""
        try:
            self.validate(actor, body, job_id=job_id)
        except ValidationFailed as failed:
            return failed.errors
        return ()

    def changes(self, actor: Actor, job_id: str, body: Any) -> list[dict[str, Any]]:
        """Returns what `update` would change, a row {field, before, after} for each field, secrets masked. Raises as `update` does."""
        before = self.get(actor, job_id)
        return difference(self._parameters.upgrade(before), replace(before, definition=self.validate(actor, body, job_id=job_id)))

    def draft(self, actor: Actor, body: Any, *, job_id: str | None = None, changed: str | None = None) -> Job:
        """Returns the job that `create` would make of `body`, without making it. With `job_id`, the id that it will have, its name must be
        free. With `changed`, the id of a job, returns what `update` would make of that job, under an id of its own.

        Raises ValidationFailed, DuplicateName, Forbidden; NotFound for `changed`.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._access.visible(actor, changed) if changed else None
        if before is None and self._settings.strict and actor.role != Role.SUPER_ADMIN and not actor.approved_by:
            raise Forbidden("Only super-admins can create jobs in this installation (JOBWRIGHT_STRICT)")
        whole = merged(self._parameters.upgrade(before).definition, body) if before else body
        definition = self._definitions.read(actor, whole, before, free_name=job_id is not None, job_id=job_id)
        now, entry = self._clock.now(), self._definitions.template_for(definition, before)
        return Job(
            id=job_id or str(uuid.uuid4()),
            definition=self._definitions.seal(entry, definition, before),
            template_version=entry.version,
            code_version=entry.template.version,
            origin="ui" if actor.via == "web" else "api",
            version=1,
            created_by=actor.name,
            created_at=now,
            updated_by=actor.name,
            updated_at=now,
            next_run_at=self._changes.first_due(definition, now),
        )

    # -- changing -------------------------------------------------------------------------------------------------

    def create(
        self,
        actor: Actor,
        body: Any,
        *,
        idempotency_key: str | None = None,
        origin: str | None = None,
        pause: str = "",
        shadow: Shadow | None = None,
        first_due: datetime | None = None,
    ) -> tuple[Job, bool]:
        """Makes a job from `body` (requirement 002). Returns it with True, or with False if an earlier request with the same
        `idempotency_key` has made it. With `pause`, a reason, a job with due times is paused from the beginning; with `shadow` it is in
        shadow mode. `first_due` takes the place of its first due time.

        Raises ValidationFailed with every field that is wrong; DuplicateName; LimitReached; Forbidden; ApprovalNeeded; Conflict if
        `idempotency_key` was used for another body.
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest() if idempotency_key else None
        job_id = requested_id(actor.id, idempotency_key) if idempotency_key else str(uuid.uuid4())
        job = replace(self.draft(actor, body, job_id=job_id), request_digest=digest)
        job = replace(job, origin=origin or job.origin, shadow=shadow, next_run_at=first_due or job.next_run_at)
        if pause and job.next_run_at is not None:
            paused = Pause(reason=pause, by=actor.name, at=job.created_at, since_due=job.next_run_at)
            job = replace(job, paused=paused, next_run_at=None)
        replayed = self._store.get(job.id) if idempotency_key else None
        if replayed is not None:
            return _same_request(replayed, digest), False
        diff = non_defaults(job.definition)
        try:
            self._gate.check(actor, job, Operation.CREATE, diff=diff, payload={"job": job_document(job)})
            self._changes.add(actor, job)
        except SameRequest as same:
            return _same_request(same.job, digest), False
        except DuplicateName:
            # The same request, sent at the same time, may have taken the name a moment ago.
            twin = self._store.get(job.id) if idempotency_key else None
            if twin is None:
                raise
            return _same_request(twin, digest), False
        return job, True

    def update(self, actor: Actor, job_id: str, body: Any, *, version: int | None = None) -> Job:
        """Changes the fields that `body` has; the others stay. Returns the changed job.

        `version` is what the caller saw (If-Match). Raises StaleVersion if the job is at another one; else as `create`.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._access.at_version(actor, job_id, version, repairs=body if isinstance(body, Mapping) else ())
        definition = self._definitions.read(actor, merged(self._parameters.upgrade(before).definition, body), before)
        entry = self._definitions.template_for(definition, before)
        definition = self._definitions.seal(entry, definition, before)
        refuse_locked(self._parameters.upgrade(before), definition)
        after = replace(before, definition=definition, template_version=entry.version, code_version=entry.template.version)
        diff = field_diff(mask(to_plain(before.definition)), mask(to_plain(definition)))
        for state in (before, after):  # either of them may destroy data
            self._gate.check(actor, state, Operation.UPDATE, diff=diff, payload={"job": job_document(after)})
        return self._changes.put(actor, before, after, action="job.update")

    def restore(self, actor: Actor, job_id: str, number: int, *, version: int | None = None) -> Job:
        """Puts the definition of version `number` in place of the present one; the job stays switched on or off as it is.

        The definition is validated as of now. Raises NotFound, else as `update`.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._access.at_version(actor, job_id, version, repairs=DEFINITION_FIELDS)
        old = self.revision(actor, job_id, number)
        definition = with_locked_of(before, replace(old.definition, enabled=before.definition.enabled))
        after = self._parameters.upgrade(
            replace(before, definition=definition, template_version=old.template_version, code_version=old.code_version)
        )
        diff = difference(before, after)
        if not diff:
            return before
        self._definitions.refuse_foreign_group(actor, after.definition)
        if after.definition.name != before.definition.name:
            self._definitions.refuse_taken_name(after.definition.name, job_id)
        for state in (before, after):
            self._gate.check(actor, state, Operation.UPDATE, diff=diff, payload={"job": job_document(after)})
        self._definitions.recheck(after, moved=after.definition.schedule != before.definition.schedule)
        return self._changes.put(actor, before, after, action="job.restore")

    def set_enabled(self, actor: Actor, job_id: str, *, enabled: bool, version: int | None = None) -> Job:
        """Switches the schedule on or off. A due time that passed while the job was off is not made up for; one that passed just before it
        was switched off, and that was not started yet, is recorded as skipped."""
        require(actor, May.CHANGE_JOBS)
        before = self._access.at_version(actor, job_id, version)
        if before.definition.enabled == enabled:
            return before
        refuse_locked(before, replace(before.definition, enabled=enabled))
        never = self.never_due(before) if enabled else None
        if never is not None:
            raise ValidationFailed([never])
        if enabled:  # whoever may change jobs may stop any of them
            self._gate.check(actor, before, Operation.ENABLE, diff=[{"field": "/enabled", "before": False, "after": True}])
        after = replace(before, definition=replace(before.definition, enabled=enabled))
        return self._changes.put(actor, before, after, action="job.enable" if enabled else "job.disable")

    def delete(self, actor: Actor, job_id: str, *, version: int | None = None) -> None:
        """Retires the job: it is never due again; its executions and audit events stay (design.md, 7). Raises Conflict while others depend
        on it."""
        require(actor, May.CHANGE_JOBS)
        job = self._access.at_version(actor, job_id, version, repairs=DEFINITION_FIELDS)
        self._dependencies.refuse_needed(actor, job_id)
        self._gate.check(actor, job, Operation.DELETE)
        self._changes.retire(actor, job, action="job.delete")

    def undelete(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """Takes a deleted job back into the registry as it was. It comes back switched off if its template is switched off or not for the
        actor. A job that is back already, at the version after `version`, is left as it is.

        Raises NotFound; Conflict if it is not deleted; ApprovalNeeded if it can destroy data; DuplicateName; LimitReached.
        """
        require(actor, May.CHANGE_JOBS)
        job = self._store.get_retired(job_id)
        if job is None:
            present = self._access.visible(actor, job_id)
            if version is not None and present.version == version + 1:
                return present
            raise Conflict(say("{name!r} is not deleted", name=present.definition.name))
        if not sees_group(actor, job.definition.group):
            raise NotFound("job", job_id)
        if version is not None and job.version != version:
            raise StaleVersion(version, job.version)
        self._definitions.refuse_taken_name(job.definition.name, None)
        if self._dependencies.graph.way_back(job_id, [dependency.job for dependency in job.definition.depends_on]):
            raise Conflict("A job that this job depends on now depends on this job. Restoring it would create a circle of dependencies.")
        return self._changes.bring_back(actor, job, self._definition_to_bring_back(actor, job))

    # -- for the stages above -------------------------------------------------------------------------------------

    def create_approved(self, actor: Actor, document: Mapping[str, Any]) -> Job:
        """Makes the job of an approved request (its stored form), validated as of now. A job that is there already is returned.

        Raises as `create`.
        """
        wanted, now = self._parameters.upgrade(job_from(dict(document))), self._clock.now()
        self._definitions.refuse_foreign_group(actor, wanted.definition)
        self._gate.check(actor, wanted, Operation.CREATE)
        self._definitions.recheck(wanted, moved=True)
        due = self._changes.first_due(wanted.definition, now) if wanted.paused is None else None
        job = replace(wanted, created_at=now, updated_at=now, next_run_at=due)
        try:
            return self._changes.add(actor, job)
        except SameRequest as same:
            return same.job

    def update_approved(self, actor: Actor, job_id: str, document: Mapping[str, Any], *, version: int) -> Job:
        """Puts the definition of an approved request in place of what the job was at `version`. A job that has it already is left as it
        is. Raises as `update`."""
        wanted, before = job_from(dict(document)), self._access.visible(actor, job_id)
        if before.version == version + 1 and before.definition == wanted.definition:
            return before
        before, wanted = self._access.at_version(actor, job_id, version), self._parameters.upgrade(wanted)
        refuse_locked(before, wanted.definition)
        self._definitions.refuse_foreign_group(actor, wanted.definition)
        self._gate.check(actor, wanted, Operation.UPDATE)
        self._definitions.recheck(wanted, moved=wanted.definition.schedule != before.definition.schedule)
        return self._changes.put(actor, before, wanted, action="job.update")

    def put_version(self, actor: Actor, wanted: Job, *, version: int, action: str) -> Job:
        """Puts the definition, the registration and the template version of `wanted`, which the caller has validated, in place of what the
        job was at `version`; `action` is the name of the audit event. Raises StaleVersion, NotFound."""
        return self._changes.put(actor, self._access.at_version(actor, wanted.id, version), wanted, action=action)

    def retire(self, actor: Actor, job: Job) -> None:
        """Deletes a registered job at the word of its service. The caller has checked the rights, and that no job depends on this one.
        Raises StaleVersion if a person was quicker."""
        self._changes.retire(actor, job, action="job.retire")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _definition_to_bring_back(self, actor: Actor, job: Job) -> JobDefinition:
        """Returns the definition of a deleted job, switched off if it cannot run now. Raises ApprovalNeeded."""
        definition = job.definition
        if definition.enabled and self._rules.not_computable(definition.schedule) is not None:
            definition = replace(definition, enabled=False)
        try:
            self._gate.check(actor, job, Operation.UNDELETE, diff=non_defaults(definition))
        except ApprovalNeeded:
            raise
        except (Forbidden, Conflict):
            definition = replace(definition, enabled=False)
        return definition


def requested_id(actor_id: str, idempotency_key: str) -> str:
    """Returns the id of the job that an actor makes with an idempotency key."""
    return str(uuid.uuid5(_REQUEST_SPACE, f"{actor_id}\0{idempotency_key}"))


def _same_request(job: Job, digest: str | None) -> Job:
    if job.request_digest != digest:
        raise Conflict("This Idempotency-Key has already been used for another request")
    return job

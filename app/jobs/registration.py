"""What services register about their jobs, written to the registry: new jobs, changed declarations, retired jobs and their return."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, require, sees_group
from app.audit.model import SYSTEM, Actor, Target, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.connections.vault import mask
from app.errors import Conflict, FieldError, NotFound, StaleVersion, ValidationFailed
from app.jobs.dependencies import Dependencies
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.layers import definition_of
from app.jobs.model import Job, JobDefinition, job_document, to_plain
from app.jobs.registered import Registered, held_back, settled, value_at
from app.jobs.registry_store import RegistryStore
from app.jobs.revisions import difference
from app.jobs.rules import ScheduleRules
from app.jobs.service import JobRegistry
from app.jobtemplates.catalogue import Catalogue
from app.outbox.event_store import Events
from app.outbox.events import JobChanged
from templates_lib.messages import say

ORIGIN = "service"
REGISTER_TRIES = 20  # replicas of a service that register at the same time may each overtake this one once or twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A job as its service declares it now. `enabled` is whether the declaration wants it on: None leaves that as it was declared
    before, and a new job off."""

    definition: JobDefinition
    enabled: bool | None
    display_name: str
    job_type: str
    digest: str

    @property
    def name(self) -> str:
        return self.definition.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the jobs of a registration, by name, sorted. `held` are those of the updated ones that still run as before, because
    jobs that can destroy data depend on them."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def __add__(self, other: Applied) -> Applied:
        return Applied(
            created=tuple(sorted(self.created + other.created)),
            updated=tuple(sorted(self.updated + other.updated)),
            unchanged=tuple(sorted(self.unchanged + other.unchanged)),
            retired=tuple(sorted(self.retired + other.retired)),
            held=tuple(sorted(self.held + other.held)),
        )

    @property
    def changes_nothing(self) -> bool:
        return not (self.created or self.updated or self.retired)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Where it is recorded what happens to jobs: for people, and for the handlers of events."""

    audit: AuditTrail
    events: Events


class Registrations:
    """Writes registered jobs. A caller has read and checked what the service sent; only `settle` checks the actor's rights."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        registry: JobRegistry,
        catalogue: Catalogue,
        dependencies: Dependencies,
        gate: ApprovalGate,
        rules: ScheduleRules,
        forget: Callable[[str], None],
        records: Records,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._audit, self._events = records.audit, records.events
        self._store, self._registry, self._catalogue, self._dependencies, self._gate = store, registry, catalogue, dependencies, gate
        self._rules, self._forget, self._clock, self._settings = rules, forget, clock, settings

    # -- reading --------------------------------------------------------------------------------------------------

    def digests(self, names: Collection[str]) -> dict[str, tuple[str, str]]:
        """Returns the service and the digest of the last registration of each job in the registry that has one of these names; both are
        empty for a job that no service registers."""
        return self._store.digests(names)

    def of_service(self, service: str) -> list[Job]:
        """Returns the jobs in the registry that a service has registered, by name."""
        return self._store.of_service(service)

    def of_services(self, services: Collection[str]) -> dict[str, list[Job]]:
        """Returns the jobs in the registry that these services have registered, by name, for each service that has any."""
        return self._store.of_services(services)

    def owners(self, service: str, names: Collection[str]) -> dict[str, str]:
        """Returns, by name, who has a job that the service cannot register: a sentence for each."""
        return {job.definition.name: _owner(job) for job in self._store.named(names) if not _belongs_to(job, service)}

    # -- writing --------------------------------------------------------------------------------------------------

    def apply(self, actor: Actor, service: str, declared: Sequence[Declared]) -> Applied:
        """Creates and changes the jobs of a service as they are declared. Writes nothing about a job that is declared as before.

        Jobs that were deleted come back with the values that admins chose. If a job that can destroy data depends on a job, changes of its
        open fields are held back (docs/decisions/0049-two-layers.md).

        Raises Conflict for a name that another service or a person has; LimitReached; Forbidden, Conflict if the template may not be
        used.
        """
        done, waiting = Applied(), list(declared)
        for _ in range(REGISTER_TRIES):
            waiting, step = self._apply_once(actor, service, waiting)
            done += step
            if not waiting:
                return done
        raise Conflict("Other processes are registering the same jobs at the moment. Try again.")

    def retire(self, actor: Actor, service: str, jobs: Iterable[Job]) -> Applied:
        """Takes jobs of a service out of the registry at once: their history and the values that admins chose stay. A job on which others
        depend stays in the registry, disabled."""
        retired = []
        for job in jobs:
            registered = job.registered
            if registered is None or registered.retired_at is not None or registered.service != service:
                continue
            if self._dependencies.has_dependants(job.id):
                off = replace(registered, retired_at=self._clock.now(), digest="")
                wanted = replace(job, registered=off, definition=definition_of(off))
                self._registry.put_version(actor, wanted, version=job.version, action="job.retire")
            else:
                self._registry.retire(actor, job)
            self._forget(job.id)
            retired.append(job.definition.name)
        return Applied(retired=tuple(sorted(retired)))

    def settle(self, actor: Actor, job_id: str, field: str, *, keep: bool, version: int | None = None) -> Job:
        """Decides about a value that an admin has put in place of the declared one: with `keep` it stays, also where the code has changed
        the field since; without it the declared value applies again. Raises NotFound, StaleVersion, Forbidden, ValidationFailed,
        ApprovalNeeded; Conflict if there is no such value."""
        require(actor, May.CHANGE_JOBS)
        job = self._registry.visible(actor, job_id, version=version)
        registered = job.registered
        if registered is None or field not in {item.field for item in registered.overrides}:
            raise Conflict(say("No value of an admin replaces the declared value of {field}", field=field))
        decided = settled(registered.declared, registered.overrides, field, keep=keep, by=actor.email, at=self._clock.now())
        wanted = replace(job, registered=replace(registered, overrides=decided))
        wanted = replace(wanted, definition=definition_of(wanted.registered or registered))
        errors = []
        if wanted.definition.schedule != job.definition.schedule:
            errors += self._rules.check(wanted.definition.schedule, self._clock.now())
        if not sees_group(actor, wanted.definition.group):
            errors.append(FieldError("/group", say("must be one of your groups: {known}", known=", ".join(sorted(actor.groups or ())))))
        if errors:
            raise ValidationFailed(errors)
        if wanted.definition != job.definition:
            self._gate.check(actor, wanted, Operation.UPDATE, diff=difference(job, wanted), payload={"job": job_document(wanted)})
        return self._registry.put_version(actor, wanted, version=job.version, action="job.settle")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _apply_once(self, actor: Actor, service: str, declared: Sequence[Declared]) -> tuple[list[Declared], Applied]:
        """Returns the jobs that another process has just changed, to be looked at again, and what became of the others."""
        names = [item.name for item in declared]
        present = {job.definition.name: job for job in self._store.named(names)}
        foreign = next((job for job in present.values() if not _belongs_to(job, service)), None)
        if foreign is not None:
            raise Conflict(_owner(foreign))
        missing = [item for item in declared if item.name not in present]
        deleted = {
            job.definition.name: job
            for job in reversed(self._store.of_service(service, retired=True, names=[item.name for item in missing]))
        }
        again: list[Declared] = []
        created = self._create(actor, service, [item for item in missing if item.name not in deleted], again)
        updated, unchanged, held = list[str](), list[str](), list[str]()
        for item in declared:
            before = present.get(item.name) or deleted.get(item.name)
            if before is None:
                continue
            after = _declared_again(before, item)
            if item.name in present and after.registered == before.registered and after.template_version == before.template_version:
                unchanged.append(item.name)
                continue
            kept = self._held_back(actor, before, after)
            if (self._return if item.name in deleted else self._change)(actor, before, kept):
                updated.append(item.name)
                held += [item.name] if kept.definition != after.definition else []
            else:
                again.append(item)
        return again, Applied(created=tuple(created), updated=tuple(updated), unchanged=tuple(unchanged), held=tuple(held))

    def _held_back(self, actor: Actor, before: Job, after: Job) -> Job:
        """Returns the job that is written: `after`, or one with the open fields of `before`, if only a super-admin may change them."""
        known, fresh = before.registered, after.registered
        if known is None or fresh is None:
            return after
        overrides = held_back(known.declared, fresh.declared, known.overrides, by=SYSTEM.email, at=self._clock.now())
        layers = replace(fresh, overrides=overrides)
        kept = replace(after, registered=layers, definition=definition_of(layers))
        # Most changes concern other fields, so the jobs that run afterwards are looked up last.
        return kept if kept.definition == after.definition or self._gate.holds_back(actor, before) else after

    def _create(self, actor: Actor, service: str, declared: Sequence[Declared], again: list[Declared]) -> list[str]:
        """Adds new jobs and returns their names. Those whose name was taken a moment ago go into `again`."""
        if not declared:
            return []
        jobs = {item.name: self._new(actor, service, item) for item in declared}
        first = next(iter(jobs.values()))
        self._gate.check(actor, first, Operation.CREATE)  # all have the same template
        most, of_creator = self._settings.max_jobs, self._settings.max_jobs_per_creator
        targets = [Target(job.id, name, field_diff({}, mask(to_plain(job.definition)))) for name, job in jobs.items()]
        with ExitStack() as around:
            for job in jobs.values():
                around.enter_context(self._events.around(JobChanged(at=job.created_at, job_id=job.id, change="created"), actor))
            failed = around.enter_context(self._audit.batch(actor, "job.create", kind="job", targets=targets))
            added = self._store.add_all(list(jobs.values()), max_jobs=most, max_per_creator=of_creator)
            for job in jobs.values():
                if job.id not in added:
                    failed(job.id)
        again += [item for item in declared if jobs[item.name].id not in added]
        return [name for name, job in jobs.items() if job.id in added]

    def _new(self, actor: Actor, service: str, item: Declared) -> Job:
        now = self._clock.now()
        registered = _registered(service, item, enabled=bool(item.enabled))
        definition = definition_of(registered)
        entry = self._catalogue.get(definition.template_type)
        return Job(
            id=str(uuid.uuid4()),
            definition=definition,
            template_version=entry.version,
            code_version=entry.template.version,
            origin=ORIGIN,
            version=1,
            created_by=actor.email,
            created_at=now,
            updated_by=actor.email,
            updated_at=now,
            next_run_at=self._rules.next_after(definition.schedule, now) if definition.enabled else None,
            registered=registered,
        )

    def _change(self, actor: Actor, before: Job, after: Job) -> bool:
        """Writes a changed declaration. Returns False if another process or a person was quicker."""
        try:
            self._registry.put_version(actor, after, version=before.version, action="job.update")
        except (StaleVersion, NotFound):
            return False
        return True

    def _return(self, actor: Actor, before: Job, after: Job) -> bool:
        """Takes a deleted job back. Returns False if another process was quicker."""
        now = self._clock.now()
        due = self._rules.next_after(after.definition.schedule, now) if after.definition.enabled else None
        wanted = replace(after, version=before.version + 1, updated_by=actor.email, updated_at=now, paused=None, next_run_at=due)
        most, of_creator = self._settings.max_jobs, self._settings.max_jobs_per_creator
        target = Target(before.id, before.definition.name, field_diff({}, mask(to_plain(wanted.definition))))
        changed = ("group",) if wanted.definition.group != before.definition.group else ()
        event = JobChanged(at=now, job_id=before.id, changed=changed, change="restored", version=before.version)
        with self._events.around(event, actor), self._audit.batch(actor, "job.undelete", kind="job", targets=[target]) as failed:
            returned = self._store.bring_back(before, wanted, max_jobs=most, max_per_creator=of_creator)
            if not returned:
                failed(before.id)
        return returned


def _registered(service: str, item: Declared, *, enabled: bool) -> Registered:
    return Registered(
        service=service,
        display_name=item.display_name,
        job_type=item.job_type,
        declared={**_declared_fields(item.definition), "enabled": enabled},
        digest=item.digest,
    )


def _declared_fields(definition: JobDefinition) -> dict[str, Any]:
    """Returns a declared definition as it is stored. Releases that know no needs take a record that names them for damaged, so a
    declaration without needs does not name them."""
    plain: dict[str, Any] = to_plain(definition)
    return plain if definition.needs else {name: value for name, value in plain.items() if name != "needs"}


def _declared_again(before: Job, item: Declared) -> Job:
    """Returns a job as its service declares it now, with what admins have chosen. The digest of an equal declaration stays, so that the
    caller sees that nothing has changed."""
    known = before.registered
    if known is None:  # _belongs_to has refused this
        return before
    enabled = bool(value_at(known.declared, "/enabled")) if item.enabled is None else item.enabled
    fresh = replace(_registered(known.service, item, enabled=enabled), overrides=known.overrides)
    if known.retired_at is None and replace(fresh, digest=known.digest) == known:
        return before
    return replace(before, registered=fresh, definition=definition_of(fresh))


def _belongs_to(job: Job, service: str) -> bool:
    return job.registered is not None and job.registered.service == service


def _owner(job: Job) -> str:
    """Returns a sentence about whose job has a name."""
    name = job.definition.name
    if job.registered is not None:
        return say("The job {name!r} belongs to the service {service}", name=name, service=job.registered.service)
    return say("The job {name!r} was created by {who} and belongs to no service", name=name, who=job.created_by)

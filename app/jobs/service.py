"""The registry: who may make, change and retire jobs, and what must hold of each."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from app.accounts.model import Role
from app.accounts.permissions import May, lacks, require, sees_group
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.connections.references import connection_paths
from app.connections.vault import mask
from app.errors import (
    ApprovalNeeded,
    Conflict,
    DuplicateName,
    FieldError,
    Forbidden,
    NotFound,
    StaleVersion,
    ValidationFailed,
)
from app.jobs.asks import Ask, Operation
from app.jobs.body import chosen, merged
from app.jobs.dependencies import Dependencies
from app.jobs.filters import JobFilter
from app.jobs.judge import Judge
from app.jobs.model import DEFINITION_FIELDS, Cause, Job, JobDefinition, Pause, job_document, job_from, to_plain
from app.jobs.reading import load_pause
from app.jobs.revisions import Revision, change, difference
from app.jobs.rules import Endings, ScheduleRules
from app.jobs.store import JobStore, SameRequest
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import Entry
from app.mongo import Document
from app.validation.names import normal
from templates_lib.messages import say, say_many

# The dispatcher moves a job on at most once a tick; a change that it overtook so often is not going to be written.
WRITE_TRIES = 20
FACETS_SECONDS, MOST_FACETS = 10.0, 100
_REQUEST_SPACE = uuid.UUID("8a7f2f6e-6f6a-4e2b-9f43-0c8b0f3f7a10")


_CAUSES = {
    Cause.CALENDAR: say("a calendar: change that, or the job's schedule"),
    Cause.TEMPLATE: say("its template, which is off: switch that on"),
    Cause.MAINTENANCE: say("maintenance: end that"),
}


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a list: pages count from 1, `pages` is at least 1."""

    jobs: list[Job]
    total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The tags, groups and owners of the jobs that somebody sees, sorted."""

    tags: tuple[str, ...]
    groups: tuple[str, ...]
    owners: tuple[str, ...]


class JobRegistry:
    """Jobs, for people and programs alike; every face calls these methods and no other."""

    def __init__(
        self,
        *,
        store: JobStore,
        catalogue: Catalogue,
        judge: Judge,
        rules: ScheduleRules,
        endings: Endings,
        audit: AuditTrail,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.judge = judge  # of parameters, for the stages above as well
        self.dependencies = Dependencies(store)
        self._store, self._catalogue, self._rules, self._endings = store, catalogue, rules, endings
        self._audit, self._clock, self._settings = audit, clock, settings
        self._facets: dict[frozenset[str] | None, tuple[float, Facets]] = {}

    @property
    def settings(self) -> Settings:
        """What jobs are held to."""
        return self._settings

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, job_id: str) -> Job:
        """Raises NotFound."""
        require(actor, May.SEE_JOBS)
        return self._visible(actor, job_id)

    def page(self, actor: Actor, query: JobFilter, *, sort: str = "name", page: int = 1, limit: int = 20) -> JobPage:
        """One page of the jobs that match."""
        require(actor, May.SEE_JOBS)
        gone = self._gone() if query.broken is not None else []
        kept = replace(query, groups=actor.groups)
        jobs, total = self._store.page(kept, sort=sort, skip=(page - 1) * limit, limit=limit, now=self._clock.now(), gone=gone)
        return JobPage(jobs, total, page, max(1, -(-total // limit)))

    def revisions(self, actor: Actor, job_id: str, *, before: int | None = None, limit: int = 20) -> list[Revision]:
        """What the job was, newest first, from the present one or from below version `before` on. Raises NotFound."""
        require(actor, May.SEE_JOBS)
        job = self._visible(actor, job_id)
        rows = self._store.revisions(job_id, before=job.version if before is None else before, limit=limit + 1)
        kept = [job, *rows] if before is None else rows
        return [change(one, older) for one, older in zip(kept, [*kept[1:], None], strict=True)][:limit]

    def revision(self, actor: Actor, job_id: str, version: int) -> Job:
        """The job as it was at a version, or as it is. Raises NotFound."""
        require(actor, May.SEE_JOBS)
        job = self._visible(actor, job_id)
        found = job if version == job.version else self._store.revision(job_id, version)
        if found is None:
            raise NotFound("version of the job", str(version))
        return found

    # -- changing -------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, body: Any, *, idempotency_key: str | None = None, origin: str | None = None) -> tuple[Job, bool]:
        """A new job from `body` (requirement 002); True beside it where it was made now, False for a repeated request.

        Raises ValidationFailed with every field that is wrong, DuplicateName, LimitReached, Forbidden, or Conflict where
        `idempotency_key` was used for another body.
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest() if idempotency_key else None
        job_id = str(uuid.uuid5(_REQUEST_SPACE, f"{actor.id}\0{idempotency_key}") if idempotency_key else uuid.uuid4())
        job = replace(self.would_be(actor, body, job_id=job_id), request_digest=digest)
        job = replace(job, origin=origin or job.origin)
        replayed = self._store.get(job.id) if idempotency_key else None
        if replayed is not None:
            return self._replay(replayed, digest), False
        try:
            self._ask_first(actor, job, Operation.CREATE, diff=chosen(job.definition), payload={"job": job_document(job)})
            self._add(actor, job)
        except SameRequest as same:
            return self._replay(same.job, digest), False
        except DuplicateName:
            # The same request, made at the same time, may have taken the name a moment ago.
            twin = self._store.get(job.id) if idempotency_key else None
            if twin is None:
                raise
            return self._replay(twin, digest), False
        return job, True

    def validate(self, actor: Actor, body: Any, *, job_id: str | None = None, coming: Collection[str] | None = None) -> JobDefinition:
        """A dry create, or a dry update of `job_id`: the definition that would be stored, secrets masked. Raises as they do. `coming` as in
        Dependencies.resolved."""
        require(actor, May.CHANGE_JOBS)
        before = self._visible(actor, job_id) if job_id else None
        whole = merged(self.judge.brought_up(before).definition, body) if before else body
        definition = self._checked(actor, whole, before, coming=coming)
        return replace(
            definition, parameters=mask(self.judge.sealed(self.judge.entry_for(definition, before), definition, before).parameters)
        )

    def problems(self, actor: Actor, body: Any, *, job_id: str | None = None) -> tuple[FieldError, ...]:
        """All that keeps `body` from being created, or `job_id` from being changed so; empty where nothing does. Raises Forbidden."""
        try:
            self.validate(actor, body, job_id=job_id)
        except ValidationFailed as failed:
            return failed.errors
        return ()

    def would_be(self, actor: Actor, body: Any, *, job_id: str | None = None) -> Job:
        """The job that `create` would make of `body`, which is not made. With `job_id`, the id that it is to have, its name must be free.

        Raises ValidationFailed, DuplicateName, Forbidden.
        """
        require(actor, May.CHANGE_JOBS)
        if self._settings.strict and actor.role != Role.SUPER_ADMIN and not actor.approved_by:
            raise Forbidden("Here only a super-admin makes jobs (JOBWRIGHT_STRICT)")
        definition, now = self._checked(actor, body, None, named=job_id is not None, job_id=job_id), self._clock.now()
        entry = self._catalogue.get(definition.template_type)
        return Job(
            id=job_id or str(uuid.uuid4()),
            definition=self.judge.sealed(entry, definition, None),
            template_version=entry.version,
            code_version=entry.template.version,
            origin="ui" if actor.via == "web" else "api",
            version=1,
            created_by=actor.email,
            created_at=now,
            updated_by=actor.email,
            updated_at=now,
            next_run_at=self._first_due(definition, now),
        )

    def update(self, actor: Actor, job_id: str, body: Any, *, version: int | None = None) -> Job:
        """The job with the fields of `body` changed; fields that `body` leaves out stay.

        `version` is what the caller saw (If-Match). Raises StaleVersion where the job has moved on, else as `create`.
        """
        require(actor, May.CHANGE_JOBS)
        before = self._at_version(actor, job_id, version, mending=body if isinstance(body, Mapping) else ())
        definition = self._checked(actor, merged(self.judge.brought_up(before).definition, body), before)
        entry = self.judge.entry_for(definition, before)
        definition = self.judge.sealed(entry, definition, before)
        after = replace(before, definition=definition, template_version=entry.version, code_version=entry.template.version)
        diff = field_diff(mask(to_plain(before.definition)), mask(to_plain(definition)))
        for one in (before, after):  # what it was, or becomes, may destroy
            self._ask_first(actor, one, Operation.UPDATE, diff=diff, payload={"job": job_document(after)})
        return self._store_change(actor, before, after, "job.update")

    def restore(self, actor: Actor, job_id: str, number: int, *, version: int | None = None) -> Job:
        """The definition of version `number` put in place of the present one; the job stays switched on or off as it is.

        It is judged as of now. Raises NotFound, else as `update`.
        """
        require(actor, May.CHANGE_JOBS)
        before, old = self._at_version(actor, job_id, version, mending=DEFINITION_FIELDS), self.revision(actor, job_id, number)
        definition = replace(old.definition, enabled=before.definition.enabled)
        wanted = self.judge.brought_up(
            replace(before, definition=definition, template_version=old.template_version, code_version=old.code_version)
        )
        diff = difference(before, wanted)
        if not diff:
            return before
        self._refuse_foreign_group(actor, wanted.definition)
        if wanted.definition.name != before.definition.name:
            self._refuse_taken_name(wanted.definition.name, job_id)
        for one in (before, wanted):
            self._ask_first(actor, one, Operation.UPDATE, diff=diff, payload={"job": job_document(wanted)})
        self._still_right(wanted, moved=wanted.definition.schedule != before.definition.schedule)
        return self._store_change(actor, before, wanted, "job.restore")

    def set_enabled(self, actor: Actor, job_id: str, *, enabled: bool, version: int | None = None) -> Job:
        """Start or stop honouring the schedule. A due time that passed while the job was off is not made up for; one that passed just
        before it was switched off, and was not started yet, is recorded as skipped."""
        require(actor, May.CHANGE_JOBS)
        before = self._at_version(actor, job_id, version)
        if before.definition.enabled == enabled:
            return before
        never = self.never_due(before) if enabled else None
        if never is not None:
            raise ValidationFailed([never])
        if enabled:  # whoever may change jobs may stop any of them
            self._ask_first(actor, before, Operation.ENABLE, diff=[{"field": "/enabled", "before": False, "after": True}])
        action = "job.enable" if enabled else "job.disable"
        return self._store_change(actor, before, replace(before, definition=replace(before.definition, enabled=enabled)), action)

    def pause(self, actor: Actor, job_id: str, body: Any, *, version: int | None = None) -> Job:
        """Let the job's due times and the ends of jobs that it depends on go by, until an instant or until someone resumes it; `body` is
        {reason, until?}.

        They end in one `skipped` record when the pause ends. Runs that were queued before go on, and so do manual ones.
        Raises ValidationFailed, or Conflict for a job that is never due.
        """
        require(actor, May.CHANGE_JOBS)
        before, now = self._at_version(actor, job_id, version), self._clock.now()
        reason, until = load_pause(body, now)
        _refuse_idle(before)

        def paused(job: Job) -> Job | None:
            _refuse_idle(job)
            first = job.paused.since_due if job.paused else job.next_run_at or now
            pause = Pause(reason=reason, until=until, by=actor.email, at=now, since_due=first)
            after = replace(job, paused=pause, next_run_at=until, version=job.version + 1, updated_by=actor.email, updated_at=now)
            return after if self._store.update(job, after, reschedule=True) else None

        diff = [{"field": "/paused", "before": _paused_words(before), "after": {"reason": reason, "until": until}}]
        with self._audit.action(actor, "job.pause", kind="job", target_id=job_id, name=before.definition.name, diff=diff):
            return self._until_written(before, paused)

    def resume(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """End a pause now; a job that is not paused stays as it is. What was due meanwhile is not made up for."""
        require(actor, May.CHANGE_JOBS)
        before = self._at_version(actor, job_id, version)
        if before.paused is None:
            return before
        wrong = self._rules.not_computable(before.definition.schedule)
        if wrong is not None:
            raise ValidationFailed([wrong])
        if before.paused.cause is not Cause.PERSON:
            raise Conflict(say("It is not paused by a person, but by {cause}", cause=_CAUSES[before.paused.cause]))
        self._ask_first(actor, before, Operation.RESUME, diff=[{"field": "/paused", "before": _paused_words(before), "after": None}])

        def resumed(job: Job) -> Job | None:
            now = self._clock.now()
            owed, due = self._endings.resume(job, now=now)
            after = replace(job, paused=None, next_run_at=due, version=job.version + 1, updated_by=actor.email, updated_at=now)
            return after if self._store.update(job, after, reschedule=True, owed=owed) else None

        diff = [{"field": "/paused", "before": _paused_words(before), "after": None}]
        with self._audit.action(actor, "job.resume", kind="job", target_id=job_id, name=before.definition.name, diff=diff):
            return self._until_written(before, resumed)

    def delete(self, actor: Actor, job_id: str, *, version: int | None = None) -> None:
        """Retire the job: it is never due again, its executions and audit stay (design.md, 7). Raises Conflict while others depend on
        it."""
        require(actor, May.CHANGE_JOBS)
        job = self._at_version(actor, job_id, version, mending=DEFINITION_FIELDS)
        after = self.dependencies.dependants(actor, job_id)
        if after:
            named = ", ".join([repr(one.name) for one in after if one.name][:3]) or str(len(after))
            raise Conflict(
                say_many(
                    "{count} job runs after it, which would never start again: {jobs}",
                    "{count} jobs run after it, which would never start again: {jobs}",
                    len(after),
                    jobs=named,
                )
            )
        self._ask_first(actor, job, Operation.DELETE)
        with self._audit.action(actor, "job.delete", kind="job", target_id=job.id, name=job.definition.name):
            self._until_written(job, lambda now_is: self._retired(actor, now_is))

    def undelete(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """Take a deleted job back into the registry as it was; one whose template is switched off or kept from `actor` comes back switched
        off. Back already after `version`, it is left as it is.

        Raises NotFound, Conflict where it is not deleted, ApprovalNeeded where it can destroy data, DuplicateName, LimitReached.
        """
        require(actor, May.CHANGE_JOBS)
        job = self._store.get_retired(job_id)
        if job is None:
            there = self._visible(actor, job_id)
            if version is not None and there.version == version + 1:
                return there
            raise Conflict(say("{name!r} is not deleted", name=there.definition.name))
        if not sees_group(actor, job.definition.group):
            raise NotFound("job", job_id)
        if version is not None and job.version != version:
            raise StaleVersion(version, job.version)
        self._refuse_taken_name(job.definition.name, None)
        if self.dependencies.graph.way_back(job_id, [one.job for one in job.definition.depends_on]):
            raise Conflict("A job that it depends on now depends on it, which would make a circle")
        now, definition = self._clock.now(), job.definition
        if definition.enabled and self._rules.not_computable(definition.schedule) is not None:
            definition = replace(definition, enabled=False)
        try:
            self._ask_first(actor, job, Operation.UNDELETE, diff=chosen(definition))
        except ApprovalNeeded:
            raise
        except (Forbidden, Conflict):
            definition = replace(definition, enabled=False)
        after = replace(
            job,
            definition=definition,
            version=job.version + 1,
            updated_by=actor.email,
            updated_at=now,
            paused=None,
            next_run_at=self._first_due(definition, now),
        )
        self._store.refuse_full(job, max_jobs=self._settings.max_jobs, max_per_creator=self._settings.max_jobs_per_creator)
        with self._audit.action(actor, "job.undelete", kind="job", target_id=job_id, name=definition.name):
            self._brought_back(job, after)
        return after

    # -- for the stages above -------------------------------------------------------------------------------------

    def known(self, actor: Actor, job_id: str, *, version: int | None = None) -> Job:
        """A job that `actor` sees, for a stage that has asked by itself who may do what. Raises NotFound, StaleVersion where it is not at
        `version`."""
        return self._at_version(actor, job_id, version)

    def create_approved(self, actor: Actor, document: Mapping[str, Any]) -> Job:
        """Make the job of an approved request (the stored form of it), judged again as of now; one that is there already is returned.

        Raises as `create`.
        """
        wanted, now = self.judge.brought_up(job_from(dict(document))), self._clock.now()
        self._refuse_foreign_group(actor, wanted.definition)
        self._ask_first(actor, wanted, Operation.CREATE)
        self._still_right(wanted, moved=True)
        job = replace(wanted, created_at=now, updated_at=now, next_run_at=self._first_due(wanted.definition, now))
        try:
            return self._add(actor, job)
        except SameRequest as same:
            return same.job

    def update_approved(self, actor: Actor, job_id: str, document: Mapping[str, Any], *, version: int) -> Job:
        """Put the definition of an approved request in place; done already, it is left as it is. Raises as `update`."""
        asked, before = job_from(dict(document)), self._visible(actor, job_id)
        if before.version == version + 1 and before.definition == asked.definition:
            return before
        before, asked = self._at_version(actor, job_id, version), self.judge.brought_up(asked)
        self._refuse_foreign_group(actor, asked.definition)
        self._ask_first(actor, asked, Operation.UPDATE)
        self._still_right(asked, moved=asked.definition.schedule != before.definition.schedule)
        return self._store_change(actor, before, asked, "job.update")

    def put_version(self, actor: Actor, wanted: Job, *, version: int, action: str) -> Job:
        """Put what `wanted` says, which was judged for its version of the template, in place of what the job was at `version`.

        Raises StaleVersion, NotFound.
        """
        return self._store_change(actor, self._at_version(actor, wanted.id, version), wanted, action)

    def ask_first(
        self, actor: Actor, job: Job, operation: Operation, payload: Document | None = None, diff: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Raises ApprovalNeeded where `actor` may not do this to the job by themselves, Forbidden or Conflict where nobody may."""
        self._ask_first(actor, job, operation, diff=diff, payload=payload)

    def never_due(self, job: Job) -> FieldError | None:
        """Why the schedule of a job, if it were switched on now, would never be due; None where it would, or has no due times."""
        return self._rules.never_due(job.definition.schedule, self._clock.now())

    def facets(self, actor: Actor) -> Facets:
        """What a list may be narrowed to; up to FACETS_SECONDS old, as to read them means to read the registry."""
        require(actor, May.SEE_JOBS)
        now, kept = self._clock.monotonic(), self._facets.get(actor.groups)
        if kept is None or now - kept[0] > FACETS_SECONDS:
            groups = actor.groups
            found = Facets(tuple(self._store.tags(groups=groups)), tuple(self.groups(actor)), tuple(self._store.owners(groups=groups)))
            if len(self._facets) > MOST_FACETS:
                self._facets.clear()
            kept = self._facets[groups] = (now, found)
        return kept[1]

    def with_last_status(self, job_ids: Sequence[str], statuses: Sequence[str]) -> set[str]:
        """Which of these jobs are in the registry and ended so when they last ran."""
        return self._store.with_last_status(job_ids, statuses) if job_ids else set()

    def counts_by_owner(self, owners: Sequence[str]) -> dict[str, int]:
        """How many jobs each of these addresses has made; for whoever sees all accounts."""
        return self._store.counts_by_owner(owners) if owners else {}

    def names(self, actor: Actor, *, limit: int) -> list[str]:
        """The first names of the jobs that `actor` sees, for a form's suggestions."""
        require(actor, May.SEE_JOBS)
        return self._store.names(groups=actor.groups, limit=limit)

    def groups(self, actor: Actor) -> list[str]:
        """The groups that `actor` may put a job into, as far as they are known."""
        require(actor, May.SEE_JOBS)
        return self._store.groups() if actor.groups is None else sorted(actor.groups)

    def visible_ids(self, actor: Actor) -> list[str] | None:
        """Ids of the jobs that `actor` is kept to, retired ones too; None where they see all."""
        return None if actor.groups is None else self._store.ids_in(actor.groups)

    def sees(self, actor: Actor, job_id: str) -> bool:
        """Whether what is recorded of a job, which may be retired, is for `actor` to see."""
        return actor.groups is None or self._store.group_of(job_id) in actor.groups

    def count_of(self, kind: str) -> int:
        """How many jobs are of a template."""
        return self._store.count_of(kind)

    def versions_in_use(self) -> dict[tuple[str, int], int]:
        """How many jobs each template and version has that a job is of."""
        return self._store.versions_in_use()

    def counts_by_template(self) -> dict[str, int]:
        """How many jobs each template has."""
        return summed(self.versions_in_use())

    def due_between(self, actor: Actor, begin: datetime, end: datetime, limit: int) -> list[Job]:
        """The first jobs that `actor` sees and that are due in a span, the next first."""
        require(actor, May.SEE_JOBS)
        return self._store.due_between(begin, end, limit, groups=actor.groups)

    def versions_of(self, kind: str) -> dict[int, int]:
        """How many jobs each version of a template has."""
        return self._store.counts_by_version(kind)

    def of_template(self, actor: Actor, kind: str, limit: int, *, sort: str = "name") -> list[Job]:
        """The first jobs of a template that `actor` sees."""
        require(actor, May.SEE_JOBS)
        return self._store.page(JobFilter(template_type=kind, groups=actor.groups), sort=sort, skip=0, limit=limit, now=self._clock.now())[
            0
        ]

    def broken(self, in_use: Iterable[tuple[str, int]] | None = None) -> dict[str, str]:
        """Names of the jobs that cannot run, with the reason: the schedule cannot be computed, or the template is gone. Whoever knows
        the versions in use already gives them."""
        found = self._store.broken()
        for kind, version in self._gone(in_use):
            why = f"its template {kind!r} is gone: {self._catalogue.why_not(kind, version)}"
            found |= dict.fromkeys(self._store.names_of(kind, version), why)
        return found

    def names_using(self, connection: str) -> list[str]:
        """Names of the jobs that use the connection."""
        pointers = {path for entry in self._catalogue.code() for path in connection_paths(entry.parameters_schema)}
        return self._store.names_using(connection, sorted(pointers))

    # -- steps ----------------------------------------------------------------------------------------------------

    def _checked(
        self,
        actor: Actor,
        body: Any,
        before: Job | None,
        *,
        coming: Collection[str] | None = None,
        named: bool = True,
        job_id: str | None = None,
    ) -> JobDefinition:
        """The judged definition; with `named`, of a name that no other job than `before` or `job_id` has. Raises ValidationFailed with all
        that is wrong with it, DuplicateName where that is its name alone."""
        own_id = before.id if before else job_id

        def resolve(definition: JobDefinition) -> tuple[JobDefinition, list[FieldError]]:
            resolved, errors = self.dependencies.resolved(actor, definition, before, coming=coming)
            taken = self._taken(definition, own_id) if named else []
            return resolved, [*taken, *_foreign_group(actor, definition), *errors]

        try:
            return self.judge.checked(body, before, resolve=resolve)
        except ValidationFailed as failed:
            if len(failed.errors) == 1 and failed.errors[0].pointer == "/name" and isinstance(body, Mapping):
                self._refuse_taken_name(normal(str(body.get("name", ""))), own_id)
            raise

    def _still_right(self, job: Job, *, moved: bool) -> None:
        """Raises ValidationFailed."""
        errors = self.dependencies.still_right(job.definition, job.id)
        if errors:
            raise ValidationFailed(errors)
        self.judge.still_right(job, moved=moved)

    def _gone(self, in_use: Iterable[tuple[str, int]] | None = None) -> list[tuple[str, int]]:
        """Templates and versions that jobs are of and that are not there."""
        known = self._store.versions_in_use() if in_use is None else in_use
        return [one for one in known if self._catalogue.why_not(*one) is not None]

    def _store_change(self, actor: Actor, before: Job, wanted: Job, action: str) -> Job:
        """Put the definition of `wanted`, with the versions that it is of, in place."""
        diff = difference(before, wanted)
        with self._audit.action(actor, action, kind="job", target_id=before.id, name=wanted.definition.name, diff=diff):
            return self._until_written(before, lambda now_is: self._changed(actor, now_is, wanted))

    def _until_written(self, before: Job, write: Callable[[Job], Job | None]) -> Job:
        """What `write` makes of the job, at once or after the dispatcher, which may have moved its next due time meanwhile.

        Raises StaleVersion where a person was quicker.
        """
        for _ in range(WRITE_TRIES):
            after = write(before)
            if after is not None:
                return after
            stored = self._store.get(before.id)
            if stored is None or stored.version != before.version:
                break
            before = stored
        raise StaleVersion(before.version, stored.version if stored else before.version + 1)

    def _retired(self, actor: Actor, job: Job) -> Job | None:
        now = self._clock.now()
        owed = self._endings.records(job, now=now, reason="job_gone")
        with self.dependencies.graph.leaving(job.id, job.version, at=now) as token:
            return job if token and self._store.retire(job, by=actor.email, at=now, owed=owed, reserved=token) else None

    def _brought_back(self, job: Job, after: Job) -> None:
        """Put a deleted job back. Raises DuplicateName, LimitReached, Conflict where what it runs after changes without an end."""
        bring_back = partial(
            self._store.bring_back, job, after, max_jobs=self._settings.max_jobs, max_per_creator=self._settings.max_jobs_per_creator
        )
        there = self._store.standing([one.job for one in after.definition.depends_on])
        if not there:
            bring_back()
            return
        for _ in range(WRITE_TRIES):
            with self.dependencies.graph.reserved(job.id, job.version, list(there), at=self._clock.now()) as token:
                if token is None or bring_back(reserved=token):
                    return
        raise Conflict("Others are changing the dependencies right now; try again")

    def _changed(self, actor: Actor, before: Job, wanted: Job) -> Job | None:
        now, definition = self._clock.now(), wanted.definition
        moved = (before.definition.schedule, before.definition.enabled) != (definition.schedule, definition.enabled)
        after = replace(
            before,
            definition=definition,
            version=before.version + 1,
            updated_by=actor.email,
            updated_at=now,
            template_version=wanted.template_version,
            code_version=wanted.code_version,
            **(self._due_again(before, definition, now) if moved else {}),
            schedule_error=None if moved else before.schedule_error,
        )
        owed = self._endings.records(before, now=now, reason="rescheduled" if definition.enabled else "disabled") if moved else []
        wanted_ids = [one.job for one in definition.depends_on]
        if {*wanted_ids} <= {one.job for one in before.definition.depends_on}:
            return after if self._store.update(before, after, reschedule=moved, owed=owed) else None
        with self.dependencies.graph.reserved(before.id, before.version, wanted_ids, at=now) as token:
            written = token and self._store.update(before, after, reschedule=moved, owed=owed, reserved=token)
            return after if written else None

    def _due_again(self, before: Job, definition: JobDefinition, now: datetime) -> dict[str, Any]:
        """When a job with another schedule is due. A pause goes on; switching the job off ends it."""
        first = self._first_due(definition, now)
        pause, since = before.paused, first or (now if definition.enabled and definition.depends_on else None)
        if since is None or pause is None or pause.cause is not Cause.PERSON or (pause.until is not None and pause.until <= now):
            return {"next_run_at": first, "paused": None}
        return {"next_run_at": pause.until, "paused": replace(pause, since_due=since)}

    def _first_due(self, definition: JobDefinition, now: datetime) -> datetime | None:
        """The next due time from now on: a change of the schedule never fires it."""
        return self._rules.next_after(definition.schedule, now) if definition.enabled else None

    def _refuse_taken_name(self, name: str, job_id: str | None) -> None:
        if self._store.name_taken(name, by_other_than=job_id):
            raise DuplicateName(name)

    def _taken(self, definition: JobDefinition, job_id: str | None) -> list[FieldError]:
        """That another job has the name."""
        try:
            self._refuse_taken_name(definition.name, job_id)
        except DuplicateName as taken:
            return list(taken.errors)
        return []

    @staticmethod
    def _refuse_foreign_group(actor: Actor, definition: JobDefinition) -> None:
        errors = _foreign_group(actor, definition)
        if errors:
            raise ValidationFailed(errors)

    def _ask_first(
        self, actor: Actor, job: Job, operation: Operation, *, diff: Sequence[dict[str, Any]] = (), payload: Document | None = None
    ) -> None:
        """Pass where nothing is destroyed, or `actor` may destroy. Raises ApprovalNeeded with all that it takes to do it later.

        A job that leads to others which can destroy data is handled as they are (docs/decisions/0037-destructive-followers.md).
        """
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return
        if operation is not Operation.DELETE:
            self._admit(actor, entry, operation)
        if lacks(actor, May.DESTROY) is None:
            return
        ask = Ask(operation=operation, job=job, diff=list(diff), payload=payload or {}, previews=entry.previews)
        if entry.dangerous:
            raise ApprovalNeeded(ask, say("{name} can destroy data: a super-admin is to approve it", name=entry.name))
        if self._leads_to_danger(job):
            raise ApprovalNeeded(ask, say("A job that runs after it can destroy data: a super-admin is to approve it"))

    def _leads_to_danger(self, job: Job) -> bool:
        found = (self._catalogue.find(kind, version) for kind, version in self.dependencies.graph.kinds_beyond(job.id))
        return any(entry is not None and entry.dangerous for entry in found)

    def _admit(self, actor: Actor, entry: Entry, operation: Operation) -> None:
        """Raises Forbidden where the template is kept from the actor's role, Conflict where it is switched off."""
        for kind in entry.families:
            standing = self._catalogue.standing(kind)
            if standing.roles and actor.role not in standing.roles:
                raise Forbidden(say("The template {name} is kept for {roles}", name=entry.name, roles=", ".join(standing.roles)))
            runs = operation in {Operation.RUN, Operation.RETRY, Operation.BACKFILL}
            if not standing.enabled and not (runs and not standing.pauses):
                off = say("The template {name} is switched off", name=entry.name)
                raise Conflict(say("{what}: {why}", what=off, why=standing.note) if standing.note else off)

    def _add(self, actor: Actor, job: Job) -> Job:
        """Raises SameRequest, DuplicateName, LimitReached."""
        diff = field_diff({}, mask(to_plain(job.definition)))
        self._store.refuse_full(job, max_jobs=self._settings.max_jobs, max_per_creator=self._settings.max_jobs_per_creator)
        with self._audit.action(actor, "job.create", kind="job", target_id=job.id, name=job.definition.name, diff=diff):
            self._store.add(job, max_jobs=self._settings.max_jobs, max_per_creator=self._settings.max_jobs_per_creator)
            self._refuse_gone_dependencies(job)
        return job

    def _refuse_gone_dependencies(self, job: Job) -> None:
        """Take a new job back, and raise ValidationFailed, where a job that it runs after was deleted before the new one was written. From
        then on that one's deletion sees the new job and is refused."""
        wanted = [one.job for one in job.definition.depends_on]
        if not wanted:
            return
        try:
            with self.dependencies.graph.reserved(job.id, job.version, wanted, at=self._clock.now()):
                pass
        except ValidationFailed:
            self._store.discard(job)
            raise

    def _stored(self, job_id: str) -> Job:
        job = self._store.get(job_id)
        if job is None:
            raise NotFound("job", job_id)
        return job

    def _visible(self, actor: Actor, job_id: str) -> Job:
        job = self._stored(job_id)
        if not sees_group(actor, job.definition.group):
            raise NotFound("job", job_id)  # that there is one is nobody's business
        return job

    def _at_version(self, actor: Actor, job_id: str, version: int | None, *, mending: Collection[str] = ()) -> Job:
        """The job that is to be changed or run. Of a damaged one, only a change that says each damaged field anew (`mending`) is made, as
        any other would write something neutral over what is there. Raises NotFound, StaleVersion, Conflict."""
        job = self._visible(actor, job_id)
        if version is not None and version != job.version:
            raise StaleVersion(version, job.version)
        if job.damaged.intersection(DEFINITION_FIELDS).difference(mending):
            raise Conflict(say("This cannot be done, as {reason}. Edit the job, or delete it", reason=job.schedule_error or ""))
        return job

    @staticmethod
    def _replay(job: Job, digest: str | None) -> Job:
        if job.request_digest != digest:
            raise Conflict("This Idempotency-Key was used for another request")
        return job


def summed(in_use: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """How many jobs each template has, the most first, out of how many each of its versions has."""
    counts: Counter[str] = Counter()
    for (kind, _), count in in_use.items():
        counts[kind] += count
    return dict(counts.most_common())


def _refuse_idle(job: Job) -> None:
    """Raises Conflict for a job that a pause would not change."""
    if job.paused is None and not job.starts_by_itself:
        raise Conflict("This job is never due by itself: there is nothing to pause")


def _foreign_group(actor: Actor, definition: JobDefinition) -> list[FieldError]:
    """That the actor, who is kept to groups, does not belong to the job's."""
    if sees_group(actor, definition.group):
        return []
    return [FieldError("/group", say("must be one of yours: {known}", known=", ".join(sorted(actor.groups or ()))))]


def _paused_words(job: Job) -> dict[str, Any] | None:
    return {"reason": job.paused.reason, "until": job.paused.until} if job.paused and job.paused.cause is Cause.PERSON else None

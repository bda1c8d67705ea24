"""Moving jobs to another version of their template and back, and what such a move means for each job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bson import ObjectId

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.clock import Clock
from app.connections.vault import mask
from app.errors import Conflict, FieldError, MigrationFailed, NotFound, StaleVersion
from app.jobs.model import Job
from app.jobs.move_store import MoveStore
from app.jobs.parameters import JobParameters
from app.jobs.registry_store import RegistryStore
from app.jobs.service import JobRegistry
from app.jobtemplates.entry import TemplateVersion
from app.mongo import Document
from templates_lib.messages import say

LATEST_MOVES = 20


class Effect(StrEnum):
    """What a move to a version of the template means for a job."""

    THERE = "there"  # the job is of that version already
    STAYS_VALID = "stays_valid"  # its parameters are valid as they are
    MIGRATES = "migrates"  # migrations, fixed values and defaults make its parameters valid
    NEEDS_INPUT = "needs_input"  # a person must give other parameters


class Outcome(StrEnum):
    """What became of a job that was to be moved or rolled back."""

    MOVED = "moved"
    RESTORED = "restored"
    NEEDS_INPUT = "needs_input"
    CHANGED = "changed"  # somebody has changed it meanwhile, so it was left alone
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a move means for one job: its parameters after the move (stored form), how they differ from the present ones (a row a field,
    secrets masked), and what is wrong with them."""

    job: Job
    effect: Effect
    parameters: Mapping[str, Any]
    diff: tuple[dict[str, Any], ...] = ()
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one job; `errors` if it needs input."""

    job_id: str
    name: str
    outcome: Outcome
    errors: tuple[FieldError, ...] = ()


class Moves:
    """A job stays with the version of its template that it was made for, until somebody moves it here."""

    def __init__(self, *, store: MoveStore, jobs: RegistryStore, registry: JobRegistry, parameters: JobParameters, clock: Clock) -> None:
        self._store, self._jobs, self._registry, self._parameters, self._clock = store, jobs, registry, parameters, clock

    def impact(self, actor: Actor, target: TemplateVersion) -> list[Impact]:
        """Returns what a move to `target`, a version or the draft of a template, means for each job of the template, by name."""
        require(actor, May.MANAGE_TEMPLATES)
        return [self._impact(job, target) for job in self._jobs.of_template(target.type)]

    def of_job(self, actor: Actor, job_id: str, target: TemplateVersion) -> Impact:
        """Returns the same for one job. Raises NotFound if the job is not of that template."""
        require(actor, May.MANAGE_TEMPLATES)
        job = self._registry.visible(actor, job_id)
        if job.definition.template_type != target.type:
            raise NotFound("job of this template", job_id)
        return self._impact(job, target)

    @staticmethod
    def shown(impact: Impact) -> dict[str, Any]:
        """Returns the parameters that a job would have, secrets masked."""
        parameters: dict[str, Any] = mask(dict(impact.parameters))
        return parameters

    def move(
        self,
        actor: Actor,
        target: TemplateVersion,
        job_ids: Collection[str] | None,
        *,
        given: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[Document | None, list[Result]]:
        """Moves jobs, by default all that need no input, to a version of their template; `given` are parameters by job id, for jobs that
        need input. Returns the record of the move (None if no job was moved), and what became of each job.

        If the process is killed in the middle, some jobs are moved: the same call moves the others, and each record is rolled back by
        itself.
        """
        require(actor, May.MANAGE_TEMPLATES)
        given = given or {}
        wanted: list[Impact] = []
        results: list[Result] = []
        for job in self._jobs.of_template(target.type):
            if job.template_version == target.version or (job_ids is not None and job.id not in job_ids):
                continue
            impact = self._impact(job, target, given.get(job.id))
            if impact.effect is not Effect.NEEDS_INPUT:
                wanted.append(impact)
            elif job_ids is not None:
                results.append(Result(job_id=job.id, name=job.definition.name, outcome=Outcome.NEEDS_INPUT, errors=impact.errors))
        if not wanted:
            return None, results
        record = self._record(actor, target, [impact.job for impact in wanted])
        self._store.add(record)
        return record, [*results, *(self._moved(actor, target, impact) for impact in wanted)]

    def latest(self, actor: Actor, kind: str) -> list[Document]:
        """Returns the last LATEST_MOVES moves of a template's jobs, newest first."""
        require(actor, May.SEE_TEMPLATES)
        return self._store.latest(kind, LATEST_MOVES)

    def roll_back(self, actor: Actor, move_id: str) -> list[Result]:
        """Gives each job of a move exactly what it was before; a job that somebody has changed since is left alone.

        Raises NotFound; Conflict if the move was rolled back already.
        """
        require(actor, May.MANAGE_TEMPLATES)
        record = self._store.get(move_id)
        if record is None:
            raise NotFound("move", move_id)
        if record.get("rolled_back"):
            raise Conflict("This move has already been rolled back")
        results = [self._restored(actor, record, row) for row in record["jobs"]]
        self._store.mark_rolled_back(move_id, {"at": self._clock.now(), "by": actor.email})
        return results

    # -- steps ----------------------------------------------------------------------------------------------------

    def _impact(self, job: Job, target: TemplateVersion, given: Mapping[str, Any] | None = None) -> Impact:
        """`given` replaces what the migrations make of the job's parameters; secrets that it only masks are kept."""
        stored = job.definition.parameters
        if job.template_version == target.version:
            return Impact(job=job, effect=Effect.THERE, parameters=stored)
        try:
            migrated = target.convert_parameters(stored, job.code_version or job.template_version)
        except MigrationFailed as failed:
            if given is None:
                told = FieldError("/parameters", say("cannot be converted automatically: {detail}", detail=failed.detail))
                return Impact(job=job, effect=Effect.NEEDS_INPUT, parameters=stored, errors=(told,))
            migrated = dict(stored)  # for the secrets that what is given only masks
        shown = dict(given) if given is not None else mask(migrated)
        parameters, errors = self._parameters.validate(target, shown, migrated)
        if errors:
            return Impact(job=job, effect=Effect.NEEDS_INPUT, parameters=migrated, errors=tuple(errors))
        diff = tuple(field_diff(mask(dict(stored)), mask(parameters), prefix="/parameters"))
        return Impact(job=job, effect=Effect.MIGRATES if diff else Effect.STAYS_VALID, parameters=parameters, diff=diff)

    def _record(self, actor: Actor, target: TemplateVersion, jobs: Sequence[Job]) -> Document:
        rows = [
            {"id": job.id, "name": job.definition.name, "version": job.version, "template_version": job.template_version} for job in jobs
        ]
        return {
            "_id": str(ObjectId()),
            "template_type": target.type,
            "to": target.version,
            "at": self._clock.now(),
            "by": actor.email,
            "jobs": rows,
            "rolled_back": None,
        }

    def _moved(self, actor: Actor, target: TemplateVersion, impact: Impact) -> Result:
        job = impact.job
        definition = replace(job.definition, parameters=impact.parameters)
        wanted = replace(job, definition=definition, template_version=target.version, code_version=target.template.version)
        outcome = self._put(actor, wanted, version=job.version, action="job.move", done=Outcome.MOVED)
        return Result(job_id=job.id, name=job.definition.name, outcome=outcome)

    def _restored(self, actor: Actor, record: Document, row: Document) -> Result:
        job, before = self._jobs.get(row["id"]), self._jobs.revision(row["id"], row["version"])
        if job is None:
            outcome = Outcome.GONE
        elif before is None or job.version != row["version"] + 1 or job.template_version != record["to"]:
            outcome = Outcome.CHANGED
        else:
            outcome = self._put(actor, before, version=job.version, action="job.move_back", done=Outcome.RESTORED)
        return Result(job_id=row["id"], name=row["name"], outcome=outcome)

    def _put(self, actor: Actor, wanted: Job, *, version: int, action: str, done: Outcome) -> Outcome:
        try:
            self._registry.put_version(actor, wanted, version=version, action=action)
        except StaleVersion:
            return Outcome.CHANGED
        except NotFound:
            return Outcome.GONE
        return done

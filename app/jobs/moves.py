"""What another version of a template means for its jobs, and moving them there and back."""

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
from app.jobtemplates.entry import Entry
from app.mongo import Document
from templates_lib.messages import say

LATEST_MOVES = 20


class Effect(StrEnum):
    """What a version of a template means for a job that is of another."""

    THERE = "there"  # it is of that version already
    STAYS_VALID = "stays_valid"  # its parameters are right as they are
    MIGRATES = "migrates"  # migrations, fixed values and defaults make them right
    NEEDS_INPUT = "needs_input"  # someone must give other parameters


class Outcome(StrEnum):
    """What became of a job that was to be moved, or to be rolled back."""

    MOVED = "moved"
    RESTORED = "restored"
    NEEDS_INPUT = "needs_input"
    CHANGED = "changed"  # someone has changed it meanwhile: it was left alone
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a version means for one job: its parameters there (stored form), how they differ from now (secrets masked), what is wrong."""

    job: Job
    effect: Effect
    parameters: Mapping[str, Any]
    diff: tuple[dict[str, Any], ...] = ()
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one job; `errors` where it needs input."""

    job_id: str
    name: str
    outcome: Outcome
    errors: tuple[FieldError, ...] = ()


class Moves:
    """Jobs are pinned to a version of their template; this moves one, some or all, and rolls a move back."""

    def __init__(self, *, store: MoveStore, jobs: RegistryStore, registry: JobRegistry, parameters: JobParameters, clock: Clock) -> None:
        self._store, self._jobs, self._registry, self._parameters, self._clock = store, jobs, registry, parameters, clock

    def impact(self, actor: Actor, target: Entry) -> list[Impact]:
        """What `target`, a version or the draft of a template, means for each of its jobs, by name."""
        require(actor, May.MANAGE_TEMPLATES)
        return [self._impact(job, target) for job in self._jobs.of_template(target.type)]

    def of_job(self, actor: Actor, job_id: str, target: Entry) -> Impact:
        """The same for one job. Raises NotFound where it is not of that template."""
        require(actor, May.MANAGE_TEMPLATES)
        job = self._registry.visible(actor, job_id)
        if job.definition.template_type != target.type:
            raise NotFound("job of this template", job_id)
        return self._impact(job, target)

    @staticmethod
    def shown(found: Impact) -> dict[str, Any]:
        """The parameters that a job would have, secrets masked."""
        parameters: dict[str, Any] = mask(dict(found.parameters))
        return parameters

    def move(
        self, actor: Actor, target: Entry, job_ids: Collection[str] | None, *, given: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[Document | None, list[Result]]:
        """Move jobs, by default all that need no input, to a version of their template; `given` are parameters by job id, for those that
        do. Returns the record of the move, None where no job was moved, and what became of each.

        Killed in the middle, some jobs are moved: the same call moves the rest, and each record is rolled back for itself.
        """
        require(actor, May.MANAGE_TEMPLATES)
        given = given or {}
        wanted: list[Impact] = []
        results: list[Result] = []
        for job in self._jobs.of_template(target.type):
            if job.template_version == target.version or (job_ids is not None and job.id not in job_ids):
                continue
            found = self._impact(job, target, given.get(job.id))
            if found.effect is not Effect.NEEDS_INPUT:
                wanted.append(found)
            elif job_ids is not None:
                results.append(Result(job_id=job.id, name=job.definition.name, outcome=Outcome.NEEDS_INPUT, errors=found.errors))
        if not wanted:
            return None, results
        record = self._record(actor, target, [one.job for one in wanted])
        self._store.add(record)
        return record, [*results, *(self._moved(actor, target, one) for one in wanted)]

    def latest(self, actor: Actor, kind: str) -> list[Document]:
        """The last moves of a template's jobs, newest first."""
        require(actor, May.SEE_TEMPLATES)
        return self._store.latest(kind, LATEST_MOVES)

    def roll_back(self, actor: Actor, move_id: str) -> list[Result]:
        """Give each job of a move back what it was, to the last byte; one that someone has changed since is left alone.

        Raises NotFound, Conflict where it was rolled back already.
        """
        require(actor, May.MANAGE_TEMPLATES)
        record = self._store.get(move_id)
        if record is None:
            raise NotFound("move", move_id)
        if record.get("rolled_back"):
            raise Conflict("This move was rolled back already")
        results = [self._restored(actor, record, row) for row in record["jobs"]]
        self._store.mark_rolled_back(move_id, {"at": self._clock.now(), "by": actor.email})
        return results

    # -- steps ----------------------------------------------------------------------------------------------------

    def _impact(self, job: Job, target: Entry, given: Mapping[str, Any] | None = None) -> Impact:
        """`given` stands for what the migrations make of the job's parameters; secrets that it only masks are kept."""
        stored = job.definition.parameters
        if job.template_version == target.version:
            return Impact(job=job, effect=Effect.THERE, parameters=stored)
        try:
            migrated = target.convert_parameters(stored, job.code_version or job.template_version)
        except MigrationFailed as failed:
            if given is None:
                told = FieldError("/parameters", say("need a person: {detail}", detail=failed.detail))
                return Impact(job=job, effect=Effect.NEEDS_INPUT, parameters=stored, errors=(told,))
            migrated = dict(stored)  # for the secrets that what is given only masks
        shown = dict(given) if given is not None else mask(migrated)
        parameters, errors = self._parameters.validate(target, shown, migrated)
        if errors:
            return Impact(job=job, effect=Effect.NEEDS_INPUT, parameters=migrated, errors=tuple(errors))
        diff = tuple(field_diff(mask(dict(stored)), mask(parameters), prefix="/parameters"))
        return Impact(job=job, effect=Effect.MIGRATES if diff else Effect.STAYS_VALID, parameters=parameters, diff=diff)

    def _record(self, actor: Actor, target: Entry, jobs: Sequence[Job]) -> Document:
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

    def _moved(self, actor: Actor, target: Entry, found: Impact) -> Result:
        job = found.job
        definition = replace(job.definition, parameters=found.parameters)
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

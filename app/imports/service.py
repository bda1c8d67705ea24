"""Creates jobs of imported entries, once for each entry, and takes them back. Each call can be interrupted at any point and made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, DuplicateName, NotFound
from app.execution.runs import Runs
from app.imports.store import ImportRecord, ImportState, ImportStore, import_id
from app.jobs.model import Job, JobDefinition, Shadow, to_plain
from app.jobs.service import JobRegistry, requested_id
from templates_lib.messages import say

ORIGIN = "import"
REASON = "imported, not switched on"
REASON_SHADOW = "imported, beside the old scheduler"
REASON_DISABLED = "imported, was disabled in the old scheduler"
MOST = 10_000  # entries of one source that a list has
TURN = timedelta(seconds=60)  # after this time, another account may complete an import that was interrupted
LONGEST_NAME = 120
FIRST_VERSION = 1  # of a job


class Standing(StrEnum):
    """How the job of an imported entry is now."""

    MAKING = "making"  # it is not there yet: it waits for an approval, or making it was interrupted
    AS_IMPORTED = "as imported"
    CHANGED = "changed"  # its definition was changed since
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An imported entry and its job now (None: it is not there). `created` says whether this call has made it."""

    record: ImportRecord
    standing: Standing
    job: Job | None = None
    created: bool = False


class Imports:
    """The imported entries of an installation."""

    def __init__(self, *, store: ImportStore, registry: JobRegistry, runs: Runs, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._registry, self._runs, self._audit, self._clock = store, registry, runs, audit, clock

    def of_source(self, actor: Actor, source: str | None) -> list[Imported]:
        """Returns the imported entries of a source (None: of all), as far as the actor may see their jobs. Raises Forbidden."""
        require(actor, May.SEE_JOBS)
        entries = [self._imported(actor, record) for record in self._store.of_source(source, MOST)]
        return [imported for imported in entries if _sees(actor, imported)]

    def create(
        self,
        actor: Actor,
        *,
        source: str,
        entry: str,
        plan: str,
        body: Mapping[str, Any],
        disabled: bool = False,
        shadow: bool = False,
    ) -> Imported:
        """Creates the paused job of an entry. An entry that was imported before is left as it is, also if its job was changed or deleted.
        With `disabled`, the pause says that the old scheduler had disabled the entry. With `shadow`, the job of any other entry is in
        shadow mode and not paused.

        1. A record says which job will be made.
        2. The job is made, under an id that follows from the record.
        3. The record says that it was made.

        If the name of the job is taken, its name gets that of the machine, or a number. Raises ApprovalNeeded; Conflict while another
        account imports the entry; else as JobRegistry.create.
        """
        require(actor, May.CHANGE_JOBS)
        key = import_id(source, entry)
        record = self._store.get(key)
        if record is not None and record.state == ImportState.MADE:
            imported = self._imported(actor, record)
            if not _sees(actor, imported):
                raise Conflict("This entry was imported by another account.")
            return imported
        if record is None:
            with self._audit.action(actor, "import.create", kind="import", target_id=key, name=f"{source} {entry}"):
                record = self._begin(actor, key, source=source, entry=entry, plan=plan, name=str(body.get("name", "")))
        if (job := self._find(actor, record.job_id)) is None:
            record = self._own(actor, record)
            job = self._make(actor, record, body, REASON_DISABLED if disabled else REASON, shadow=shadow and not disabled)
        made = self._as_made(actor, job)
        self._store.complete(key, job_id=job.id, name=job.definition.name, digest=made)
        done = self._store.get(key)
        if done is None:
            raise Conflict("Somebody is rolling this import back. Try again.")
        return Imported(record=done, standing=_standing(job, made), job=job, created=True)

    def remove(self, actor: Actor, record_id: str) -> Imported:
        """Deletes the job of an imported entry, and forgets the import. Returns what there was.

        Raises Conflict if the job was changed since; NotFound; ApprovalNeeded.
        """
        require(actor, May.CHANGE_JOBS)
        record = self._store.get(record_id)
        imported = self._imported(actor, record) if record is not None else None
        if record is None or imported is None or not _sees(actor, imported):
            raise NotFound("import", record_id)
        if imported.standing is Standing.CHANGED:
            raise Conflict(say("{name!r} was changed after the import. Delete it yourself if it is not needed.", name=record.name))
        with self._audit.action(actor, "import.remove", kind="import", target_id=record_id, name=f"{record.source} {record.entry}"):
            if imported.job is not None:
                self._runs.delete_job(actor, imported.job.id, version=imported.job.version)
            self._store.remove(record_id)
        return imported

    # -- steps ----------------------------------------------------------------------------------------------------

    def _begin(self, actor: Actor, key: str, *, source: str, entry: str, plan: str, name: str) -> ImportRecord:
        now = self._now()
        record = ImportRecord(
            id=key,
            source=source,
            entry=entry,
            plan=plan,
            state=ImportState.MAKING.value,
            job_id=requested_id(actor.id, _request_key(key, now)),
            name=name,
            digest="",
            by=actor.name,
            by_id=actor.id,
            at=now,
        )
        if self._store.begin(record):
            return record
        present = self._store.get(key)
        if present is None:
            raise Conflict("Somebody is rolling this import back. Try again.")
        return present

    def _own(self, actor: Actor, record: ImportRecord) -> ImportRecord:
        """Returns the record as one that `actor` completes: the id of the job follows from the account."""
        if record.by_id == actor.id:
            return record
        now = self._now()
        job_id = requested_id(actor.id, _request_key(record.id, now))
        taken = now - record.at >= TURN and self._store.take_over(record, by=actor.name, by_id=actor.id, job_id=job_id, at=now)
        mine = self._store.get(record.id) if taken else None
        if mine is None:
            raise Conflict(say("{name} is importing this entry. Try again in a minute.", name=record.by))
        return mine

    def _make(self, actor: Actor, record: ImportRecord, body: Mapping[str, Any], reason: str, *, shadow: bool) -> Job:
        """Makes the job, under another name if its name is taken."""
        name, key = str(body.get("name", "")), _request_key(record.id, record.at)
        pause = "" if shadow else reason
        beginning = Shadow(reason=REASON_SHADOW, by=actor.name, at=self._now()) if shadow else None
        machine = record.source.split(":")[1] if record.source.count(":") > 1 else record.source
        others = [name, f"{name} ({machine})"[:LONGEST_NAME], *(f"{name} ({machine}) {number}"[:LONGEST_NAME] for number in (2, 3))]
        for place, other in enumerate(others):
            named = {**body, "name": other}
            try:
                return self._registry.create(actor, named, idempotency_key=key, origin=ORIGIN, pause=pause, shadow=beginning)[0]
            except DuplicateName:
                if place == len(others) - 1:
                    raise
        raise AssertionError(name)

    def _now(self) -> datetime:
        """Returns the time in milliseconds, as the database keeps it."""
        now = self._clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _find(self, actor: Actor, job_id: str) -> Job | None:
        try:
            return self._registry.visible(actor, job_id)
        except NotFound:
            return None

    def _as_made(self, actor: Actor, job: Job) -> str:
        """Returns the digest of the definition that a job was made with; "" if that version is not kept, so that the job counts as changed.

        The job may be older than this call: an approval has made it, or an import that was interrupted."""
        if job.version == FIRST_VERSION:
            return _digest(job.definition)
        with suppress(NotFound):
            return _digest(self._registry.revision(actor, job.id, FIRST_VERSION).definition)
        return ""

    def _imported(self, actor: Actor, record: ImportRecord) -> Imported:
        job = self._find(actor, record.job_id)
        if job is None:
            standing = Standing.DELETED if record.state == ImportState.MADE else Standing.MAKING
            return Imported(record=record, standing=standing)
        made = record.digest if record.state == ImportState.MADE else self._as_made(actor, job)
        return Imported(record=record, standing=_standing(job, made), job=job)


def _standing(job: Job, made: str) -> Standing:
    """Returns how a job is that was made with the definition that `made` tells."""
    return Standing.AS_IMPORTED if _digest(job.definition) == made else Standing.CHANGED


def _digest(definition: JobDefinition) -> str:
    """Returns what tells a definition from others. Pausing and resuming a job changes nothing of it."""
    return hashlib.sha256(json.dumps(to_plain(definition), sort_keys=True, default=str).encode()).hexdigest()


def _request_key(record_id: str, at: datetime) -> str:
    """Returns the key of the request that makes the job of a record. After a roll-back, another record has another key."""
    return f"{record_id}-{round(at.timestamp() * 1000)}"


def _sees(actor: Actor, imported: Imported) -> bool:
    """Whether an account may see an imported entry: one that is bound to groups sees those whose jobs it sees."""
    return actor.groups is None or imported.job is not None or imported.record.by_id == actor.id

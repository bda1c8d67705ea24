"""What people tell each other about a job: why it is as it is, whom to ask, what to do when it fails at night."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import FieldError, Forbidden, LimitReached, NotFound, ValidationFailed
from app.jobs.note_store import NoteStore
from app.jobs.service import JobRegistry
from app.mongo import Document
from templates_lib.messages import say

LONGEST = 4_000  # characters
MOST = 200  # notes of a job


@dataclass(frozen=True, slots=True)
class Note:
    """One note. `by` is the e-mail address of who wrote it, `by_id` their account."""

    id: str
    text: str
    by: str
    by_id: str
    at: datetime


class Notes:
    """Notes on jobs that the actor sees; a deleted job keeps its notes."""

    def __init__(self, store: NoteStore, registry: JobRegistry, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._registry, self._audit, self._clock = store, registry, audit, clock

    def of(self, actor: Actor, job_id: str) -> list[Note]:
        """Returns all notes of a job, newest first. Raises NotFound."""
        self._registry.get(actor, job_id)
        return [_note(row) for row in self._store.of(job_id, MOST)]

    def add(self, actor: Actor, job_id: str, text: str) -> Note:
        """Writes a note. Raises NotFound, ValidationFailed at /text, LimitReached."""
        require(actor, May.CHANGE_JOBS)
        job, text = self._registry.get(actor, job_id), text.replace("\r\n", "\n").strip()
        if not 0 < len(text) <= LONGEST:
            raise ValidationFailed([FieldError("/text", say("must have 1 to {most:,} characters", most=LONGEST))])
        if self._store.count(job_id) >= MOST:
            raise LimitReached(say("The job already has {most} notes. Delete one first.", most=MOST))
        row: Document = {
            "_id": str(uuid.uuid4()),
            "job_id": job_id,
            "text": text,
            "by": actor.email,
            "by_id": actor.id,
            "at": self._clock.now(),
        }
        diff = [{"field": "/notes", "before": None, "after": text}]
        with self._audit.action(actor, "job.note", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            self._store.add(row)
        return _note(row)

    def drop(self, actor: Actor, job_id: str, note_id: str) -> None:
        """Deletes one's own note; a super-admin may delete any. Raises NotFound, Forbidden."""
        require(actor, May.CHANGE_JOBS)
        job, row = self._registry.get(actor, job_id), self._store.get(job_id, note_id)
        if row is None:
            raise NotFound("note", note_id)
        if row["by_id"] != actor.id and actor.role != "super_admin":
            raise Forbidden("Only the author of a note or a super-admin can delete it")
        diff = [{"field": "/notes", "before": row["text"], "after": None}]
        with self._audit.action(actor, "job.unnote", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            self._store.remove(note_id)


def _note(row: Document) -> Note:
    return Note(row["_id"], row["text"], row["by"], row["by_id"], row["at"])

"""Failures that need a person: those that no later run has mended and that nobody has dealt with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, FieldError, ValidationFailed
from app.execution.acknowledgement_store import AcknowledgementStore
from app.execution.history_store import HistoryStore
from app.execution.visible import VisibleExecutions
from app.jobs.directory import JobDirectory
from app.mongo import Document
from app.queue.execution import Execution, Outline
from app.queue.model import FAILURES, Status
from app.queue.store import QueueStore
from app.shapes import LONG_AGO
from templates_lib.messages import say

LONGEST_NOTE = 1_000  # characters
MOST_FAILING = 500  # jobs that are looked at
MOST_SHOWN = 8
# The last status of a job whose last run that succeeded or failed may have failed: a cancelled run mends nothing.
MAY_HAVE_FAILED = sorted({*FAILURES, Status.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Who dealt with a failure, and when. `dismissed`: it is not shown any more; otherwise it is shown with the note."""

    execution_id: str
    by: str
    at: datetime
    note: str
    dismissed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJob:
    """A job whose last run that succeeded or failed has failed, and that run."""

    job_id: str
    job_name: str
    execution: Outline
    acknowledgement: Acknowledgement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """The jobs that fail, the newest failure first. `open`: nobody has dealt with them. `more`: how many open ones are left out."""

    open: list[FailedJob]
    acknowledged: list[FailedJob]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is to be done about one execution. `open`: it is a failure that needs a person."""

    open: bool
    acknowledgement: Acknowledgement | None = None


class Attention:
    """Reads what fails, and records who has dealt with it. A new failure of the same job counts again."""

    def __init__(
        self,
        *,
        store: AcknowledgementStore,
        queue: QueueStore,
        history: HistoryStore,
        directory: JobDirectory,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._store, self._history, self._directory = store, history, directory
        self._visible = VisibleExecutions(queue, directory)
        self._audit, self._clock = audit, clock

    def failing(self, actor: Actor) -> Failing:
        """Returns the failing jobs that `actor` sees."""
        require(actor, May.SEE_EXECUTIONS)
        jobs, total = self._directory.last_ended(actor, MAY_HAVE_FAILED, MOST_FAILING)
        decided = self._history.last_decided([job.id for job in jobs])
        rows = self._store.of_jobs([job.id for job in jobs])
        failed = [
            FailedJob(job_id=job.id, job_name=job.name, execution=run, acknowledgement=_of(rows.get(job.id), run))
            for job in jobs
            if (run := decided.get(job.id)) is not None and run.status in FAILURES
        ]
        failed.sort(key=lambda row: _failed_at(row.execution), reverse=True)
        unhandled = [row for row in failed if row.acknowledgement is None]
        seen = [row for row in failed if row.acknowledgement is not None and not row.acknowledgement.dismissed]
        more = max(0, len(unhandled) - MOST_SHOWN) + total - len(jobs)
        return Failing(open=unhandled[:MOST_SHOWN], acknowledged=seen[:MOST_SHOWN], more=more)

    def standing(self, actor: Actor, execution: Execution) -> Standing:
        """Returns whether an execution that `actor` sees is a failure that needs a person, and who has dealt with it."""
        require(actor, May.SEE_EXECUTIONS)
        if execution.status not in FAILURES or execution.dry:
            return Standing(open=False)
        row = self._store.of_jobs([execution.job_id]).get(execution.job_id)
        if row is not None and row["execution_id"] == execution.id:
            return Standing(open=False, acknowledgement=_acknowledgement(row))
        newest = self._history.last_decided([execution.job_id]).get(execution.job_id)
        dealt_with = row is not None and row["failed_at"] >= execution.queued_at
        return Standing(open=newest is not None and newest.id == execution.id and not dealt_with)

    def acknowledge(self, actor: Actor, execution_id: str, *, note: str = "", dismiss: bool = False) -> Acknowledgement:
        """Records that somebody deals with a failure; with `dismiss`, it is not shown any more.

        Raises NotFound, ValidationFailed at /note, Conflict where the execution did not fail or where a later run has ended.
        """
        require(actor, May.ACKNOWLEDGE)
        execution, note = self._visible.get(actor, execution_id), note.replace("\r\n", "\n").strip()
        if len(note) > LONGEST_NOTE:
            raise ValidationFailed([FieldError("/note", say("must have at most {most} characters", most=LONGEST_NOTE))])
        if execution.status not in FAILURES or execution.dry:
            raise Conflict("Only a failed or timed-out run can be acknowledged")
        newest = self._history.last_decided([execution.job_id]).get(execution.job_id)
        if newest is None or newest.id != execution_id:
            raise Conflict(say("A later run of {name!r} has ended. Look at that run instead", name=execution.job_name))
        now = self._clock.now()
        row: Document = {
            "execution_id": execution_id,
            "failed_at": execution.queued_at,
            "by": actor.email,
            "at": now,
            "note": note,
            "dismissed": dismiss,
        }
        action = "execution.dismiss" if dismiss else "execution.acknowledge"
        diff = [{"field": "/note", "after": note}] if note else []
        with self._audit.action(actor, action, kind="execution", target_id=execution_id, name=execution.job_name, diff=diff):
            if not self._store.put(execution.job_id, row):
                raise Conflict(say("A later failure of {name!r} is acknowledged already", name=execution.job_name))
        return _acknowledgement(row)

    def take_back(self, actor: Actor, execution_id: str) -> None:
        """Removes the acknowledgement of a failure, so that it needs attention again. Raises NotFound, and Conflict where it has none."""
        require(actor, May.ACKNOWLEDGE)
        execution = self._visible.get(actor, execution_id)
        action = "execution.unacknowledge"
        with self._audit.action(actor, action, kind="execution", target_id=execution_id, name=execution.job_name):
            if not self._store.remove(execution.job_id, execution_id):
                raise Conflict("This failure is not acknowledged")


def _of(row: Document | None, run: Outline) -> Acknowledgement | None:
    """Returns the acknowledgement of a job if it is about this failure or a later one."""
    return _acknowledgement(row) if row is not None and row["failed_at"] >= _failed_at(run) else None


def _failed_at(run: Outline) -> datetime:
    return run.queued_at or LONG_AGO


def _acknowledgement(row: Document) -> Acknowledgement:
    return Acknowledgement(
        execution_id=row["execution_id"], by=row["by"], at=row["at"], note=row.get("note", ""), dismissed=row.get("dismissed", False)
    )

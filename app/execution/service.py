"""Executions for people and programs: run, cancel, retry, look."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.connections.vault import mask
from app.errors import AlreadyRunning, ApprovalNeeded, Conflict, FieldError, LimitReached, NotFound, ValidationFailed
from app.execution.figures import Figures
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore, LogWindow
from app.execution.store import ALL_EXECUTIONS, ExecutionFilter, ExecutionStore
from app.jobs.body import non_defaults
from app.jobs.directory import JobDirectory
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.model import Job, Overlap
from app.jobs.parameters import JobParameters
from app.jobs.service import JobRegistry
from app.mongo import Document, is_away
from app.queue.model import LIVE, Status, Trigger, new_execution
from app.queue.slots import RunBounds
from templates_lib.messages import Said, said, say

_RUN_SPACE = uuid.UUID("5b1a4f0e-9a4e-4c38-8a50-3b0a4f6f0d21")
_BACKFILL_SPACE = uuid.UUID("0b6b3f0e-4c1d-4a55-9d0f-6f0f1f1c7a3e")
LIMIT_WINDOW = timedelta(hours=1)
TYPICAL_OF = 50  # runs
MOST_EFFECTS = 50  # executions that one began


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")  # of log lines, the gravest last


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """One page, newest first; pages count from 1."""

    executions: list[Document]
    total: int
    page: int
    pages: int
    counted: bool = True  # False where there are more than `total`


class Executions:
    """The queue and the record. `wake` is called when something new waits, so that it does not wait for a tick."""

    def __init__(
        self,
        *,
        store: ExecutionStore,
        logs: LogStore,
        limits: RunLimits,
        registry: JobRegistry,
        parameters: JobParameters,
        gate: ApprovalGate,
        directory: JobDirectory,
        audit: AuditTrail,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._logs, self._limits, self._registry = store, logs, limits, registry
        self._parameters, self._gate, self._directory = parameters, gate, directory
        self._audit, self._clock, self._settings = audit, clock, settings
        self._bounds = RunBounds.from_settings(settings)
        self.wake: Callable[[], None] = lambda: None
        self.why_nothing_starts: Callable[[], Said | None] = lambda: None  # anywhere; None where runs may start

    # -- acting ---------------------------------------------------------------------------------------------------

    def run_now(
        self,
        actor: Actor,
        job_id: str,
        *,
        overrides: Mapping[str, Any] | None = None,
        whole: bool = False,
        idempotency_key: str | None = None,
    ) -> Document:
        """Start a job by hand, with `overrides` for some of its parameters, or for all with `whole`; returns the execution.

        Raises AlreadyRunning while the job runs (unless its overlap policy is `queue` or `allow`), ValidationFailed for an override,
        LimitReached after the user's runs of the hour, Conflict where `idempotency_key` belongs to another job.
        """
        require(actor, May.RUN_JOBS)
        job = self._parameters.upgrade(self._registry.visible(actor, job_id))
        execution_id = str(uuid.uuid5(_RUN_SPACE, f"{actor.id}\0{idempotency_key}") if idempotency_key else uuid.uuid4())
        if idempotency_key and (replayed := self._replayed(execution_id, job_id)):
            return replayed
        parameters = self._parameters.for_run(job, overrides, whole=whole)
        self._refuse_beside_another(job)
        document = new_execution(
            job,
            now=self._clock.now(),
            triggered_by=Trigger.MANUAL if actor.via == "web" else Trigger.API,
            parameters=parameters,
            by=actor.email,
            execution_id=execution_id,
        )
        diff = [{"field": f"/parameters/{name}", "after": mask(parameters.get(name))} for name in sorted(overrides or {})]
        named = {"execution_id": execution_id} if idempotency_key else {}
        self._gate.check(
            actor, job, Operation.RUN, payload={"parameters": parameters, "code_version": job.code_version, **named}, diff=diff
        )
        self._start(actor, "job.run", document, diff)
        return self._shown(self._found(execution_id))

    def wrong_parameters(self, actor: Actor, job_id: str, overrides: Mapping[str, Any]) -> tuple[FieldError, ...]:
        """What keeps a run by hand from having these parameters, at pointers below `/parameters`. Raises Forbidden, NotFound."""
        require(actor, May.RUN_JOBS)
        try:
            self._parameters.for_run(self._parameters.upgrade(self._registry.visible(actor, job_id)), overrides)
        except ValidationFailed as failed:
            return failed.errors
        return ()

    def standing(self, execution: Document) -> Said:
        """What has become of a run that somebody has just asked for, in one line: it has started, or it waits, and what for."""
        try:
            document = self._store.get(execution["_id"]) or execution
            why = self.why_nothing_starts() or self._why_it_waits(document)
            if why:  # it may have started meanwhile, and be itself what takes the place
                document = self._store.get(execution["_id"]) or execution
            if document["status"] not in {Status.QUEUED, Status.RETRYING}:
                return say("Job started") if document["started_at"] else say("The run has ended: {status}", status=said(document["status"]))
        except Exception as error:
            if not is_away(error):
                raise
            return say("Run queued")  # it is, whatever cannot be read now
        return say("Run queued: {why}", why=why) if why else say("Run queued")

    def _why_it_waits(self, document: Document) -> Said | None:
        full = self._store.full_bound(document, self._bounds)
        if full is None:
            return None
        if full == f"{document['job_id']}#":
            return say("other runs of the job are still running")
        what, _, name = full.removesuffix("#").partition(":")
        if what == "group":
            return say("other runs of the concurrency group {name!r} are still running", name=name)
        if what == "template":
            return say("its template has reached its limit of runs at once (JOBWRIGHT_TEMPLATE_LIMITS)")
        return say("the limit of runs at once is reached (JOBWRIGHT_MAX_RUNNING)")

    def retry(self, actor: Actor, execution_id: str, *, parameters: Mapping[str, Any] | None = None) -> Document:
        """Try an ended execution again, as a new one linked to it; with `parameters` in place of all that it had.

        Raises Conflict while it has not ended, else as `run_now`.
        """
        require(actor, May.RUN_JOBS)
        old = self._visible(actor, execution_id)
        job = self._parameters.upgrade(self._registry.visible(actor, old["job_id"]))
        if old["status"] in LIVE:
            raise Conflict(say("This execution is {status}; it can be retried once it has ended", status=said(old["status"])))
        self._refuse_beside_another(job)
        base = self._carried(job, old)
        chosen = base if parameters is None else self._parameters.for_run(job, parameters, base=base, whole=True)
        document = new_execution(
            job,
            now=self._clock.now(),
            triggered_by=Trigger.RETRY,
            parameters=chosen,
            by=actor.email,
            retry_of=execution_id,
            stands_for=old.get("stands_for"),
        )
        diff = [] if parameters is None else field_diff(mask(base or {}), mask(chosen), prefix="/parameters")
        payload = {
            "parameters": document["parameters"],
            "code_version": job.code_version,
            "retry_of": execution_id,
            "stands_for": old.get("stands_for"),
        }
        self._gate.check(actor, job, Operation.RETRY, payload=payload, diff=diff)
        self._start(actor, "execution.retry", document, diff)
        return self._shown(document)

    def run_approved(
        self,
        actor: Actor,
        job_id: str,
        *,
        version: int,
        execution_id: str,
        parameters: Mapping[str, Any],
        code_version: int | None = None,
        retry_of: str | None = None,
        stands_for: datetime | None = None,
    ) -> Document:
        """Start the run of an approved request, of the job that was looked at (`version`); one that is there already is returned.

        `parameters` are as they are stored, written for `code_version`.

        Raises StaleVersion, AlreadyRunning, LimitReached, NotFound.
        """
        if replayed := self._replayed(execution_id, job_id):
            return replayed
        job = self._registry.visible(actor, job_id, version=version)
        self._gate.check(actor, job, Operation.RETRY if retry_of else Operation.RUN)
        self._refuse_beside_another(job)
        document = new_execution(
            replace(job, code_version=code_version),
            now=self._clock.now(),
            parameters=parameters,
            by=actor.email,
            triggered_by=Trigger.RETRY if retry_of else Trigger.MANUAL,
            execution_id=execution_id,
            retry_of=retry_of,
            stands_for=stands_for,
        )
        self._start(actor, "execution.retry" if retry_of else "job.run", document, [])
        return self._shown(self._found(execution_id))

    def preview(self, job: Job, *, of: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Have a job's template say what a run would do; returns the execution's id. `of` stands for the job, whose history it is not."""
        document = new_execution(
            replace(job, id=of),
            now=self._clock.now(),
            triggered_by=Trigger.PREVIEW,
            parameters=parameters,
            overlap=Overlap.ALLOW,
            dry=True,
            execution_id=self.preview_id(of),
        )
        self._store.add_one(document)
        self.wake()
        return str(document["_id"])

    def try_out(self, actor: Actor, body: Any) -> str:
        """Have the template of a job that is not made say what a run of it would do; returns what `tried` is asked with. Counts as one
        run of the user's hour.

        Whoever would have to wait for approval may ask what they would be asking for. Raises ValidationFailed, Forbidden, Conflict where
        the template is off, LimitReached.
        """
        require(actor, May.RUN_JOBS)
        job = self._registry.draft(actor, body)
        with suppress(ApprovalNeeded):
            self._gate.check(actor, job, Operation.CREATE)
        self._count_run(actor)
        with self._audit.action(
            actor, "job.dry_run", kind="job", target_id=job.id, name=job.definition.name, diff=non_defaults(job.definition)
        ):
            self.preview(job, of=_tried_by(actor, job.id))
        return job.id

    def tried(self, actor: Actor, key: str) -> Document | None:
        """What a dry run of the same actor has found, once it has ended, after which it is forgotten; None before."""
        require(actor, May.RUN_JOBS)
        return self.end_preview(self.preview_id(_tried_by(actor, key)))

    @staticmethod
    def preview_id(of: str) -> str:
        """The id of the execution that `preview` makes."""
        return str(uuid.uuid5(_RUN_SPACE, f"preview {of}"))

    def end_preview(self, execution_id: str) -> Document | None:
        """What a preview found, once it has ended, after which it is forgotten; None before."""
        document = self._store.get(execution_id)
        if document is None:
            return {"status": Status.FAILED.value, "result": None, "error": {"message": "The preview is gone"}}
        if document["status"] in LIVE:
            return None
        found = {name: document[name] for name in ("status", "result", "error")}
        self._store.remove_dry(execution_id)
        return found

    def may_run(self, actor: Actor, job_id: str) -> None:
        """Raises Forbidden where `actor` starts no jobs by hand (of some jobs they may, and it waits for approval), NotFound."""
        require(actor, May.RUN_JOBS)
        self._registry.visible(actor, job_id)

    def backfill(self, actor: Actor, job_id: str, due_times: Sequence[datetime], *, key: str = "") -> int:
        """Queue a run for each of these due times, oldest first; returns how many are new. Counts as one run of the user's hour.

        Raises Forbidden, LimitReached. Killed in the middle, the same call queues the rest: an id is of its job, due time, and `key` or
        the minute.
        """
        require(actor, May.RUN_JOBS)
        job = self._registry.visible(actor, job_id)
        now = self._clock.now()
        name = key or f"{now:%Y-%m-%dT%H:%M}"
        documents = [
            new_execution(
                job,
                now=now + place * timedelta(milliseconds=1),
                triggered_by=Trigger.BACKFILL,
                by=actor.email,
                overlap=Overlap.QUEUE,
                stands_for=due,
                execution_id=str(uuid.uuid5(_BACKFILL_SPACE, f"{job_id}\0{due.isoformat()}\0{name}")),
            )
            for place, due in enumerate(due_times)
        ]
        diff = [{"field": "/backfill", "before": None, "after": {"from": due_times[0], "to": due_times[-1], "runs": len(due_times)}}]
        self._gate.check(actor, job, Operation.BACKFILL, payload={"due_times": list(due_times)}, diff=diff)
        self._count_run(actor)
        with self._audit.action(actor, "job.backfill", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            new = self._store.add(documents)
        self.wake()
        return new

    def made_up_for(self, job_id: str, begin: datetime, end: datetime) -> set[datetime]:
        """Due times of [begin, end) that have a run which succeeded or is still to end."""
        return self._store.made_up_for(job_id, begin, end)

    def waiting_of_backfill(self, actor: Actor, job_id: str) -> int:
        """How many runs of backfills the job has not ended yet."""
        require(actor, May.SEE_EXECUTIONS)
        self._registry.get(actor, job_id)
        return self._store.waiting_of_backfill(job_id)

    def cancel_backfill(self, actor: Actor, job_id: str) -> int:
        """Cancel what waits of the job's backfills; what runs goes on. Returns how many."""
        require(actor, May.CANCEL)
        job = self._registry.visible(actor, job_id)
        with self._audit.action(actor, "job.backfill_cancel", kind="job", target_id=job_id, name=job.definition.name):
            return self._store.drop_backfill(job_id, by=actor.email, now=self._clock.now())

    def cancel(self, actor: Actor, execution_id: str) -> Document:
        """Stop an execution: at once where it waits, within the grace where it runs. Raises Conflict where it has ended."""
        require(actor, May.CANCEL)
        document = self._visible(actor, execution_id)
        if document["status"] not in LIVE:
            raise Conflict(say("This execution has ended already: {status}", status=said(document["status"])))
        with self._audit.action(actor, "execution.cancel", kind="execution", target_id=execution_id, name=document["job_name"]):
            changed = self._store.ask_cancel(execution_id, by=actor.email, now=self._clock.now())
            if changed is None:
                raise Conflict("This execution has just ended")
        return self._shown(changed)

    def delete_job(self, actor: Actor, job_id: str, *, version: int | None = None) -> None:
        """Retire a job, and what it still has waiting. Raises as JobRegistry.delete."""
        self._registry.delete(actor, job_id, version=version)
        self.forget_job(job_id)

    def forget_job(self, job_id: str) -> None:
        """A job was retired: what it still has waiting will not run."""
        self._store.drop_queued(job_id, now=self._clock.now())

    # -- looking --------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, execution_id: str) -> Document:
        """One, secrets masked. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        return self._shown(self._visible(actor, execution_id))

    def parameters_again(self, actor: Actor, execution_id: str) -> dict[str, Any]:
        """What an execution had, as its job's template takes it now, secrets masked; what the job has, where it is of another template by
        now. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        old = self._visible(actor, execution_id)
        job = self._registry.visible(actor, old["job_id"])
        carried = self._carried(job, old)
        shown: dict[str, Any] = self._parameters.shown(job) if carried is None else mask(carried)
        return shown

    def page(
        self, actor: Actor, query: ExecutionFilter = ALL_EXECUTIONS, *, page: int = 1, limit: int = 50, most: int = 0
    ) -> ExecutionPage:
        """One page of the executions that `query` leaves. With `most`, no more than so many are counted, and pages go no further."""
        require(actor, May.SEE_EXECUTIONS)
        visible = self._directory.visible_ids(actor)
        rows, total = self._store.page(query, of_jobs=visible, skip=(page - 1) * limit, limit=limit, most=most)
        everything = query == ALL_EXECUTIONS and visible is None  # its number is known without counting
        reached = min(total, most) if most else total
        counted = not most or total < most or everything
        return ExecutionPage([self._shown(row) for row in rows], total, page, max(1, -(-reached // limit)), counted=counted)

    def latest(self, actor: Actor, job_id: str, limit: int = 20) -> list[Document]:
        """The newest executions of a job, in brief."""
        require(actor, May.SEE_EXECUTIONS)
        return self._store.latest(job_id, limit) if self._directory.sees(actor, job_id) else []

    def figures(self, actor: Actor, job_id: str, limit: int) -> dict[str, Any]:
        """What the newest executions of a job come to: {executions, by_status, success, median_seconds, p95_seconds}."""
        rows = self.latest(actor, job_id, limit)
        return {"executions": len(rows), "by_status": dict(Counter(row["status"] for row in rows)), **asdict(Figures.of(rows))}

    def latest_of(self, actor: Actor, job_ids: Sequence[str], limit: int) -> dict[str, list[Document]]:
        """The same of many jobs that `actor` was shown, by job."""
        require(actor, May.SEE_EXECUTIONS)
        return self._store.latest_of(job_ids, limit)

    def typical_seconds(self, kinds: Iterable[str]) -> dict[str, float]:
        """How long the latest successful runs of each template took, as the middle of them; those that never ran are left out."""
        spans = {kind: self._store.latest_durations(kind, TYPICAL_OF) for kind in kinds}
        return {kind: median(found) for kind, found in spans.items() if found}

    def log(self, actor: Actor, execution_id: str, *, after: str = "", limit: int = 1000) -> tuple[list[Document], str]:
        """Log lines {timestamp, level, message, attempt} after a cursor, and the next cursor. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        self._visible(actor, execution_id)
        return self._logs.read(execution_id, after=after, limit=limit)

    def log_window(self, actor: Actor, execution_id: str, *, first: int, limit: int) -> LogWindow:
        """Lines of a log by their numbers, as LogStore.window. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        self._visible(actor, execution_id)
        return self._logs.window(execution_id, first, limit)

    def log_search(self, actor: Actor, execution_id: str, *, text: str, level: str, limit: int = 1000) -> tuple[list[Document], bool]:
        """The first lines of a level or a graver one that hold a text, and whether there are more. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        self._visible(actor, execution_id)
        return self._logs.search(execution_id, text=text, levels=at_least(level), limit=limit)

    def failing_line(self, actor: Actor, execution_id: str) -> Document | None:
        """The last line that tells of an error; None where none does. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        self._visible(actor, execution_id)
        return self._logs.last_of(execution_id, at_least("ERROR"))

    def whole_log(self, actor: Actor, execution_id: str) -> Iterator[Document]:
        """Every line, as it comes from the database. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        self._visible(actor, execution_id)
        return self._logs.all(execution_id)

    def neighbours(self, actor: Actor, execution: Document) -> tuple[str | None, str | None]:
        """Ids of the executions of the same job before and after one."""
        require(actor, May.SEE_EXECUTIONS)
        return self._store.neighbour(execution, earlier=True), self._store.neighbour(execution, earlier=False)

    def causes(self, actor: Actor, execution: Document) -> list[Document]:
        """The executions whose ends began an execution, in brief; those that `actor` does not see are left out."""
        return self._seen(actor, self._store.briefly(execution["caused_by"])) if execution.get("caused_by") else []

    def effects(self, actor: Actor, execution_id: str) -> list[Document]:
        """The executions that the end of an execution began, in brief; those that `actor` does not see are left out."""
        return self._seen(actor, self._store.caused_by(execution_id, MOST_EFFECTS))

    def _seen(self, actor: Actor, rows: Sequence[Document]) -> list[Document]:
        require(actor, May.SEE_EXECUTIONS)
        return [row for row in rows if self._directory.sees(actor, row["job_id"])]

    def success_before(self, actor: Actor, execution: Document) -> Document | None:
        """The last success of the same job that was queued before an execution; secrets masked."""
        require(actor, May.SEE_EXECUTIONS)
        found = self._store.success_before(execution)
        return self._shown(found) if found else None

    def busy(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Which of these jobs run or wait to run."""
        return frozenset(self._store.live_counts(job_ids))

    def live_counts(self) -> dict[str, int]:
        """How many executions are queued, running, retrying."""
        return self._store.counts_by_status()

    # -- steps ----------------------------------------------------------------------------------------------------

    def _refuse_beside_another(self, job: Job) -> None:
        if job.definition.overlap in {Overlap.SKIP, Overlap.REPLACE} and self._store.live_counts([job.id]):
            raise AlreadyRunning(say("{name!r} is still running or waiting to run", name=job.definition.name))

    def _start(self, actor: Actor, action: str, document: Document, diff: list[dict[str, Any]]) -> None:
        self._count_run(actor)
        with self._audit.action(actor, action, kind="job", target_id=document["job_id"], name=document["job_name"], diff=diff):
            self._store.add_one(document)
        self.wake()

    def _count_run(self, actor: Actor) -> None:
        limit = self._settings.runs_per_hour
        wait = self._limits.take(actor.id, now=self._clock.now(), limit=limit, window=LIMIT_WINDOW)
        if wait is not None:
            raise LimitReached(
                say("{email} has started {limit} runs within the hour (JOBWRIGHT_RUNS_PER_HOUR)", email=actor.email, limit=limit),
                retry_after_seconds=math.ceil(wait),
            )

    def _replayed(self, execution_id: str, job_id: str) -> Document | None:
        document = self._store.get(execution_id)
        if document is None:
            return None
        if document["job_id"] != job_id:
            raise Conflict("This Idempotency-Key was used for another job")
        return self._shown(document)

    def _visible(self, actor: Actor, execution_id: str) -> Document:
        document = self._found(execution_id)
        if not self._directory.sees(actor, document["job_id"]):
            raise NotFound("execution", execution_id)
        return document

    def _carried(self, job: Job, old: Document) -> dict[str, Any] | None:
        """The parameters of an execution as its job's template takes them now; None where the job is of another template by now."""
        if old["template_type"] != job.definition.template_type or old["template_version"] is None:
            return None
        return self._parameters.from_earlier_run(job, old["parameters"], old["template_version"], old.get("code_version"))

    def _found(self, execution_id: str) -> Document:
        document = self._store.get(execution_id)
        if document is None:
            raise NotFound("execution", execution_id)
        return document

    @staticmethod
    def _shown(document: Document) -> Document:
        return {**document, "parameters": mask(document["parameters"])}


def _tried_by(actor: Actor, key: str) -> str:
    """What a dry run is known by: nobody else's, and no request's for approval."""
    return f"{actor.id}/{key}"


def at_least(level: str) -> Sequence[str]:
    """A level and the graver ones; none, which is any, for what is no level."""
    return LEVELS[LEVELS.index(level) :] if level in LEVELS else ()


def is_live(document: Mapping[str, Any]) -> bool:
    """True until the execution has ended."""
    return document["status"] in LIVE

"""Runs that people and programs ask for: start, retry, cancel, and say what has become of them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app import durations
from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.vault import mask
from app.errors import AlreadyRunning, Conflict, FieldError, LimitReached, ValidationFailed
from app.execution.hourly_runs import HourlyRuns, possible_again
from app.execution.visible import VisibleExecutions
from app.jobs.directory import JobDirectory
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.model import Excess, Job, Overlap, RunLimit
from app.jobs.parameters import JobParameters
from app.jobs.service import JobRegistry
from app.mongo import is_away
from app.queue.execution import Execution
from app.queue.model import Status, Trigger
from app.queue.slots import RunBounds
from app.queue.start_limits import StartLimits
from app.queue.store import QueueStore
from app.signals import Signal
from templates_lib.messages import Said, joined, said, say, say_many

# By the way that a request came; any other one is MANUAL.
_TRIGGERS = {"api": Trigger.API, "webhook": Trigger.WEBHOOK, "nats": Trigger.COMMAND}
RUN_SPACE = uuid.UUID("5b1a4f0e-9a4e-4c38-8a50-3b0a4f6f0d21")  # of the ids that follow from what was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedRun:
    """What an approved request asks to run. `parameters` are as they are stored, written for `code_version`; `version` is that of the job
    that was looked at."""

    job_id: str
    version: int
    execution_id: str
    parameters: Mapping[str, Any]
    code_version: int | None = None
    retry_of: str | None = None
    stands_for: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobServices:
    """What runs need of the registry of jobs."""

    registry: JobRegistry
    directory: JobDirectory
    parameters: JobParameters
    gate: ApprovalGate


class Runs:
    """Puts runs by hand into the queue and takes them out again.

    `queued` is sent when something new waits. `why_it_cannot_start` says why no node may start an execution; None where some node
    may.
    """

    def __init__(
        self,
        *,
        queue: QueueStore,
        limit: HourlyRuns,
        starts: StartLimits,
        jobs: JobServices,
        audit: AuditTrail,
        clock: Clock,
        bounds: RunBounds,
        queued: Signal,
        why_it_cannot_start: Callable[[Execution], Said | None],
    ) -> None:
        self._queue, self._limit, self._starts, self._audit, self._clock = queue, limit, starts, audit, clock
        self._registry, self._parameters, self._gate = jobs.registry, jobs.parameters, jobs.gate
        self._visible = VisibleExecutions(queue, jobs.directory)
        self._bounds, self._queued, self._why_it_cannot_start = bounds, queued, why_it_cannot_start

    # -- starting -------------------------------------------------------------------------------------------------

    def run_now(
        self,
        actor: Actor,
        job_id: str,
        *,
        overrides: Mapping[str, Any] | None = None,
        whole: bool = False,
        idempotency_key: str | None = None,
    ) -> Execution:
        """Start a job by hand, with `overrides` for some of its parameters, or for all with `whole`; returns the execution.

        Raises AlreadyRunning while the job runs (unless its overlap policy is `queue` or `allow`), ValidationFailed for an override,
        LimitReached after the user's runs of the hour or if the job's own limit skips the run, Conflict where `idempotency_key` belongs to
        another job.
        """
        require(actor, May.RUN_JOBS)
        job = self._parameters.upgrade(self._registry.visible(actor, job_id))
        execution_id = str(uuid.uuid5(RUN_SPACE, f"{actor.id}\0{idempotency_key}") if idempotency_key else uuid.uuid4())
        if idempotency_key and (replayed := self._replayed(execution_id, job_id)):
            return replayed
        parameters = self._parameters.for_run(job, overrides, whole=whole)
        self._refuse_now(job)
        trigger = _TRIGGERS.get(actor.via, Trigger.MANUAL)
        now = self._clock.now()
        execution = Execution.manual(job, now, by=actor.name, trigger=trigger, parameters=parameters, execution_id=execution_id)
        diff = [{"field": f"/parameters/{name}", "after": mask(parameters.get(name))} for name in sorted(overrides or {})]
        named = {"execution_id": execution_id} if idempotency_key else {}
        payload = {"parameters": parameters, "code_version": job.code_version, **named}
        self._gate.check(actor, job, Operation.RUN, payload=payload, diff=diff)
        self._start(actor, "job.run", execution, diff)
        return masked(self._visible.get(actor, execution_id))

    def wrong_parameters(self, actor: Actor, job_id: str, overrides: Mapping[str, Any]) -> tuple[FieldError, ...]:
        """What keeps a run by hand from having these parameters, at pointers below `/parameters`. Raises Forbidden, NotFound."""
        require(actor, May.RUN_JOBS)
        try:
            self._parameters.for_run(self._parameters.upgrade(self._registry.visible(actor, job_id)), overrides)
        except ValidationFailed as failed:
            return failed.errors
        return ()

    def may_run(self, actor: Actor, job_id: str) -> None:
        """Raises Forbidden where `actor` starts no jobs by hand (of some jobs they may, and it waits for approval), NotFound."""
        require(actor, May.RUN_JOBS)
        self._registry.visible(actor, job_id)

    def limit_free_at(self, actor: Actor, job_id: str) -> datetime | None:
        """Returns when the job's own limit of runs allows the next one; None if it allows one now. Raises Forbidden, NotFound."""
        job = self._registry.get(actor, job_id)
        return self._starts.free_at(job_id, job.definition.run_limit, self._clock.now())

    def retry(self, actor: Actor, execution_id: str, *, parameters: Mapping[str, Any] | None = None) -> Execution:
        """Try an ended execution again, as a new one linked to it; with `parameters` in place of all that it had.

        Raises Conflict while it has not ended, else as `run_now`.
        """
        require(actor, May.RUN_JOBS)
        old = self._visible.get(actor, execution_id)
        job = self._parameters.upgrade(self._registry.visible(actor, old.job_id))
        if old.is_live:
            raise Conflict(say("This execution is {status}. You can run it again once it has ended.", status=said(old.status)))
        self._refuse_now(job)
        base = carried_parameters(self._parameters, job, old)
        chosen = base if parameters is None else self._parameters.for_run(job, parameters, base=base, whole=True)
        now = self._clock.now()
        execution = Execution.again(job, now, execution_id, by=actor.name, parameters=chosen, stands_for=old.stands_for)
        diff = [] if parameters is None else field_diff(mask(base or {}), mask(chosen), prefix="/parameters")
        payload = {
            "parameters": execution.parameters,
            "code_version": job.code_version,
            "retry_of": execution_id,
            "stands_for": old.stands_for,
        }
        self._gate.check(actor, job, Operation.RETRY, payload=payload, diff=diff)
        self._start(actor, "execution.retry", execution, diff)
        return masked(execution)

    def run_approved(self, actor: Actor, approved: ApprovedRun) -> Execution:
        """Start the run of an approved request, of the job that was looked at; one that is there already is returned.

        Raises StaleVersion, AlreadyRunning, LimitReached, NotFound.
        """
        if replayed := self._replayed(approved.execution_id, approved.job_id):
            return replayed
        again = approved.retry_of
        job = self._registry.visible(actor, approved.job_id, version=approved.version)
        self._gate.check(actor, job, Operation.RETRY if again else Operation.RUN)
        self._refuse_now(job)
        job = replace(job, code_version=approved.code_version)
        now, parameters = self._clock.now(), approved.parameters
        if again:
            execution = Execution.again(job, now, again, by=actor.name, parameters=parameters, stands_for=approved.stands_for)
            execution = replace(execution, id=approved.execution_id)
        else:
            execution_id, trigger = approved.execution_id, Trigger.WEBHOOK if actor.via == "webhook" else Trigger.MANUAL
            execution = Execution.manual(job, now, by=actor.name, trigger=trigger, parameters=parameters, execution_id=execution_id)
        self._start(actor, "execution.retry" if again else "job.run", execution, [])
        return masked(self._visible.get(actor, approved.execution_id))

    # -- stopping -------------------------------------------------------------------------------------------------

    def cancel(self, actor: Actor, execution_id: str) -> Execution:
        """Stop an execution: at once where it waits, within the grace where it runs. Raises Conflict where it has ended."""
        require(actor, May.CANCEL)
        execution = self._visible.get(actor, execution_id)
        if not execution.is_live:
            raise Conflict(say("This execution has already ended: {status}", status=said(execution.status)))
        with self._audit.action(actor, "execution.cancel", kind="execution", target_id=execution_id, name=execution.job_name):
            changed = self._queue.ask_cancel(execution_id, by=actor.name, now=self._clock.now())
            if changed is None:
                raise Conflict("This execution has just ended")
        return masked(changed)

    def delete_job(self, actor: Actor, job_id: str, *, version: int | None = None) -> None:
        """Retire a job, and what it still has waiting. Raises as JobRegistry.delete."""
        self._registry.delete(actor, job_id, version=version)
        self.forget_job(job_id)

    def forget_job(self, job_id: str) -> None:
        """A job was retired: what it still has waiting will not run."""
        self._queue.drop_queued(job_id, now=self._clock.now())

    # -- what has become of a run ---------------------------------------------------------------------------------

    def standing(self, execution: Execution) -> Said:
        """What has become of a run that somebody has just asked for, in one line: it has started, or it waits, and what for."""
        try:
            why = self._why_it_cannot_start(execution) or self._why_it_waits(execution)
            limited = self._limited(execution.job_id, execution.run_limit)
            # It is read after that: it may have started meanwhile, and be itself what takes the slot.
            current = self._queue.get(execution.id) or execution
            if current.status not in {Status.QUEUED, Status.RETRYING}:
                return say("Job started") if current.started_at else say("The run has ended: {status}", status=said(current.status))
        except Exception as error:
            if not is_away(error):
                raise
            return say("Run queued")  # it is, whatever cannot be read now
        if why is None and limited is not None:
            return joined((say("Run queued."), limited[0]), " ")
        return say("Run queued: {why}", why=why) if why else say("Run queued")

    def _why_it_waits(self, execution: Execution) -> Said | None:
        full = self._queue.full_bound(execution.id, self._bounds)
        if full is None:
            return None
        if full == f"{execution.job_id}#":
            return say("other runs of the job are still running")
        bound, _, name = full.removesuffix("#").partition(":")
        if bound == "group":
            return say("other runs of the concurrency group {name!r} are still running", name=name)
        if bound == "template":
            return say("its template has reached its limit of simultaneous runs (JOBWRIGHT_TEMPLATE_LIMITS)")
        return say("the limit of simultaneous runs is reached (JOBWRIGHT_MAX_RUNNING)")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _refuse_now(self, job: Job) -> None:
        """Raises AlreadyRunning if the job runs and must not run twice at once; LimitReached if its own limit would skip the run."""
        if job.definition.overlap in {Overlap.SKIP, Overlap.REPLACE} and self._queue.live_counts([job.id]):
            raise AlreadyRunning(say("{name!r} is already running or waiting to run", name=job.definition.name))
        limit = job.definition.run_limit
        limited = self._limited(job.id, limit) if limit.excess is Excess.SKIP else None
        if limited is not None:
            words, seconds = limited
            raise LimitReached(words, retry_after_seconds=seconds)

    def _limited(self, job_id: str, limit: RunLimit) -> tuple[Said, int] | None:
        """What a job's own limit of runs says to one more run now: in words, with the seconds to wait; None if it allows the run."""
        now = self._clock.now()
        free_at = self._starts.free_at(job_id, limit, now)
        if free_at is None:
            return None
        seconds = max(1, math.ceil((free_at - now).total_seconds()))
        words = say_many(
            "The job may start one run within {period}.",
            "The job may start {count} runs within {period}.",
            limit.runs,
            period=durations.write(limit.seconds),
        )
        return joined((words, possible_again(now, seconds)), " "), seconds

    def _start(self, actor: Actor, action: str, execution: Execution, diff: list[dict[str, Any]]) -> None:
        execution = execution.asked_by(correlation_id=actor.correlation_id, traceparent=actor.traceparent)
        if actor.via != "webhook":  # an inbound address has a limit of its own
            self._limit.count(actor)
        with self._audit.action(actor, action, kind="job", target_id=execution.job_id, name=execution.job_name, diff=diff):
            self._queue.add_one(execution)
        self._queued.send()

    def _replayed(self, execution_id: str, job_id: str) -> Execution | None:
        execution = self._queue.get(execution_id)
        if execution is None:
            return None
        if execution.job_id != job_id:
            raise Conflict("This Idempotency-Key has already been used for another job")
        return masked(execution)


def masked(execution: Execution) -> Execution:
    """The same with its secrets masked, as people and programs may see it."""
    return replace(execution, parameters=mask(execution.parameters))


def carried_parameters(parameters: JobParameters, job: Job, old: Execution) -> dict[str, Any] | None:
    """The parameters of an execution as its job's template takes them now; None where the job is of another template by now."""
    if old.template_type != job.definition.template_type or old.template_version is None:
        return None
    return parameters.from_earlier_run(job, old.parameters, old.template_version, old.code_version)

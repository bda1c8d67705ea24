"""Turns due times into executions: each exactly one, whichever scheduler is killed at whichever line (design.md 5, 1 and 2)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from app.clock import Clock
from app.events import get_logger
from app.instants import INSTANT
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause, Job, Overlap, Pause
from app.jobs.records import Advance, Outbox
from app.jobs.rules import OutboxEntry, ScheduleStop
from app.jobs.shadow_store import ShadowStore
from app.mongo import is_permanent
from app.outbox.event_store import Events
from app.outbox.events import JobBroken
from app.queue.execution import DueTimes, Execution
from app.queue.model import Reason, Status
from app.queue.start_limits import StartLimits
from app.queue.store import QueueStore
from app.scheduling.plan import DuePlan, Span, plan_due, plan_end, plan_pause, spread
from app.scheduling.shadows import Planned, entries_of
from app.scheduling.triggers import Triggers
from app.ticks import each

log = get_logger(__name__)

BATCH = 1000
# An outbox this old belongs to a scheduler that died or hangs; writing it again is harmless, as executions are unique.
RECOVER_AFTER = timedelta(seconds=3)
_REASONS = {
    Cause.PERSON: Reason.PAUSED,
    Cause.CALENDAR: Reason.BLACKOUT,
    Cause.TEMPLATE: Reason.TEMPLATE_OFF,
    Cause.MAINTENANCE: Reason.MAINTENANCE,
}


class Dispatcher:
    """One tick at a time:

    1. Due jobs are read; `plan_due` decides what their due times become.
    2. Each job is moved to its next due time and its executions go into its outbox, in one compare-and-set. From here on
       any scheduler can finish the work: nothing is lost if this one is killed, and nobody else can plan these due times.
    3. The executions are inserted; a second insert of the same due time is refused by the unique index.
    4. The outbox is emptied with the next tick's writes.
    """

    def __init__(
        self,
        *,
        jobs: DispatchStore,
        queue: QueueStore,
        shadows: ShadowStore,
        triggers: Triggers,
        clock: Clock,
        events: Events,
        starts: StartLimits,
        maintenance: Callable[[], str | None] = lambda: None,
        rests: Callable[[str], bool] = lambda template: False,
    ) -> None:
        self._jobs, self._queue, self._triggers, self._clock, self._events = jobs, queue, triggers, clock, events
        self._starts, self._maintenance, self._rests = starts, maintenance, rests
        self._planned = Planned(queue, shadows)
        self._settled: list[tuple[str, str]] = []
        self.next_due_at: datetime | None = None  # when the next job is due that was not due yet when the last tick looked

    def tick(self, on_written: Callable[[], None] = lambda: None) -> int:
        """Dispatch what is due now; returns how many executions were written. `on_written` is called whenever some were."""
        written = 0
        while True:
            now = self._clock.now()
            self.next_due_at = self._jobs.next_due_at()
            due = self._jobs.find_due(now, BATCH) if self.next_due_at is not None and self.next_due_at <= now else []
            if not due and (written or not self._settled):  # what was just written is to start first
                return written
            moved, new = self._dispatch(due, now)
            written += new
            if new:
                on_written()
            if len(due) < BATCH or not moved:  # nothing moved: others are at work on these, or a dead one's outbox is still full
                self.next_due_at = self._jobs.next_due_at(after=now) if due else self.next_due_at
                return written

    def recover(self) -> int:
        """Write what schedulers that died had planned; returns how many due times were still missing."""
        missing = sum(each("recover", self._jobs.find_unsettled(self._clock.now() - RECOVER_AFTER, BATCH), self._recover))
        if missing:
            log.warning("dispatch.recovered", executions=missing)
        return missing

    def _recover(self, outbox: Outbox) -> int:
        written = self._planned.write(outbox.entries)
        self._jobs.settle(outbox.job_id, outbox.claim)
        return written

    def close(self) -> None:
        """Empty the outboxes of the last tick."""
        settled, self._settled = self._settled, []
        self._jobs.advance([], claim="", at=self._clock.now(), settled=settled)

    def _dispatch(self, due: Sequence[Job], now: datetime) -> tuple[int, int]:
        """How many jobs were moved on, and how many executions are new."""
        busy = self._queue.live_counts([job.id for job in due]) if due else {}
        closed = self._maintenance() if due else None
        steps = [step for job in due if (step := self._plan(job, now, busy.get(job.id, 0), closed)) is not None]
        claim, settled = secrets.token_hex(12), self._settled
        mine = self._advance(steps, {job.id: job for job in due}, claim=claim, at=now, settled=settled)
        self._settled = [(job_id, claim) for job_id in mine]
        won = [step for step in steps if step.job_id in mine]
        replaces = [job for job in due if job.definition.overlap is Overlap.REPLACE and job.shadow is None]
        replaced = {job.id: job for job in replaces if job.id in mine and busy.get(job.id)}
        if replaced:
            # What may not start now takes no place of what runs.
            limited = self._starts.used_up({job_id: job.definition.run_limit for job_id, job in replaced.items()}, now)
            self._queue.replace_running([job_id for job_id in replaced if job_id not in limited], now=now)
        written = self._planned.write([entry for step in won for entry in step.entries])
        if won:
            log.debug("dispatch.planned", jobs=len(won), executions=written)
        return len(won), written

    def _advance(
        self, steps: Sequence[Advance], jobs: Mapping[str, Job], *, claim: str, at: datetime, settled: Sequence[tuple[str, str]]
    ) -> set[str]:
        """Moves jobs as DispatchStore.advance does. If the database refuses the steps because of their content, each is written by itself,
        and a job whose own step is refused is marked as broken."""
        try:
            return self._jobs.advance(steps, claim=claim, at=at, settled=settled)
        except Exception as error:
            if not is_permanent(error) or not steps:
                raise
            log.exception("dispatch.refused", jobs=len(steps))

        def alone(step: Advance) -> set[str]:
            return self._jobs.advance([step], claim=claim, at=at, settled=[])

        def give_up(step: Advance, error: Exception) -> None:
            self._mark_broken(jobs[step.job_id], f"Its runs cannot be stored: {type(error).__name__}: {error}"[:500])

        mine = self._jobs.advance([], claim=claim, at=at, settled=settled)
        return mine.union(*each("dispatch", steps, alone, give_up=give_up))

    def _plan(self, job: Job, now: datetime, busy: int, maintenance: str | None) -> Advance | None:
        """`maintenance`: why nothing starts, None where it may."""
        definition, seen = job.definition, job.next_run_at
        if seen is None:
            return None
        if job.damaged:  # it is left alone, and says why
            self._mark_broken(job, job.schedule_error or "")
            return None
        executions: list[Execution] = []
        due: datetime | None = seen
        pause = None
        try:
            if job.paused is not None and job.paused.until is not None:
                executions, due = _after_pause(job, job.paused.until, now)
            if due is None or due > now:
                plan = DuePlan((), frozenset(), None, due)
            elif maintenance is not None or self._rests(definition.template_type):
                plan = DuePlan((), frozenset(), None, None)
                cause, why = (Cause.MAINTENANCE, maintenance) if maintenance else (Cause.TEMPLATE, definition.template_type)
                pause = Pause(cause=cause, reason=why or "", by="system", at=now, since_due=due)
            else:
                blackouts = self._triggers.blackouts(definition.schedule)
                plan = plan_due(definition.schedule.trigger, due, now, misfire=definition.misfire, blackouts=blackouts)
                if plan.closed is not None:
                    closed = plan.closed
                    pause = Pause(
                        cause=Cause.CALENDAR, reason=closed.calendar, by="system", at=now, since_due=closed.since_due, until=closed.until
                    )
        except Exception as error:
            log.exception("dispatch.broken_schedule", job=job.id)
            self._mark_broken(job, f"{type(error).__name__}: {error}"[:500])
            return None
        entries = entries_of(job, [*executions, *_executions(job, plan, now, busy)])
        return Advance(job.id, job.version, seen, plan.next_run_at, entries, ends_pause=job.paused is not None, pause=pause)

    def _mark_broken(self, job: Job, reason: str) -> None:
        """The job is left alone until somebody mends it, and whoever wants to hear of that is told."""
        self._events.publish(JobBroken(at=self._clock.now(), job_id=job.id, job_name=job.definition.name, reason=reason))
        self._jobs.mark_broken(job, reason)


def _executions(job: Job, plan: DuePlan, now: datetime, busy: int) -> list[Execution]:
    """One record a due time, and one for all that were missed. `busy` is how many executions of the job are live."""
    overlap, most = job.definition.overlap, job.definition.concurrency.max_instances
    offset = spread(job.id, job.definition.schedule.jitter_seconds)
    executions: list[Execution] = []
    if plan.missed is not None:
        executions.append(_summary(job, plan.missed, now, Status.MISSED, Reason.MISFIRE))
    if plan.blackout is not None:
        executions.append(_summary(job, plan.blackout, now, Status.SKIPPED, Reason.BLACKOUT))
    for due in plan.runs:
        # Runs that are caught up wait for each other: that is what the misfire policy asks for.
        policy = Overlap.QUEUE if due in plan.late and overlap is Overlap.SKIP else overlap
        run = Execution.due(job, now, at=due, overlap=policy, available_at=due + offset)
        # One that starts later is judged by what runs then: at its claim. In shadow mode nobody knows how long a run would have taken.
        skipped = policy is Overlap.SKIP and busy >= most and not offset and job.shadow is None
        executions.append(run.ended(Status.SKIPPED, Reason.OVERLAP, now) if skipped else run)
        busy += not skipped
    return executions


def _summary(job: Job, span: Span, now: datetime, status: Status, reason: Reason) -> Execution:
    return Execution.summary(job, now, DueTimes(first=span.first, last=span.last, count=span.count), status=status, reason=reason)


def _after_pause(job: Job, end: datetime, now: datetime) -> tuple[list[Execution], datetime | None]:
    """The record of what a pause up to `end` (exclusive) let go by, and the first due time after it."""
    if job.paused is None:
        return [], job.next_run_at
    span, due = plan_pause(job.definition.schedule.trigger, job.paused, end)
    return [_summary(job, span, now, Status.SKIPPED, _REASONS[job.paused.cause])] if span else [], due


_STOPS = {
    ScheduleStop.DELETED: Reason.JOB_GONE,
    ScheduleStop.SWITCHED_OFF: Reason.DISABLED,
    ScheduleStop.RESCHEDULED: Reason.RESCHEDULED,
}


class PassedDueTimes:
    """Makes the records of due times that no dispatcher will plan any more; implements app.jobs.rules.PassedDueTimes."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def on_stop(self, job: Job, stop: ScheduleStop, *, now: datetime) -> list[OutboxEntry]:
        """Returns records of the due times of `job` that have passed and that no dispatcher has planned: those that were too late are
        missed, those that were in time are skipped because of `stop`. There is at most one record of each."""
        definition = job.definition
        if not definition.enabled or job.schedule_error or self._triggers.not_computable(definition.schedule) is not None:
            return []
        until = job.paused.until if job.paused else None
        records, due = _after_pause(job, min(until or now + INSTANT, now + INSTANT), now)
        if due is None or due > now:
            return entries_of(job, records)
        late, in_time = plan_end(definition.schedule.trigger, due, now, misfire=definition.misfire)
        if late is not None:
            records.append(_summary(job, late, now, Status.MISSED, Reason.MISFIRE))
        if in_time is not None:
            records.append(_summary(job, in_time, now, Status.SKIPPED, _STOPS[stop]))
        return entries_of(job, records)

    def on_resume(self, job: Job, *, now: datetime) -> tuple[list[OutboxEntry], datetime | None]:
        """Returns the record of the due times that passed during a pause that ends now, and the first due time after now."""
        records, due = _after_pause(job, now + INSTANT, now)
        return entries_of(job, records), due

    def on_shadow_end(self, job: Job, *, now: datetime) -> tuple[list[OutboxEntry], datetime | None]:
        """Returns the record of the due times that passed in shadow mode and that no dispatcher has planned, and the first due time after
        now. A pause of the job goes on."""
        due = job.next_run_at
        if due is None or job.paused is not None or due > now:
            return [], due
        span, following = plan_end(job.definition.schedule.trigger, due, now, misfire=job.definition.misfire)
        records = [_summary(job, part, now, Status.MISSED, Reason.MISFIRE) for part in (span, following) if part is not None]
        return entries_of(job, records), job.definition.schedule.trigger.anchored(due).next_after(now)

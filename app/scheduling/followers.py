"""Jobs that run after others: the end of a run becomes runs of the jobs that follow, each exactly one, whichever node is killed at
whichever line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from app.clock import Clock
from app.events import get_logger
from app.jobs.dependencies import counts
from app.jobs.dependency_store import DependencyStore
from app.jobs.model import Job, Overlap
from app.jobs.shadow_store import ShadowStore
from app.queue.execution import Execution
from app.queue.model import RAN, Reason, Status
from app.queue.owing import End, EndHandler
from app.queue.start_limits import StartLimits
from app.queue.store import QueueStore
from app.scheduling.gathering_store import Gathering, GatheringStore
from app.scheduling.hindrance import hindrance
from app.scheduling.shadows import shadow_run
from app.scheduling.triggers import Triggers
from app.signals import Signal
from app.ticks import each
from app.traces.base import OFF, Traces

log = get_logger(__name__)

MOST_SEEN = 100  # executions that a gathering remembers: an end is taken in twice only where so many others came between
DEEPEST = 100  # runs that began one another
_RUN_SPACE = uuid.UUID("c9e2b1de-8a5f-4a3e-9b0c-2f6f5d1c4e11")


class NotStarted(Exception):
    """Jobs that run after another could not be started; the text has the id of each, and says why."""


class Followers(EndHandler):
    """Starts what runs after a run that has ended.

    1. A job that runs after this one alone gets its run, whose id is made of both: a second insert is refused.
    2. A job that runs after several takes the end in, by compare-and-set on its gathering; the end that completes it makes the run owed in
       the same write.

    Killed in between, it is all done once more, to the same effect. `queued` is sent when runs were written.
    """

    name = "followers"
    statuses = RAN
    claim_for = timedelta(seconds=10)
    first_delay = timedelta(seconds=5)

    def __init__(
        self,
        *,
        jobs: DependencyStore,
        queue: QueueStore,
        shadows: ShadowStore,
        gatherings: GatheringStore,
        triggers: Triggers,
        starts: StartLimits,
        clock: Clock,
        queued: Signal,
        rests: Callable[[str], bool],
        traces: Traces = OFF,
    ) -> None:
        self._jobs, self._queue, self._shadows, self._gatherings = jobs, queue, shadows, gatherings
        self._triggers, self._starts, self._clock, self._queued, self._rests = triggers, starts, clock, queued, rests
        self._traces = traces

    @classmethod
    def wants(cls, end: End) -> bool:
        """A preview, and a run that makes up for a due time of long ago, are nothing to the jobs that follow."""
        return end.followed and not end.dry and not end.is_backfill

    def carry_out(self, record: Execution) -> None:
        """Start what follows. Raises NotStarted after that, if some of the jobs could not be started: the others keep their runs when it is
        done again."""
        refused: list[str] = []
        after = [
            job
            for job in self._jobs.dependants(record.job_id, enabled=True)
            if not job.damaged and any(on.job == record.job_id and counts(on, record.status) for on in job.definition.depends_on)
        ]

        def give_up(job: Job, error: Exception) -> None:
            refused.append(f"{job.id}: {error}")  # no name: whoever sees the ended run may not see the job

        if sum(each("followers", after, lambda job: self._follow(job, record), give_up=give_up)):
            self._queued.send()
        if refused:
            raise NotStarted("; ".join(refused))

    def _follow(self, job: Job, ended: Execution) -> int:
        """How many runs of the job were written."""
        line = (*ended.line, ended.job_id)
        if len(job.definition.depends_on) == 1:
            self._gatherings.drop(job.id)  # of when it ran after several: what ends now is used up
            return self._write(job, (ended.id,), line, ended)
        written = 0
        for together in self._gathered(job, ended):
            written += self._write(job, together, line, ended)
            self._gatherings.paid(job.id, together)
        return written

    def _gathered(self, job: Job, ended: Execution) -> Sequence[tuple[str, ...]]:
        """The sets of ends that make a run each, by now."""
        wanted = {on.job for on in job.definition.depends_on}
        while True:
            before = self._gatherings.get(job.id)
            after = arrive(before, wanted, ended.job_id, ended.id)
            if after is before or self._gatherings.put(job.id, after, at=self._clock.now()):
                return after.owed

    def _write(self, job: Job, caused_by: tuple[str, ...], line: Sequence[str], ended: Execution) -> int:
        """Write one run; returns how many are new. It has the correlation id of `ended`, the run that completed the set. `line` are the
        jobs whose runs began one another. A job that is one of them depends on itself, which the registry refuses but a database may hold:
        its run is skipped, or runs without end would follow."""
        now = self._clock.now()
        reason: Reason | None = Reason.CIRCLE
        if job.id not in line and len(line) <= DEEPEST:
            reason = hindrance(job, now, triggers=self._triggers, rests=self._rests)
        run_id = str(uuid.uuid5(_RUN_SPACE, "\0".join((job.id, *caused_by))))
        run = Execution.following(job, now, caused_by=caused_by, line=line, execution_id=run_id)
        run = run.asked_by(correlation_id=ended.correlation, traceparent=self._traces.execution(ended.id, ended.traceparent))
        record = run if reason is None else run.ended(Status.SKIPPED, reason, now)
        if job.shadow is not None:
            self._shadows.add([shadow_run(record)])
            return 0
        if not self._queue.add_one(record):
            return 0
        replaces = reason is None and job.definition.overlap is Overlap.REPLACE
        if replaces and not self._starts.used_up({job.id: job.definition.run_limit}, now):
            self._queue.replace_running([job.id], now=now, spare=run_id)
        if reason is Reason.CIRCLE:
            log.warning("followers.circle", job=job.id, depth=len(line))
        return 1


def arrive(before: Gathering, wanted: Collection[str], job_id: str, execution_id: str) -> Gathering:
    """What a gathering becomes by the end of a run of `job_id`, one of the `wanted` jobs; the same object where it has that already."""
    if execution_id in before.seen:
        return before
    arrived = {job: ended for job, ended in before.arrived.items() if job in wanted} | {job_id: execution_id}
    seen = (*before.seen, execution_id)[-MOST_SEEN:]
    if set(wanted) - arrived.keys():
        return replace(before, arrived=arrived, seen=seen)
    return replace(before, arrived={}, seen=seen, owed=(*before.owed, tuple(sorted(arrived.values()))))
